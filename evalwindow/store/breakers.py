"""Breakers: transitions under the row's lock, each with the event that is told and what waits for it.

A row exists only once something failed. Who changes a breaker locks its row first and shards or deliveries after it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from evalwindow.breakers import (
    LEAVE,
    Leave,
    Phase,
    Standing,
    Step,
    What,
    ask,
    counted,
    failed,
    of_errors,
    of_submissions,
    reset,
    succeeded,
    untried,
)
from evalwindow.config import Breaker
from evalwindow.errors import NotFound
from evalwindow.store.breaker_rows import BreakerEvent, BreakerRow, FailedShard, Turn
from evalwindow.store.breaker_waits import give_back_attempts, hand_back, put_off, wake
from evalwindow.store.database import Database
from evalwindow.store.deliveries import queue_alerts
from evalwindow.store.ids import new_id
from evalwindow.store.limit_tables import breaker, breaker_event

Change = Callable[[Standing, dt.datetime], Step]

_ROWS = select(breaker, func.clock_timestamp().label("now"))

#: One more submission where nothing is wrong; no row where something is, or where it is the team's first.
_COUNT = text("""
    UPDATE breaker SET
        failures = CASE WHEN since > clock_timestamp() - interval '1 minute' THEN failures + 1 ELSE 1 END,
        since = CASE WHEN since > clock_timestamp() - interval '1 minute' THEN since ELSE clock_timestamp() END,
        at = clock_timestamp()
    WHERE id = :id AND state = 'closed'
        AND (failures < :most OR since IS NULL OR since <= clock_timestamp() - interval '1 minute')
    RETURNING (SELECT count(*) FROM breaker e WHERE e.id = :errors AND e.state <> 'closed') AS erring
""")


class Breakers(Database):
    def breaker(self, breaker_id: str) -> BreakerRow | None:
        """None: nothing of it has ever failed."""
        with self._transaction() as connection:
            row = connection.execute(_ROWS.where(breaker.c.id == breaker_id)).one_or_none()
        return None if row is None else _row(row)

    def breakers(self) -> list[BreakerRow]:
        """All that ever had a failure, by id."""
        with self._transaction() as connection:
            return list(map(_row, connection.execute(_ROWS.order_by(breaker.c.id))))

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
            locked = {each: _locked(connection, each) for each in sorted(set(breaker_ids))}
            known = {each: found for each, found in locked.items() if found is not None}
            asked = {each: ask(standing, now=now, probe_s=probe_s) for each, (standing, now) in known.items()}
            waits = [leave.wait_until for _, leave in asked.values() if leave.wait_until is not None]
            if waits:
                return Turn(wait_until=max(waits))
            probes = frozenset(each for each, (_, leave) in asked.items() if leave.probe)
            for each in sorted(probes):
                _keep(connection, each, asked[each][0])
                put_off(connection, each, until=_retry_at(asked[each][0]))
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
            connection.execute(insert(breaker).values(id=breaker_id, state=Phase.CLOSED).on_conflict_do_nothing())
            before, after = _change(connection, breaker_id, change, alerts=alerts)
            if shard is not None and (after.phase is not Phase.CLOSED or shard.may_retry):
                hand_back(connection, shard.id, shard.token, reason=reason, until=after.retry_at)
            if after.phase is Phase.OPEN and before != after:
                put_off(connection, breaker_id, until=_retry_at(after))
            if after.phase is Phase.OPEN and before.phase is Phase.CLOSED:
                give_back_attempts(connection, breaker_id, most=rule.failures)
        return after

    def breaker_succeeded(self, breaker_id: str, *, probe: bool = False, alerts: Sequence[str] = ()) -> Standing:
        """Note a success. When that closes the breaker, whatever waited goes on, and `alerts` are told."""
        with self._transaction() as connection:
            before, after = _change(
                connection, breaker_id, lambda standing, _: succeeded(standing, probe=probe), alerts=alerts
            )
            if after.phase is Phase.CLOSED and before.phase is not Phase.CLOSED:
                wake(connection, breaker_id, was=before.retry_at)
        return after

    def breakers_untried(self, breaker_ids: Iterable[str]) -> None:
        """A probe ended before it tried: the next one may be one at once."""
        with self._transaction() as connection:
            for each in sorted(set(breaker_ids)):
                before, after = _change(connection, each, lambda standing, now: untried(standing, now=now))
                if before != after:
                    wake(connection, each, was=before.retry_at)

    def wake_closed(self, breaker_ids: Iterable[str], *, was: dt.datetime) -> None:
        """After something was put off until `was`: should one of these have closed meanwhile, it goes on at once."""
        with self._transaction() as connection:
            for each in sorted(set(breaker_ids)):
                locked = _locked(connection, each)
                if locked is None or locked[0].phase is Phase.CLOSED:
                    wake(connection, each, was=was)

    def reset_breaker(self, breaker_id: str, *, by: str, reason: str, alerts: Sequence[str] = ()) -> bool:
        """Close it, for somebody knows better; False where there was nothing to reset."""
        with self._transaction() as connection:
            before, _ = _change(
                connection, breaker_id, lambda standing, _: reset(standing), alerts=alerts, by=by, reason=reason
            )
            if before.troubled:
                wake(connection, breaker_id, was=before.retry_at)
        return before.troubled

    def count_submission(
        self, team: str, *, most: int, reason: str, rule: Breaker, alerts: Sequence[str] = ()
    ) -> tuple[Leave, bool]:
        """Count a team's submission in one row; whether it may be, and whether the team's errors have to be asked."""
        values = {"id": of_submissions(team), "most": most, "errors": of_errors(team)}
        with self._transaction() as connection:
            row = connection.execute(_COUNT, values).one_or_none()
            if row is not None:
                return LEAVE, bool(row.erring)
            return self._count(connection, values["id"], most=most, reason=reason, rule=rule, alerts=alerts), True

    def _count(
        self, connection: Connection, breaker_id: Any, *, most: int, reason: str, rule: Breaker, alerts: Sequence[str]
    ) -> Leave:
        leaves: list[Leave] = []

        def change(standing: Standing, now: dt.datetime) -> Step:
            step, leave = counted(standing, now=now, most=most, reason=reason, rule=rule)
            leaves.append(leave)
            return step

        connection.execute(insert(breaker).values(id=breaker_id, state=Phase.CLOSED).on_conflict_do_nothing())
        _change(connection, breaker_id, change, alerts=alerts)
        return leaves[-1]


def _change(
    connection: Connection,
    breaker_id: str,
    change: Change,
    *,
    alerts: Sequence[str] = (),
    by: str | None = None,
    reason: str | None = None,
) -> tuple[Standing, Standing]:
    """Before and after. An event is written and told with it."""
    locked = _locked(connection, breaker_id)
    if locked is None:
        return Standing(), Standing()
    before, now = locked
    step = change(before, now)
    if step.standing != before:
        _keep(connection, breaker_id, step.standing)
    if step.event is not None:
        told = reason or step.standing.reason or before.reason or ""
        _tell(connection, breaker_id, step.event, reason=told, by=by, alerts=alerts)
    return before, step.standing


def _locked(connection: Connection, breaker_id: str) -> tuple[Standing, dt.datetime] | None:
    """How it is, and the server's clock."""
    row = connection.execute(_ROWS.where(breaker.c.id == breaker_id).with_for_update()).one_or_none()
    return None if row is None else (_standing(row), row.now)


def _keep(connection: Connection, breaker_id: str, standing: Standing) -> None:
    values = {
        "state": standing.phase,
        "failures": standing.failures,
        "since": standing.since,
        "reason": standing.reason,
        "trips": standing.trips,
        "opened_at": standing.opened_at,
        "retry_at": standing.retry_at,
        "at": func.clock_timestamp(),
    }
    connection.execute(update(breaker).where(breaker.c.id == breaker_id).values(values))


def _tell(
    connection: Connection, breaker_id: str, what: What, *, reason: str, by: str | None, alerts: Sequence[str]
) -> None:
    event = {"id": new_id(), "breaker_id": breaker_id, "what": what, "reason": reason, "by": by}
    connection.execute(insert(breaker_event).values(**event, at=func.clock_timestamp()))
    queue_alerts(connection, str(event["id"]), alerts)


def _retry_at(standing: Standing) -> dt.datetime:
    assert standing.retry_at is not None  # of every breaker that is not closed
    return standing.retry_at


def _standing(row: Row[Any]) -> Standing:
    return Standing(
        phase=Phase(row.state),
        failures=row.failures,
        since=row.since,
        reason=row.reason,
        trips=row.trips,
        opened_at=row.opened_at,
        retry_at=row.retry_at,
    )


def _row(row: Row[Any]) -> BreakerRow:
    return BreakerRow(id=row.id, standing=_standing(row), at=row.at, now=row.now)


def _event(row: Row[Any]) -> BreakerEvent:
    return BreakerEvent(
        id=row.id, breaker_id=row.breaker_id, what=What(row.what), reason=row.reason, by=row.by, at=row.at
    )
