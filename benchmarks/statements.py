"""What PostgreSQL was asked: its own log of every statement, counted by kind."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy import make_url

MARK = "evalwindow statement log"
PREFIX = f"{MARK}|%d|%p|"  # database, process
SETTINGS = {
    "log_statement": "all",
    "log_parameter_max_length": "0",
    "log_line_prefix": PREFIX,
}
LINE = re.compile(rf"^{MARK}\|(?P<database>[^|]*)\|(?P<pid>\d+)\|LOG:  (?:statement|execute [^:]*): (?P<sql>.*)$")
BRACKETS = ("BEGIN", "COMMIT", "ROLLBACK")
LONGEST = 100  # characters of a kind


@dataclass
class Statements:
    """What was asked while counting; complete when the block has ended."""

    kinds: Counter[str] = field(default_factory=Counter)  # beginning of its text -> how often

    @property
    def total(self) -> int:
        """Statements without BEGIN, COMMIT and ROLLBACK, of all processes of ours together."""
        return self.kinds.total()

    def lines(self, most: int = 20) -> list[str]:
        """The most frequent kinds, for people."""
        return [f"{count:6}  {kind}" for kind, count in self.kinds.most_common(most)]


@contextmanager
def counted(database_url: str, log: Path) -> Iterator[Statements]:
    """Count the statements of a database inside the block.

    `log` is the file that its server writes, `<home>/postgres/log` of an embedded one. The caller needs to be a
    superuser. Statements of this function are not counted; of other databases on the server neither.
    """
    found = Statements()
    with psycopg.connect(_dsn(database_url), autocommit=True) as admin:
        _set(admin, SETTINGS)
        start = log.stat().st_size
        try:
            yield found
        finally:
            time.sleep(0.1)  # what a client has its answer of is in the log
            with log.open("rb") as file:
                file.seek(start)
                text = file.read().decode(errors="replace")
            _set(admin, dict.fromkeys(SETTINGS))
        _count(found, text, database=admin.info.dbname, but=admin.info.backend_pid)


def _set(admin: psycopg.Connection, settings: Mapping[str, str | None]) -> None:
    """For all sessions, those that are there, too: each reads it before its next statement."""
    for name, value in settings.items():
        admin.execute(f"ALTER SYSTEM SET {name} = '{value}'" if value else f"ALTER SYSTEM RESET {name}")
    admin.execute("SELECT pg_reload_conf()")
    until = time.monotonic() + 10.0
    while any(value and _shown(admin, name) != value for name, value in settings.items()):
        if time.monotonic() > until:
            raise RuntimeError("PostgreSQL doesn't take the settings of its log")
        time.sleep(0.02)


def _shown(admin: psycopg.Connection, name: str) -> str:
    row = admin.execute(f"SHOW {name}").fetchone()
    return str(row[0]) if row else ""


def _count(found: Statements, text: str, *, database: str, but: int) -> None:
    for line in _whole(text):
        match = LINE.match(line)
        if match is None or match["database"] != database or int(match["pid"]) == but:
            continue
        kind = " ".join(match["sql"].split())[:LONGEST]
        if not kind.upper().startswith(BRACKETS):
            found.kinds[kind] += 1


def _whole(text: str) -> Iterator[str]:
    """Entries of the log: a statement's further lines begin with a tab."""
    entry = ""
    for line in text.splitlines():
        if line.startswith("\t"):
            entry += " " + line.strip()
        else:
            yield entry
            entry = line
    yield entry


def _dsn(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
