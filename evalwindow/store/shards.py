"""The life of a shard in a worker's hands: claim, renew, finish, hand back. The token fences old holders off.

Whoever changes a shard and looks at its run locks the run's row first, so claims, ends and supersessions of one run
take their turns and can't deadlock.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, func, literal, null, or_, select, text, update

from evalwindow.model import RunState, ShardState, Tier
from evalwindow.store.database import Database, lease
from evalwindow.store.endings import OPEN, UNFINISHED
from evalwindow.store.rows import ClaimedShard
from evalwindow.store.tables import run, shard

_RENEW = text("""
    WITH asked AS (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:tokens AS bigint[])) AS given (id, token)),
    mine AS (
        SELECT id FROM shard JOIN asked USING (id, token) WHERE state = 'running' ORDER BY id FOR UPDATE OF shard
    ),
    held AS (
        UPDATE shard SET lease_until = clock_timestamp() + CAST(:lease AS interval)
        FROM mine WHERE shard.id = mine.id RETURNING shard.id
    )
    SELECT shard.id, shard.state, held.id IS NOT NULL AS held,
        coalesce(run.window_end <= clock_timestamp(), false) AS closing
    FROM shard JOIN asked USING (id) LEFT JOIN held USING (id) JOIN run ON run.id = shard.run_id
""")


class Shards(Database):
    def claim(self, shard_id: str, worker: str, lease_s: float) -> ClaimedShard | None:
        """The right to work on a shard for `lease_s` seconds, counted as an attempt.

        None when it is done, cancelled, held by somebody whose lease runs, or of a run that is final: the message
        that named it was only a hint. None also when the run's window is over; the shard is pending again at once, for
        the night that goes on with it. A queued run is running from its first claim on.
        """
        statement = (
            update(shard)
            .where(shard.c.id == shard_id, _claimable())
            .values(
                state=ShardState.RUNNING,
                token=shard.c.token + 1,
                attempts=shard.c.attempts + 1,
                dispatches=0,
                lease_until=lease(lease_s),
                started_at=func.now(),
                worker=worker,
                error=null(),
            )
            .returning(shard)
        )
        with self._transaction() as connection:
            held_run = _lock_run(connection, shard_id)
            if held_run is None or held_run.state not in OPEN:
                return None
            asked_at = time.monotonic()
            left_s = _seconds_left(connection, held_run.window_end)
            if left_s <= 0:
                _put_back(connection, shard_id)
                return None
            row = connection.execute(statement).one_or_none()
            if row is not None and held_run.state == RunState.QUEUED:
                _start_run(connection, held_run.id)
        return None if row is None else _claimed(row, closes_at=asked_at + left_s)

    def renew(self, tokens: Mapping[str, int], lease_s: float) -> dict[str, str]:
        """Prolong held shards (id -> token) in one round trip: id -> "held", "closing", "lost" or "cancelled".

        A lease that ran out is held again if nobody took the shard meanwhile. "closing": held, but the run's window is
        over, so no further prompt may start. "cancelled": its run is final.
        """
        values = {"ids": list(tokens), "tokens": list(tokens.values()), "lease": dt.timedelta(seconds=lease_s)}
        with self._transaction() as connection:
            rows = connection.execute(_RENEW, values).all()
        answers = {row.id: _answer(row) for row in rows}
        return {shard_id: answers.get(shard_id, "lost") for shard_id in tokens}

    def finish(self, shard_id: str, token: int) -> bool:
        """Mark a held shard done. True for exactly one caller: the one after whom nothing of the run remains."""
        held = and_(shard.c.state == ShardState.RUNNING, shard.c.token == token)
        return self._close(shard_id, held, state=ShardState.DONE, error=None)

    def fail_shard(self, shard_id: str, token: int | None, reason: str) -> bool:
        """Give a shard up for good; without a token whoever holds it. True as for `finish`."""
        held = and_(shard.c.state == ShardState.RUNNING, shard.c.token == token)
        mine = shard.c.state.in_(UNFINISHED) if token is None else held
        return self._close(shard_id, mine, state=ShardState.FAILED, error=reason)

    def release(self, shard_id: str, token: int, reason: str | None = None) -> None:
        """Hand a held shard back unfinished. An old token changes nothing.

        With a reason the attempt failed: it counts, and the reason is kept. Without one, the holder only stops.
        """
        counted = shard.c.attempts if reason else shard.c.attempts - 1
        statement = (
            update(shard)
            .where(shard.c.id == shard_id, shard.c.state == ShardState.RUNNING, shard.c.token == token)
            .values(state=ShardState.PENDING, attempts=counted, lease_until=null(), error=reason)
        )
        with self._transaction() as connection:
            connection.execute(statement)

    def _close(self, shard_id: str, mine: ColumnElement[bool], *, state: ShardState, error: str | None) -> bool:
        closed = {"state": state, "error": error, "finished_at": func.clock_timestamp(), "lease_until": null()}
        with self._transaction() as connection:
            held_run = _lock_run(connection, shard_id)
            changed = connection.execute(update(shard).where(shard.c.id == shard_id, mine).values(closed))
            if held_run is None or not changed.rowcount:
                return False
            remains = exists().where(shard.c.run_id == held_run.id, shard.c.state.in_(UNFINISHED))
            return not connection.scalar(select(remains))


def _claimable() -> ColumnElement[bool]:
    waiting = shard.c.state.in_((ShardState.PENDING, ShardState.DISPATCHED))
    expired = and_(shard.c.state == ShardState.RUNNING, shard.c.lease_until < func.clock_timestamp())
    return or_(waiting, expired)


def _lock_run(connection: Connection, shard_id: str) -> Row[Any, Any, Any] | None:
    """The run of a shard, locked against every other end or claim of it."""
    of_shard = select(shard.c.run_id).where(shard.c.id == shard_id).scalar_subquery()
    wanted = select(run.c.id, run.c.state, run.c.window_end).where(run.c.id == of_shard)
    return connection.execute(wanted.with_for_update(key_share=True)).one_or_none()


def _seconds_left(connection: Connection, window_end: dt.datetime | None) -> float:
    """Until a window ends, by the server's clock; infinite where there is none."""
    if window_end is None:
        return math.inf
    left = func.extract("epoch", literal(window_end) - func.clock_timestamp())
    return float(connection.execute(select(left)).scalar_one())


def _put_back(connection: Connection, shard_id: str) -> None:
    """Its message came too late."""
    sent = and_(shard.c.id == shard_id, shard.c.state == ShardState.DISPATCHED)
    connection.execute(update(shard).where(sent).values(state=ShardState.PENDING, dispatches=0))


def _start_run(connection: Connection, run_id: str) -> None:
    connection.execute(
        update(run).where(run.c.id == run_id).values(state=RunState.RUNNING, started_at=func.clock_timestamp())
    )


def _answer(row: Row[Any]) -> str:
    if row.held:
        return "closing" if row.closing else "held"
    return "cancelled" if row.state == ShardState.CANCELLED else "lost"


def _claimed(row: Row[Any], *, closes_at: float) -> ClaimedShard:
    return ClaimedShard(
        id=row.id,
        run_id=row.run_id,
        token=row.token,
        sample_ids=tuple(row.sample_ids),
        tier=Tier(row.tier),
        team=row.team,
        pool=row.pool,
        attempts=row.attempts,
        closes_at=closes_at,
    )
