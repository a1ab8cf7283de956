"""The dispatcher's statements: which shards get a message next, and what is put right when messages or workers die."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Collection, Sequence

from sqlalchemy import text, update

from evalwindow.model import ShardState, Tier
from evalwindow.store.agenda import LOST_AT
from evalwindow.store.database import Database, try_advisory_lock
from evalwindow.store.endings import in_order
from evalwindow.store.joined import WAITS
from evalwindow.store.pools import ENGINE_SEEN_S
from evalwindow.store.rows import Backlog, Reaped
from evalwindow.store.tables import shard
from evalwindow.store.wakes import Topic, waking

ALIVE = "engine.state <> 'stopped' AND engine.seen_at > clock_timestamp() - CAST(:seen AS interval)"

#: A team's next turn is its place in its own backlog plus what it has in flight, and no turn is beyond its cap. The
#: teams are found by jumping through the index and at most `room` shards of each are ranked, so the cost doesn't grow
#: with the backlog.
_TOP_UP = text(f"""
    WITH RECURSIVE team AS (
        (SELECT s.team FROM shard s
         WHERE s.pool = :pool AND s.tier = :tier AND s.state = 'pending' ORDER BY s.team LIMIT 1)
        UNION ALL
        SELECT (SELECT s.team FROM shard s
                WHERE s.pool = :pool AND s.tier = :tier AND s.state = 'pending' AND s.team > team.team
                ORDER BY s.team LIMIT 1)
        FROM team WHERE team.team IS NOT NULL
    ),
    inflight AS (
        SELECT s.team, count(*) AS shards FROM shard s
        WHERE s.pool = :pool AND s.tier = :tier AND s.state IN ('dispatched', 'running') GROUP BY s.team
    ),
    ranked AS (
        SELECT head.id,
            row_number() OVER (PARTITION BY team.team ORDER BY head.id) + coalesce(inflight.shards, 0) AS turn
        FROM (SELECT team FROM team WHERE team <> ALL (CAST(:held AS text[]))) AS team
        LEFT JOIN inflight USING (team), LATERAL (
            SELECT s.id FROM shard s JOIN run ON run.id = s.run_id
            WHERE s.pool = :pool AND s.tier = :tier AND s.state = 'pending' AND s.team = team.team
                AND (s.not_before IS NULL OR s.not_before <= now())
                AND (run.window_end IS NULL OR run.window_end > now()) AND NOT {WAITS}
            ORDER BY s.id LIMIT :room
        ) AS head
    ),
    chosen AS (
        SELECT s.id, ranked.turn FROM shard s JOIN ranked USING (id)
        WHERE s.state = 'pending' AND ranked.turn <= :cap
        ORDER BY ranked.turn, s.id LIMIT :room FOR UPDATE OF s SKIP LOCKED
    ),
    dispatched AS (
        UPDATE shard SET state = 'dispatched', dispatched_at = clock_timestamp(), dispatches = dispatches + 1,
            not_before = NULL
        FROM chosen WHERE shard.id = chosen.id RETURNING shard.id, chosen.turn
    )
    SELECT id FROM dispatched ORDER BY turn, id
""")  # noqa: S608 - a constant of joined.py

#: For as long as the lane, and the team's share of it, has room: else a backlog of messages would be served in the
#: order of their arrival, whosever they are.
_DISPATCH_RUN = text(f"""
    WITH lane AS (
        SELECT count(s.id) AS taken, count(s.id) FILTER (WHERE s.team = run.team) AS own,
            greatest(1, (SELECT count(*) FROM engine WHERE engine.pool = run.pool AND {ALIVE})) AS engines
        FROM run LEFT JOIN shard s
            ON s.pool = run.pool AND s.tier = run.tier AND s.state IN ('dispatched', 'running')
        WHERE run.id = :run_id GROUP BY run.id
    ),
    chosen AS (
        SELECT s.id FROM shard s JOIN run ON run.id = s.run_id, lane
        WHERE s.run_id = :run_id AND s.state = 'pending' AND (s.not_before IS NULL OR s.not_before <= now())
            AND NOT {WAITS} AND lane.taken < :room * lane.engines AND lane.own < :cap * lane.engines
        ORDER BY s.id FOR UPDATE OF s SKIP LOCKED
    ),
    dispatched AS (
        UPDATE shard SET state = 'dispatched', dispatched_at = clock_timestamp(), dispatches = dispatches + 1,
            not_before = NULL
        FROM chosen WHERE shard.id = chosen.id RETURNING shard.id
    )
    SELECT id FROM dispatched ORDER BY id
""")  # noqa: S608 - constants of this module and of joined.py

#: A lease that ran on past its run's window is no failed attempt: GPUs may be taken away with the window.
_REAP_LEASES = text("""
    WITH expired AS (
        SELECT s.id, coalesce(run.window_end <= s.lease_until, false) AS closed
        FROM shard s JOIN run ON run.id = s.run_id
        WHERE s.state = 'running' AND s.lease_until < clock_timestamp()
        ORDER BY s.id LIMIT 1000 FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE shard SET
        state = CASE WHEN closed OR attempts < :max_attempts THEN 'pending' ELSE 'failed' END,
        finished_at = CASE WHEN closed OR attempts < :max_attempts THEN NULL ELSE clock_timestamp() END,
        attempts = CASE WHEN closed THEN attempts - 1 ELSE attempts END,
        error = CASE WHEN closed THEN 'not handed back at the end of the window by ' || worker
            ELSE 'claimed ' || attempts || ' times and never finished; last by ' || worker END,
        lease_until = NULL
    FROM expired WHERE shard.id = expired.id RETURNING shard.state, pg_notify('evalwindow_work', 'shards')
""")

#: When a window is over, its messages are of no use any more.
_REAP_DISPATCHED = text(f"""
    WITH forgotten AS (
        SELECT s.id, coalesce(run.window_end <= clock_timestamp(), false) AS closed
        FROM shard s JOIN run ON run.id = s.run_id
        WHERE s.state = 'dispatched' AND (
            run.window_end <= clock_timestamp() OR {LOST_AT} < clock_timestamp()
        )
        ORDER BY s.id LIMIT 1000 FOR UPDATE OF s SKIP LOCKED
    )
    UPDATE shard SET state = 'pending', dispatches = CASE WHEN closed THEN 0 ELSE dispatches END
    FROM forgotten WHERE shard.id = forgotten.id RETURNING closed, pg_notify('evalwindow_work', 'shards')
""")  # noqa: S608 - a constant of agenda.py

_BACKLOG = text(f"""
    WITH of_team AS (
        SELECT pool, tier, count(*) FILTER (WHERE state = 'pending') AS pending,
            count(*) FILTER (WHERE state = 'dispatched') AS dispatched,
            count(*) FILTER (WHERE state = 'running') AS running
        FROM shard WHERE state IN ('pending', 'dispatched', 'running') GROUP BY pool, tier, team
    )
    SELECT pool, tier, sum(pending)::integer AS pending, sum(dispatched)::integer AS dispatched,
        sum(running)::integer AS running, min(dispatched + running) FILTER (WHERE pending > 0) AS least,
        (SELECT count(*) FROM engine WHERE engine.pool = of_team.pool AND {ALIVE}) AS engines
    FROM of_team GROUP BY pool, tier ORDER BY pool, tier
""")  # noqa: S608 - a constant of this module

UNCAPPED = 2**31 - 1
SEEN = dt.timedelta(seconds=ENGINE_SEEN_S)


class Dispatch(Database):
    def top_up(
        self, pool: str, tier: Tier, room: int, *, team_cap: int | None = None, held: Collection[str] = ()
    ) -> list[str]:
        """Choose up to `room` pending shards in fair order between teams and mark them dispatched: send these.

        No team gets more than `team_cap` dispatched and running at once. What waits: shards of the `held` teams, of
        runs whose window has ended, of runs that another one answers, and those handed back for a later moment.
        """
        if room < 1:
            return []
        cap = UNCAPPED if team_cap is None else team_cap
        values = {"pool": pool, "tier": tier.value, "room": room, "cap": cap, "held": list(held)}
        with self._transaction() as connection:
            return list(connection.scalars(_TOP_UP, values))

    def dispatch_run(self, run_id: str, *, room: int = UNCAPPED, team_cap: int = UNCAPPED) -> list[str]:
        """Mark a run's pending shards dispatched without the dispatcher: for smoke, right after its admission.

        None where `room` shards of its lane are on their way for each engine, or `team_cap` of its team: then its turn
        comes in fair order. None of a run that waits for another's answers. The dispatcher sends them when it is time.
        """
        values = {"run_id": run_id, "room": room, "cap": team_cap, "seen": SEEN}
        with self._transaction() as connection:
            return list(connection.scalars(_DISPATCH_RUN, values))

    def undispatch(self, shard_ids: Sequence[str]) -> None:
        """Their messages could not be sent: pending again, and the dispatchers hear of it."""
        unsent = in_order(shard.c.id.in_(list(shard_ids)), shard.c.state == ShardState.DISPATCHED)
        back = {"state": ShardState.PENDING, "dispatches": shard.c.dispatches - 1}
        with self._transaction() as connection:
            connection.execute(
                update(shard).where(shard.c.id == unsent.c.id).values(back).returning(waking(Topic.SHARDS))
            )

    def backlog(self) -> list[Backlog]:
        """What is not final, by pool and tier, and how many engines there are for it."""
        with self._transaction() as connection:
            rows = connection.execute(_BACKLOG, {"seen": SEEN}).all()
        return [Backlog(**{**row._mapping, "tier": Tier(row.tier)}) for row in rows]

    def reap(self, dispatched_older_than_s: float, max_attempts: int) -> Reaped:
        """One round of the reaper; nothing while another one is at it. What is pending again is told.

        A shard whose lease ran out is pending again, or failed when it was claimed `max_attempts` times. One that
        was dispatched so long ago without a claim lost its message, and is pending again. So is, uncounted, whatever
        of a closed window nobody has in hand.
        """
        older = dt.timedelta(seconds=dispatched_older_than_s)
        with self._transaction() as connection:
            if not try_advisory_lock(connection, "reaper"):
                return Reaped()
            states = Counter(connection.scalars(_REAP_LEASES, {"max_attempts": max_attempts}))
            closed = Counter(connection.scalars(_REAP_DISPATCHED, {"older": older}))
        return Reaped(retried=states["pending"], failed=states["failed"], republished=closed[False])
