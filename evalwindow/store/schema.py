"""The schema's version: bring it up to date, or say that it isn't."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import text

from evalwindow.errors import ServiceDown
from evalwindow.store.database import Database, advisory_lock, host_of

if TYPE_CHECKING:  # Alembic is imported where it is used: commands that open no database don't wait for it
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"


class Schema(Database):
    def migrate(self) -> None:
        """Bring the schema up to this code's version; several processes may try at once."""
        from alembic import command

        with self._transaction() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            advisory_lock(connection, "migration")
            config = alembic_config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def check(self) -> None:
        """Raises ServiceDown when PostgreSQL can't be reached or its schema isn't this code's."""
        from alembic.migration import MigrationContext

        with self._transaction() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        wanted = newest()
        if found != wanted:
            raise ServiceDown(
                f"the database at {host_of(self.url)} has schema {found or 'none'}, this version needs {wanted}; "
                f"run `evalwindow migrate`"
            )


@cache
def newest() -> str | None:
    """The version that this code is written for."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(alembic_config()).get_current_head()


def alembic_config() -> Config:
    """Alembic without an ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
