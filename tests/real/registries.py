"""A real MLflow registry in a file."""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from evalwindow.config import Registered

NAME = "support"
VERSIONS = ("1", "2", "3")


@dataclass(frozen=True)
class Registry:
    """Its database, and what a test asks it."""

    file: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.file}"

    def entry(self, version: str = "1", **changes: str) -> Registered:
        return Registered(**{"tracking_uri": self.uri, "name": NAME, "version": version, **changes})

    def alias(self, name: str = "production") -> str | None:
        with closing(sqlite3.connect(self.file)) as database:
            asked = "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?"
            found = database.execute(asked, (NAME, name)).fetchone()
        return str(found[0]) if found else None

    def tags(self, version: str) -> dict[str, str]:
        with closing(sqlite3.connect(self.file)) as database:
            asked = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"
            return dict(database.execute(asked, (NAME, version)).fetchall())

    def breaks(self, reason: str = "disk full") -> None:
        """From now on it can be read, and no alias can be set."""
        does = f"BEGIN SELECT RAISE(ABORT, '{reason}'); END"
        for event in ("INSERT", "UPDATE"):
            self._do(f"CREATE TRIGGER broken_{event} BEFORE {event} ON registered_model_aliases {does}")

    def mended(self) -> None:
        for event in ("INSERT", "UPDATE"):
            self._do(f"DROP TRIGGER broken_{event}")

    def _do(self, statement: str) -> None:
        with closing(sqlite3.connect(self.file)) as database:
            database.execute(statement)
            database.commit()


def make_template(folder: Path) -> Path:
    """A registry with one model of three versions; making its tables takes a while, so tests copy it."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    file = folder / "mlflow.db"
    client = MlflowClient(tracking_uri=f"sqlite:///{file}", registry_uri=f"sqlite:///{file}")
    client.create_registered_model(NAME)
    for _ in VERSIONS:
        client.create_model_version(NAME, source=str(folder))
    return file


def copy_of(template: Path, folder: Path) -> Registry:
    return Registry(Path(shutil.copy(template, folder / "mlflow.db")))
