"""The life of a shard in a worker's hands: claim, renew, hand back, give up. The token fences old holders off.

Its end is written with its last results: results.py.

Whoever changes a shard and looks at its run locks the run's row first, so claims, ends and supersessions of one run
take their turns and can't deadlock.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Row, null, text, update

from evalwindow.model import Candidate, ShardState, Tier
from evalwindow.store.database import Database
from evalwindow.store.documents import from_document
from evalwindow.store.rows import ClaimedShard
from evalwindow.store.tables import shard
from evalwindow.store.wakes import Topic, waking

#: One statement for the run's lock, the claim, and what its holder needs to know. Every part of it that changes a row
#: is joined with `held`, so the run is locked before any of its shards.
_CLAIM = text("""
    WITH held AS (
        SELECT id, state, candidate, suite_digest, use_cache, state IN ('queued', 'running') AS open,
            extract(epoch FROM window_end - clock_timestamp())::float8 AS left_s
        FROM run WHERE id = (SELECT run_id FROM shard WHERE id = :id) FOR NO KEY UPDATE
    ),
    too_late AS (
        UPDATE shard SET state = 'pending', dispatches = 0 FROM held
        WHERE shard.id = :id AND held.open AND held.left_s <= 0 AND shard.state = 'dispatched'
    ),
    taken AS (
        UPDATE shard SET state = 'running', token = token + 1, attempts = attempts + 1, dispatches = 0,
            lease_until = clock_timestamp() + CAST(:lease AS interval), started_at = now(), worker = :worker,
            error = NULL
        FROM held
        WHERE shard.id = :id AND held.open AND (held.left_s IS NULL OR held.left_s > 0)
            AND (shard.state IN ('pending', 'dispatched')
                OR (shard.state = 'running' AND shard.lease_until < clock_timestamp()))
        RETURNING shard.*
    ),
    started AS (
        UPDATE run SET state = 'running', started_at = clock_timestamp() FROM taken JOIN held ON true
        WHERE run.id = held.id AND held.state = 'queued'
    )
    SELECT taken.*, held.candidate, held.suite_digest, held.use_cache, held.left_s,
        ARRAY(
            SELECT b.id FROM breaker b
            WHERE (b.state <> 'closed' OR b.failures > 0)
                AND (b.id LIKE 'pool:%' OR b.id LIKE 'provider:%' OR b.id = 'team:' || taken.team || '/errors')
        ) AS suspects,
        EXISTS (SELECT FROM strike) AS struck
    FROM taken JOIN held ON true
""")

#: With the run locked; `token` null: whoever has it.
_FAIL = text("""
    WITH held AS (
        SELECT id FROM run WHERE id = (SELECT run_id FROM shard WHERE id = :id) FOR NO KEY UPDATE
    )
    UPDATE shard SET state = 'failed', error = :error, finished_at = clock_timestamp(), lease_until = NULL FROM held
    WHERE shard.id = :id AND (
        (shard.state = 'running' AND shard.token = CAST(:token AS bigint))
        OR (CAST(:token AS bigint) IS NULL AND shard.state IN ('pending', 'dispatched', 'running'))
    )
""")

#: A statement of its own, after the one that locked the run: it sees what whoever held that lock before has closed.
_LAST = text("""
    SELECT NOT EXISTS (
        SELECT FROM shard other
        WHERE other.run_id = shard.run_id AND other.state IN ('pending', 'dispatched', 'running')
    ) AS last,
    CASE WHEN EXISTS (
        SELECT FROM shard next WHERE next.pool = shard.pool AND next.tier = shard.tier AND next.state = 'pending'
    ) THEN pg_notify('evalwindow_work', 'shards') END
    FROM shard WHERE shard.id = :id
""")

#: The leases that are asked for, and what became of each, once `held` has those that were prolonged.
ASKED = "asked AS (SELECT * FROM unnest(CAST(:ids AS text[]), CAST(:tokens AS bigint[])) AS given (id, token))"
ANSWERS = """
    SELECT shard.id, CASE
            WHEN held.id IS NOT NULL AND run.window_end <= clock_timestamp() THEN 'closing'
            WHEN held.id IS NOT NULL THEN 'held'
            WHEN shard.state = 'cancelled' THEN 'cancelled'
            WHEN shard.state = 'done' AND shard.token = asked.token THEN 'done'
            ELSE 'lost'
        END AS answer
    FROM shard JOIN asked USING (id) LEFT JOIN held USING (id) JOIN run ON run.id = shard.run_id
"""

_RENEW = text(f"""
    WITH {ASKED},
    mine AS (
        SELECT id FROM shard JOIN asked USING (id, token) WHERE state = 'running'
        ORDER BY id FOR NO KEY UPDATE OF shard
    ),
    held AS (
        UPDATE shard SET lease_until = clock_timestamp() + CAST(:lease AS interval)
        FROM mine WHERE shard.id = mine.id RETURNING shard.id
    )
    {ANSWERS}
""")  # noqa: S608 - constants of this module


class Shards(Database):
    def claim(self, shard_id: str, worker: str, lease_s: float) -> ClaimedShard | None:
        """The right to work on a shard for `lease_s` seconds, counted as an attempt.

        None when it is done, cancelled, held by somebody whose lease runs, or of a run that is final: the message
        that named it was only a hint. None also when the run's window is over; the shard is pending again at once, for
        the night that goes on with it. A queued run is running from its first claim on.
        """
        values = {"id": shard_id, "worker": worker, "lease": dt.timedelta(seconds=lease_s)}
        with self._transaction() as connection:
            asked_at = time.monotonic()
            row = connection.execute(_CLAIM, values).one_or_none()
        if row is None:
            return None
        return _claimed(row, closes_at=math.inf if row.left_s is None else asked_at + row.left_s)

    def renew(self, tokens: Mapping[str, int], lease_s: float) -> dict[str, str]:
        """Prolong held shards (id -> token) in one round trip: id -> "held", "closing", "done", "lost" or "cancelled".

        A lease that ran out is held again if nobody took the shard meanwhile. "closing": held, but the run's window is
        over, so no further prompt may start. "done": by this token. "cancelled": its run is final.
        """
        values = {"ids": list(tokens), "tokens": list(tokens.values()), "lease": dt.timedelta(seconds=lease_s)}
        with self._transaction() as connection:
            answers = {row.id: row.answer for row in connection.execute(_RENEW, values)}
        return {shard_id: answers.get(shard_id, "lost") for shard_id in tokens}

    def fail_shard(self, shard_id: str, token: int | None, reason: str) -> bool:
        """Give a shard up for good; without a token whoever holds it.

        True for exactly one caller of this and of `write`: the one after whom nothing of the run remains.
        """
        with self._transaction() as connection:
            failed = connection.execute(_FAIL, {"id": shard_id, "token": token, "error": reason}).rowcount
            return bool(failed) and is_last(connection, shard_id)

    def release(
        self, shard_id: str, token: int, reason: str | None = None, *, not_before: dt.datetime | None = None
    ) -> None:
        """Hand a held shard back unfinished. An old token changes nothing.

        With a reason the attempt failed: it counts, and the reason is kept. Without one, the holder only stops. With
        `not_before` nobody is sent it until then: no attempt has failed, whatever the reason, which is kept all the
        same.
        """
        counted = shard.c.attempts if reason and not_before is None else shard.c.attempts - 1
        back = {"attempts": counted, "lease_until": null(), "error": reason, "not_before": not_before}
        statement = (
            update(shard)
            .where(shard.c.id == shard_id, shard.c.state == ShardState.RUNNING, shard.c.token == token)
            .values(state=ShardState.PENDING, **back)
            .returning(waking(Topic.LATER if not_before else Topic.SHARDS))
        )
        with self._transaction() as connection:
            connection.execute(statement)


def is_last(connection: Connection, shard_id: str) -> bool:
    """Of a shard that was closed in this transaction: does nothing of its run remain? Room for another one is told."""
    return bool(connection.execute(_LAST, {"id": shard_id}).scalar_one())


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
        candidate=from_document(Candidate, row.candidate),
        suite_digest=row.suite_digest,
        use_cache=row.use_cache,
        suspects=frozenset(row.suspects),
        struck=row.struck,
        closes_at=closes_at,
    )
