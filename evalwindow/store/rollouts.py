"""A pool's engines are replaced one after another: who asked for it, whose turn it is, how far it is.

A turn is a lease. Every statement that gives or takes one holds the pool's lock, so there is one turn at a time in a
pool, over all its rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, and_, exists, func, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from evalwindow.errors import Conflict, NotFound
from evalwindow.store.database import Database, advisory_lock, lease
from evalwindow.store.engine_rows import Rollout, RolloutStep
from evalwindow.store.engine_tables import engine, rollout, rollout_step
from evalwindow.store.ids import new_id
from evalwindow.store.pools import ENGINE_SEEN_S, STOPPED
from evalwindow.store.wakes import rolling

OPEN = rollout.c.state.in_(("requested", "rolling"))
LOST = "its unit gave no sign of life in its turn"
LEFT = "its unit was stopped in its turn"


class Rollouts(Database):
    def request_rollout(self, pool: str, *, by: str, reason: str) -> Rollout:
        """Ask for one; an unfinished one of the pool is superseded. Raises Conflict where no engine lives."""
        row = {"id": new_id(), "pool": pool, "requested_by": by, "reason": reason, "state": "requested"}
        with self._transaction() as connection:
            advisory_lock(connection, "rollout", pool)
            if connection.scalar(select(func.count()).select_from(engine).where(_lives(pool))) == 0:
                raise Conflict(
                    f"no unit of pool {pool!r} lives, so there is no engine to replace; one that is started reads "
                    f"evalwindow.yaml by itself"
                )
            unfinished = update(rollout).where(rollout.c.pool == pool, OPEN)
            connection.execute(unfinished.values(state="superseded", ended_at=func.clock_timestamp()))
            asked = insert(rollout).values(row | {"requested_at": func.clock_timestamp()})
            connection.execute(asked.returning(rolling(pool)))
        return self.rollout(row["id"])

    def rollout(self, rollout_id: str) -> Rollout:
        """Raises NotFound."""
        with self._transaction() as connection:
            found = _read(connection, select(rollout).where(rollout.c.id == rollout_id))
        if not found:
            raise NotFound(kind="rollout", name=rollout_id)
        return found[0]

    def rollouts(self, pool: str | None = None, *, limit: int = 20) -> list[Rollout]:
        """The newest first."""
        statement = select(rollout).order_by(rollout.c.id.desc()).limit(limit)
        if pool is not None:
            statement = statement.where(rollout.c.pool == pool)
        with self._transaction() as connection:
            return _read(connection, statement)

    def open_rollout(self, pool: str) -> str | None:
        """The id of the one that goes on in a pool."""
        with self._transaction() as connection:
            return connection.scalar(select(rollout.c.id).where(rollout.c.pool == pool, OPEN))

    def take_turn(
        self, pool: str, worker: str, *, config_age_s: float, model_digest: str, lease_s: float
    ) -> str | None:
        """The id of the rollout in which it is this worker's turn now; None: not, or not yet.

        A worker that read its config after the rollout was asked for (`config_age_s` ago) needs no turn: it serves what
        it should. Whoever let its lease run out lost its turn. When all that live had theirs, the rollout is done.
        """
        fresh = (rollout.c.requested_at < lease(-config_age_s)).label("fresh")
        with self._transaction() as connection:
            advisory_lock(connection, "rollout", pool)
            found = connection.execute(select(rollout.c.id, fresh).where(rollout.c.pool == pool, OPEN)).one_or_none()
            if found is None:
                return None
            if found.fresh:
                if not connection.scalar(select(exists().where(_is_step(found.id, worker, "done")))):
                    _put(connection, found.id, worker, state="done", model_digest=model_digest, ended_at=_now())
                _finish_if_all_had_theirs(connection, found.id, pool=pool)
                return None
            if _somebody_rolls(connection, pool, worker=worker):
                return None
            _put(connection, found.id, worker, state="rolling", lease_until=lease(lease_s))
            connection.execute(update(rollout).where(rollout.c.id == found.id).values(state="rolling"))
            return str(found.id)

    def keep_turn(self, rollout_id: str, worker: str, *, lease_s: float) -> bool:
        """Renew the lease of a turn; False when somebody took it back."""
        mine = update(rollout_step).where(_is_step(rollout_id, worker, "rolling"))
        with self._transaction() as connection:
            return connection.execute(mine.values(lease_until=lease(lease_s))).rowcount == 1

    def end_turn(self, rollout_id: str, pool: str, worker: str, *, model_digest: str) -> None:
        """The worker serves what it should; the next one may."""
        with self._transaction() as connection:
            advisory_lock(connection, "rollout", pool)
            _put(connection, rollout_id, worker, state="done", model_digest=model_digest, ended_at=_now())
            _finish_if_all_had_theirs(connection, rollout_id, pool=pool)

    def halt_rollout(self, rollout_id: str, pool: str, worker: str, *, error: str) -> None:
        """The worker's new engine is none that may serve: nobody else tries it."""
        halted = update(rollout).where(rollout.c.id == rollout_id, OPEN)
        with self._transaction() as connection:
            advisory_lock(connection, "rollout", pool)
            _put(connection, rollout_id, worker, state="failed", error=error, ended_at=_now())
            connection.execute(halted.values(state="halted", error=f"{worker}: {error}", ended_at=_now()))

    def leave_turn(self, rollout_id: str, worker: str) -> None:
        """The worker ends before its turn does: the next one may."""
        mine = update(rollout_step).where(_is_step(rollout_id, worker, "rolling"))
        with self._transaction() as connection:
            connection.execute(mine.values(state="lost", error=LEFT, ended_at=_now(), lease_until=None))


def _now() -> Any:
    return func.clock_timestamp()


def _lives(pool: str) -> Any:
    """Of engines: those of a pool that can take a turn, now or when they are ready."""
    return and_(engine.c.pool == pool, engine.c.seen_at > lease(-ENGINE_SEEN_S), engine.c.state != STOPPED)


def _is_step(rollout_id: str, worker: str, state: str) -> Any:
    c = rollout_step.c
    return and_(c.rollout_id == rollout_id, c.worker == worker, c.state == state)


def _put(connection: Connection, rollout_id: str, worker: str, **news: Any) -> None:
    """Write down what became of a worker's turn."""
    values = {"error": None, "model_digest": None, "ended_at": None, "lease_until": None} | news
    begun = {"started_at": _now()} if news["state"] == "rolling" else {}
    row = {"rollout_id": rollout_id, "worker": worker, "started_at": _now(), **values}
    keys = [rollout_step.c.rollout_id, rollout_step.c.worker]
    statement = upsert(rollout_step).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=values | begun))


def _somebody_rolls(connection: Connection, pool: str, *, worker: str) -> bool:
    """Whether another worker of the pool has a turn, of this rollout or of an earlier one. Frees those of the dead."""
    c = rollout_step.c
    of_pool = c.rollout_id.in_(select(rollout.c.id).where(rollout.c.pool == pool))
    rolling = and_(of_pool, c.state == "rolling", c.worker != worker)
    dead = update(rollout_step).where(rolling, or_(c.lease_until.is_(None), c.lease_until < _now()))
    connection.execute(dead.values(state="lost", error=LOST, ended_at=_now(), lease_until=None))
    return bool(connection.scalar(select(exists().where(rolling))))


def _finish_if_all_had_theirs(connection: Connection, rollout_id: str, *, pool: str) -> None:
    had = select(rollout_step.c.worker).where(rollout_step.c.rollout_id == rollout_id, rollout_step.c.state == "done")
    waits = exists().where(_lives(pool), engine.c.worker.not_in(had))
    done = update(rollout).where(rollout.c.id == rollout_id, OPEN, ~waits)
    connection.execute(done.values(state="done", ended_at=_now()))


def _read(connection: Connection, statement: Any) -> list[Rollout]:
    rows = [dict(row._mapping) for row in connection.execute(statement)]
    steps = _steps(connection, [row["id"] for row in rows])
    return [Rollout(**row, steps=tuple(steps.get(row["id"], ()))) for row in rows]


def _steps(connection: Connection, rollout_ids: Sequence[str]) -> dict[str, list[RolloutStep]]:
    c = rollout_step.c
    names = list(RolloutStep.__dataclass_fields__)
    statement = select(c.rollout_id, *(c[name] for name in names)).where(c.rollout_id.in_(rollout_ids))
    found: dict[str, list[RolloutStep]] = {}
    for row in connection.execute(statement.order_by(c.started_at, c.worker)):
        step = RolloutStep(**{name: getattr(row, name) for name in names})
        found.setdefault(row.rollout_id, []).append(step)
    return found
