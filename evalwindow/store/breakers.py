"""Breakers: transitions under the row's lock, each with the event that is told and what waits for it.

A row exists only once something failed. Who changes a breaker locks its row first and shards or deliveries after it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Row, select

from evalwindow.breakers import Phase, Standing, Step, What, ask, failed, reset, succeeded, untried
from evalwindow.config import Breaker
from evalwindow.errors import NotFound
from evalwindow.store import breaker_changes
from evalwindow.store.breaker_changes import ROWS, retry_at, standing_of
from evalwindow.store.breaker_rows import BreakerEvent, BreakerRow, FailedShard, Turn
from evalwindow.store.breaker_waits import give_back_attempts, hand_back, put_off, wake
from evalwindow.store.database import Database
from evalwindow.store.limit_tables import breaker, breaker_event


class Breakers(Database):
    def breaker(self, breaker_id: str) -> BreakerRow | None:
        """None: nothing of it has ever failed."""
        with self._transaction() as connection:
            row = connection.execute(ROWS.where(breaker.c.id == breaker_id)).one_or_none()
        return None if row is None else _row(row)

    def breakers(self) -> list[BreakerRow]:
        """All that ever had a failure, by id."""
        with self._transaction() as connection:
            return list(map(_row, connection.execute(ROWS.order_by(breaker.c.id))))

    def breaker_event(self, event_id: str) -> BreakerEvent:
        """Raises NotFound."""
        with self._transaction() as connection:
            row = connection.execute(select(breaker_event).where(breaker_event.c.id == event_id)).one_or_none()
        if row is None:
            raise NotFound(kind="breaker event", name=event_id)
        return _event(row)

    def breaker_events(
        self,
        limit: int,
        *,
        breaker_id: str | None = None,
        since: dt.datetime | None = None,
        until: dt.datetime | None = None,
        what: What | None = None,
    ) -> list[BreakerEvent]:
        """The newest first; `since` and `until` are included."""
        statement = select(breaker_event).order_by(breaker_event.c.id.desc()).limit(limit)
        if breaker_id is not None:
            statement = statement.where(breaker_event.c.breaker_id == breaker_id)
        if what is not None:
            statement = statement.where(breaker_event.c.what == what)
        if since is not None:
            statement = statement.where(breaker_event.c.at >= since)
        if until is not None:
            statement = statement.where(breaker_event.c.at <= until)
        with self._transaction() as connection:
            return [_event(row) for row in connection.execute(statement)]

    def ask_breakers(self, breaker_ids: Iterable[str], *, probe_s: float) -> Turn:
        """May something be tried that all of these guard? It is nobody's probe where one of them says no.

        A probe has `probe_s` seconds to say how it went; then the next one may.
        """
        with self._transaction() as connection:
            locked = {each: breaker_changes.lock(connection, each) for each in sorted(set(breaker_ids))}
            known = {each: found for each, found in locked.items() if found is not None}
            asked = {each: ask(standing, now=now, probe_s=probe_s) for each, (standing, now) in known.items()}
            waits = [leave.wait_until for _, leave in asked.values() if leave.wait_until is not None]
            if waits:
                return Turn(wait_until=max(waits))
            probes = frozenset(each for each, (_, leave) in asked.items() if leave.probe)
            for each in sorted(probes):
                breaker_changes.keep(connection, each, asked[each][0])
                put_off(connection, each, until=retry_at(asked[each][0]))
        return Turn(probes=probes)

    def breaker_failed(
        self,
        breaker_id: str,
        *,
        reason: str,
        rule: Breaker,
        probe: bool = False,
        at_least_s: float = 0.0,
        alerts: Sequence[str] = (),
        shard: FailedShard | None = None,
    ) -> Standing:
        """Count a failure; how the breaker is then. When that opens it, what it guards waits, and `alerts` are told.

        What failed before it opened gets the attempts back that this may have cost. `shard` is handed back in the same
        transaction: uncounted and for later where the breaker is not closed, else for another attempt if it may have
        one.
        """

        def change(standing: Standing, now: dt.datetime) -> Step:
            return failed(standing, reason=reason, now=now, rule=rule, probe=probe, at_least_s=at_least_s)

        with self._transaction() as connection:
            breaker_changes.begin(connection, breaker_id)
            before, after = breaker_changes.make(connection, breaker_id, change, alerts=alerts)
            if shard is not None and (after.phase is not Phase.CLOSED or shard.may_retry):
                hand_back(connection, shard.id, shard.token, reason=reason, until=after.retry_at)
            if after.phase is Phase.OPEN and before != after:
                put_off(connection, breaker_id, until=retry_at(after))
            if after.phase is Phase.OPEN and before.phase is Phase.CLOSED:
                give_back_attempts(connection, breaker_id, most=rule.failures)
        return after

    def breaker_succeeded(self, breaker_id: str, *, probe: bool = False, alerts: Sequence[str] = ()) -> Standing:
        """Note a success. When that closes the breaker, whatever waited goes on, and `alerts` are told."""
        with self._transaction() as connection:
            before, after = breaker_changes.make(
                connection, breaker_id, lambda standing, _: succeeded(standing, probe=probe), alerts=alerts
            )
            if after.phase is Phase.CLOSED and before.phase is not Phase.CLOSED:
                wake(connection, breaker_id, was=before.retry_at)
        return after

    def breakers_untried(self, breaker_ids: Iterable[str]) -> None:
        """A probe ended before it tried: the next one may be one at once."""
        with self._transaction() as connection:
            for each in sorted(set(breaker_ids)):
                before, after = breaker_changes.make(connection, each, lambda standing, now: untried(standing, now=now))
                if before != after:
                    wake(connection, each, was=before.retry_at)

    def wake_closed(self, breaker_ids: Iterable[str], *, was: dt.datetime) -> None:
        """After something was put off until `was`: should one of these have closed meanwhile, it goes on at once."""
        with self._transaction() as connection:
            for each in sorted(set(breaker_ids)):
                locked = breaker_changes.lock(connection, each)
                if locked is None or locked[0].phase is Phase.CLOSED:
                    wake(connection, each, was=was)

    def reset_breaker(self, breaker_id: str, *, by: str, reason: str, alerts: Sequence[str] = ()) -> bool:
        """Close it, for somebody knows better; False where there was nothing to reset."""
        with self._transaction() as connection:
            before, _ = breaker_changes.make(
                connection, breaker_id, lambda standing, _: reset(standing), alerts=alerts, by=by, reason=reason
            )
            if before.troubled:
                wake(connection, breaker_id, was=before.retry_at)
        return before.troubled


def _row(row: Row[Any]) -> BreakerRow:
    return BreakerRow(id=row.id, standing=standing_of(row), at=row.at, now=row.now)


def _event(row: Row[Any]) -> BreakerEvent:
    return BreakerEvent(
        id=row.id, breaker_id=row.breaker_id, what=What(row.what), reason=row.reason, by=row.by, at=row.at
    )
