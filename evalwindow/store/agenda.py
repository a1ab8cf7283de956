"""When there will be something to do: one statement for all of a dispatcher's chores."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sqlalchemy import text

from evalwindow.store.database import Database
from evalwindow.store.joined import WAITS

#: When a message counts as lost; the reaper uses the same. The wait doubles with each message, 64 times the first at
#: most: where nobody consumes, messages don't pile up.
LOST_AT = "s.dispatched_at + CAST(:older AS interval) * power(2, least(s.dispatches - 1, 6))"
#: Nothing of it is left to do, and not just now: whoever should have concluded it died.
STUCK = """
    run.state IN ('queued', 'running')
    AND NOT EXISTS (SELECT FROM shard s WHERE s.run_id = run.id AND s.state IN ('pending', 'dispatched', 'running'))
    AND NOT EXISTS (SELECT FROM shard s WHERE s.run_id = run.id AND s.finished_at > clock_timestamp() - CAST(:idle AS interval))
"""  # noqa: E501

#: Teams that have used what they may in their period.
HELD = "s.tier = 'regression' AND s.team = ANY (CAST(:held AS text[]))"

_AGENDA = text(f"""
    WITH moment AS (
        SELECT
            (SELECT min(CASE state WHEN 'received' THEN received_at ELSE lease_until END)
                FROM event WHERE state IN ('received', 'processing')) AS events,
            (SELECT min(CASE state WHEN 'waiting' THEN next_at ELSE lease_until END)
                FROM delivery WHERE state IN ('waiting', 'sending')) AS deliveries,
            coalesce((SELECT now() WHERE EXISTS (
                SELECT FROM shard s JOIN run ON run.id = s.run_id
                WHERE s.state = 'pending' AND (s.not_before IS NULL OR s.not_before <= now()) AND NOT ({HELD})
                    AND (run.window_end IS NULL OR run.window_end > now()) AND NOT {WAITS}
            )), least(
                (SELECT min(not_before) FROM shard WHERE state = 'pending' AND not_before > now()),
                (SELECT CAST(:until AS timestamptz) WHERE EXISTS (
                    SELECT FROM shard s WHERE s.state = 'pending' AND {HELD})),
                (SELECT min(first.window_end) FROM run JOIN run first ON first.id = run.joined_to
                    WHERE run.state IN ('queued', 'running') AND first.state IN ('queued', 'running')
                        AND first.window_end > now())
            )) AS shards,
            (SELECT min(lease_until) FROM shard WHERE state = 'running') AS leases,
            (SELECT min(least(run.window_end, {LOST_AT}))
                FROM shard s JOIN run ON run.id = s.run_id WHERE s.state = 'dispatched') AS messages,
            (SELECT now() WHERE EXISTS (SELECT FROM run WHERE {STUCK})) AS stuck,
            (SELECT now() WHERE EXISTS (SELECT FROM night WHERE closed_at IS NULL AND settled_at IS NULL
                AND ends_at > now() AND budget_gpu_s IS NOT NULL)) AS budget
    )
    SELECT
        extract(epoch FROM events - clock_timestamp())::float8 AS events,
        extract(epoch FROM deliveries - clock_timestamp())::float8 AS deliveries,
        extract(epoch FROM shards - clock_timestamp())::float8 AS shards,
        extract(epoch FROM least(leases, messages, stuck) - clock_timestamp())::float8 AS upkeep,
        extract(epoch FROM budget - clock_timestamp())::float8 AS budget
    FROM moment
""")  # noqa: S608 - constants of this module


@dataclass(frozen=True, kw_only=True)
class Agenda:
    """Seconds from now until there is something to do, negative when it is overdue; None: nothing is known of."""

    events: float | None
    deliveries: float | None
    shards: float | None  # some wait that may be sent, whether or not there is room for them
    upkeep: float | None  # a lease runs out, a message counts as lost, a run has been left unconcluded
    budget: float | None  # a night with a budget is open


NOBODY: Mapping[str, dt.datetime] = MappingProxyType({})


class Agendas(Database):
    def agenda(
        self, *, dispatched_older_than_s: float, idle_s: float = 1.0, held: Mapping[str, dt.datetime] = NOBODY
    ) -> Agenda:
        """What a dispatcher has to do when; the first two arguments are those of `reap` and `stuck_runs`.

        `held`: teams of which no regression shard is sent before a moment.
        """
        values = {
            "older": dt.timedelta(seconds=dispatched_older_than_s),
            "idle": dt.timedelta(seconds=idle_s),
            "held": list(held),
            "until": min(held.values(), default=None),
        }
        with self._transaction() as connection:
            return Agenda(**connection.execute(_AGENDA, values).one()._mapping)
