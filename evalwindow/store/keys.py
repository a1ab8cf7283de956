"""Which run a key has: the same key is the same run."""

from __future__ import annotations

from sqlalchemy import Connection, select

from evalwindow.store.tables import run


def run_of(connection: Connection, key: str) -> str | None:
    """Id of the run that was admitted under this key; None: none was."""
    return connection.scalar(select(run.c.id).where(run.c.key == key))
