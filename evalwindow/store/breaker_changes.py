"""One breaker's row: locked, changed by a pure function, written, and told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, select, update
from sqlalchemy.dialects.postgresql import insert

from evalwindow.breakers import Phase, Standing, Step, What
from evalwindow.store.deliveries import queue_alerts
from evalwindow.store.ids import new_id
from evalwindow.store.limit_tables import breaker, breaker_event

Change = Callable[[Standing, dt.datetime], Step]

#: With the server's clock, which all of a breaker's moments are of.
ROWS = select(breaker, func.clock_timestamp().label("now"))


def begin(connection: Connection, breaker_id: str) -> None:
    """There is a row of it from now on."""
    connection.execute(insert(breaker).values(id=breaker_id, state=Phase.CLOSED).on_conflict_do_nothing())


def make(
    connection: Connection,
    breaker_id: str,
    change: Change,
    *,
    alerts: Sequence[str] = (),
    by: str | None = None,
    reason: str | None = None,
) -> tuple[Standing, Standing]:
    """Before and after. An event is written and told with it."""
    locked = lock(connection, breaker_id)
    if locked is None:
        return Standing(), Standing()
    before, now = locked
    step = change(before, now)
    if step.standing != before:
        keep(connection, breaker_id, step.standing)
    if step.event is not None:
        told = reason or step.standing.reason or before.reason or ""
        _tell(connection, breaker_id, step.event, reason=told, by=by, alerts=alerts)
    return before, step.standing


def lock(connection: Connection, breaker_id: str) -> tuple[Standing, dt.datetime] | None:
    """How it is, and the server's clock."""
    row = connection.execute(ROWS.where(breaker.c.id == breaker_id).with_for_update()).one_or_none()
    return None if row is None else (standing_of(row), row.now)


def keep(connection: Connection, breaker_id: str, standing: Standing) -> None:
    """Write how it is now."""
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


def standing_of(row: Row[Any]) -> Standing:
    return Standing(
        phase=Phase(row.state),
        failures=row.failures,
        since=row.since,
        reason=row.reason,
        trips=row.trips,
        opened_at=row.opened_at,
        retry_at=row.retry_at,
    )


def retry_at(standing: Standing) -> dt.datetime:
    """Of one that is not closed."""
    assert standing.retry_at is not None
    return standing.retry_at


def _tell(
    connection: Connection, breaker_id: str, what: What, *, reason: str, by: str | None, alerts: Sequence[str]
) -> None:
    event = {"id": new_id(), "breaker_id": breaker_id, "what": what, "reason": reason, "by": by}
    connection.execute(insert(breaker_event).values(**event, at=func.clock_timestamp()))
    queue_alerts(connection, str(event["id"]), alerts)
