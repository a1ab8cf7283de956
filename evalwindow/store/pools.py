"""Engines' signs of life."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from evalwindow.model import EngineInfo
from evalwindow.store.database import Database, lease
from evalwindow.store.documents import from_document, to_document
from evalwindow.store.rows import EngineRow
from evalwindow.store.tables import engine


class Pools(Database):
    def heartbeat(self, pool: str, worker: str, info: EngineInfo | None, state: str) -> None:
        """Say that the worker's engine of this pool lives, and how it is (say starting, ready, draining, stopped)."""
        news = {
            "info": {} if info is None else to_document(info),
            "state": state,
            "seen_at": func.clock_timestamp(),
        }
        statement = insert(engine).values({"pool": pool, "worker": worker, **news})
        keys = [engine.c.pool, engine.c.worker]
        with self._transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=news))

    def engines(self, pool: str | None = None, *, seen_within_s: float | None = None) -> list[EngineRow]:
        """Engines by pool and worker, all of them or those that were seen of late."""
        statement = select(engine).order_by(engine.c.pool, engine.c.worker)
        if pool is not None:
            statement = statement.where(engine.c.pool == pool)
        if seen_within_s is not None:
            statement = statement.where(engine.c.seen_at > lease(-seen_within_s))
        with self._transaction() as connection:
            rows = connection.execute(statement).all()
        return [
            EngineRow(
                pool=row.pool,
                worker=row.worker,
                info=from_document(EngineInfo, row.info) if row.info else None,
                state=row.state,
                seen_at=row.seen_at,
            )
            for row in rows
        ]
