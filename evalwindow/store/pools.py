"""Engines' signs of life."""

from __future__ import annotations

from sqlalchemy import and_, case, func, select
from sqlalchemy.dialects.postgresql import insert

from evalwindow.model import EngineInfo
from evalwindow.store.database import Database, lease
from evalwindow.store.documents import from_document, to_document
from evalwindow.store.engine_rows import EngineLoad, EngineRow
from evalwindow.store.engine_tables import engine
from evalwindow.store.wakes import Topic, waking

ENGINE_SEEN_S = 60.0  # an engine that was silent for longer is missing

#: What an engine says of itself. One that rests is awake when the first prompt asks.
READY, STARTING, RESTING, STOPPED = "ready", "starting", "resting", "stopped"
AVAILABLE = (READY, RESTING)


class Pools(Database):
    def heartbeat(
        self,
        pool: str,
        worker: str,
        info: EngineInfo | None,
        state: str,
        *,
        generation: int = 0,
        load: EngineLoad | None = None,
    ) -> None:
        """Say that the worker's engine of this pool lives, and how it is (say starting, ready, resting, stopped).

        Dispatchers hear of a change: there is room for more shards, or for fewer.
        """
        statement = insert(engine).values(
            {
                "pool": pool,
                "worker": worker,
                "info": {} if info is None else to_document(info),
                "state": state,
                "generation": generation,
                "load": None if load is None else to_document(load),
                "seen_at": func.clock_timestamp(),
                "since": func.clock_timestamp(),
            }
        )
        said = statement.excluded
        as_before = and_(engine.c.state == said.state, engine.c.generation == said.generation)
        since = case((as_before, engine.c.since), else_=said.since)
        news = {name: said[name] for name in ("info", "state", "generation", "load", "seen_at")} | {"since": since}
        keys = [engine.c.pool, engine.c.worker]
        changed = engine.c.since >= func.now()  # this transaction's start
        upsert = statement.on_conflict_do_update(index_elements=keys, set_=news).returning(changed)
        with self._transaction() as connection:
            if connection.scalar(upsert):
                connection.execute(select(waking(Topic.SHARDS)))

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
                since=row.since,
                generation=row.generation,
                load=from_document(EngineLoad, row.load) if row.load is not None else None,
            )
            for row in rows
        ]
