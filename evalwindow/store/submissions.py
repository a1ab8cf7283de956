"""How often teams submit: counted in one row each, and a flood's refusals counted in the same statement."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Connection, text

from evalwindow.breakers import Leave, Phase, Standing, Step, counted, of_errors, of_submissions
from evalwindow.config import Breaker
from evalwindow.store import breaker_changes
from evalwindow.store.breaker_rows import Entry
from evalwindow.store.breaker_waits import put_off
from evalwindow.store.database import Database
from evalwindow.store.keys import run_of
from evalwindow.store.usage import count

#: What rates.counted does where nothing changes but the count: one that is let in, or one more that is not. No row
#: where it would open or close, is on trial, or is the team's first.
_COUNT = text("""
    UPDATE breaker SET
        failures = CASE WHEN since > clock_timestamp() - interval '1 minute' THEN failures + 1 ELSE 1 END,
        since = CASE WHEN since > clock_timestamp() - interval '1 minute' THEN since ELSE clock_timestamp() END,
        retry_at = CASE WHEN state = 'open' AND failures = :most AND since > clock_timestamp() - interval '1 minute'
            THEN greatest(retry_at, since + interval '2 minutes') ELSE retry_at END,
        at = clock_timestamp()
    WHERE id = :id AND (
        state = 'closed'
            AND (failures < :most OR since IS NULL OR since <= clock_timestamp() - interval '1 minute')
        OR state = 'open' AND retry_at > clock_timestamp()
    )
    RETURNING state, failures, reason, retry_at, clock_timestamp() AS now,
        (SELECT count(*) FROM breaker e WHERE e.id = :errors AND e.state <> 'closed') AS erring
""")


class Submissions(Database):
    def count_submission(
        self, team: str, *, key: str | None, most: int, reason: str, rule: Breaker, alerts: Sequence[str] = ()
    ) -> Entry:
        """Count a team's submission; whether it may be. One that may not be is counted as refused.

        While more than `most` a minute keep coming, refused ones included, it stays shut, and the team's waiting
        regression shards with it. A `key` that was admitted is let through.
        """
        with self._transaction() as connection:
            entry = _count(connection, team, most=most) or _change(
                connection, team, most=most, reason=reason, rule=rule, alerts=alerts
            )
            if entry.wait_s is not None:
                if key is not None and run_of(connection, key) is not None:
                    return Entry()
                count(connection, team, refused=1)
        return entry

    def count_flood(self, team: str, *, most: int) -> None:
        """Count a submission that was refused because the team's breaker of submissions was open a moment ago."""
        with self._transaction() as connection:
            _count(connection, team, most=most)
            count(connection, team, refused=1)


def _count(connection: Connection, team: str, *, most: int) -> Entry | None:
    breaker_id = of_submissions(team)
    row = connection.execute(_COUNT, {"id": breaker_id, "most": most, "errors": of_errors(team)}).one_or_none()
    if row is None:
        return None
    if row.state == Phase.CLOSED:
        return Entry(erring=bool(row.erring))
    if row.failures == most + 1:  # the pause is longer now
        put_off(connection, breaker_id, until=row.retry_at)
    return Entry(wait_s=(row.retry_at - row.now).total_seconds(), reason=row.reason)


def _change(
    connection: Connection, team: str, *, most: int, reason: str, rule: Breaker, alerts: Sequence[str]
) -> Entry:
    breaker_id = of_submissions(team)
    breaker_changes.begin(connection, breaker_id)
    leaves: list[tuple[Leave, dt.datetime]] = []

    def change(standing: Standing, now: dt.datetime) -> Step:
        step, leave = counted(standing, now=now, most=most, reason=reason, rule=rule)
        leaves.append((leave, now))
        return step

    _, after = breaker_changes.make(connection, breaker_id, change, alerts=alerts)
    leave, now = leaves[-1]
    if leave.wait_until is None:
        return Entry(erring=True)
    put_off(connection, breaker_id, until=leave.wait_until)
    return Entry(wait_s=(leave.wait_until - now).total_seconds(), reason=after.reason or reason)
