"""Webhook deliveries: written down first, handled after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from evalwindow.errors import Replayed
from evalwindow.store.database import Database, lease
from evalwindow.store.ids import new_id
from evalwindow.store.rows import EventRow
from evalwindow.store.tables import event
from evalwindow.store.wakes import Topic, waking


class Events(Database):
    def add_event(self, delivery: str, kind: str, payload: Mapping[str, Any]) -> str:
        """Write a delivery down and tell of it; its event's id. Raises Replayed when it was received before."""
        row = {"id": new_id(), "delivery": delivery, "kind": kind, "payload": dict(payload)}
        statement = insert(event).values(row).on_conflict_do_nothing()
        with self._transaction() as connection:
            event_id: str | None = connection.scalar(statement.returning(event.c.id, waking(Topic.EVENTS)))
        if event_id is None:
            raise Replayed(delivery=delivery)
        return event_id

    def claim_event(self, event_id: str | None, lease_s: float) -> EventRow | None:
        """The right to handle one event for `lease_s` seconds; without an id the oldest that waits.

        None when there is none, or somebody else handles it. An event whose handler died is claimed again when its
        lease ran out.
        """
        wanted = select(event.c.id).where(_claimable()).order_by(event.c.id).limit(1)
        if event_id is not None:
            wanted = wanted.where(event.c.id == event_id)
        statement = (
            update(event)
            .where(event.c.id == wanted.with_for_update(skip_locked=True).scalar_subquery())
            .values(state="processing", attempts=event.c.attempts + 1, lease_until=lease(lease_s))
            .returning(event)
        )
        with self._transaction() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else _event(row)

    def finish_event(self, event_id: str, state: str, error: str | None = None) -> None:
        """Say how an event ended: done, refused (bad input, told to its sender) or failed."""
        statement = update(event).where(event.c.id == event_id).values(state=state, error=error, lease_until=None)
        with self._transaction() as connection:
            connection.execute(statement)


def _claimable() -> ColumnElement[bool]:
    expired = and_(event.c.state == "processing", event.c.lease_until < func.clock_timestamp())
    return or_(event.c.state == "received", expired)


def _event(row: Row[Any]) -> EventRow:
    fields = row._mapping
    names = ("id", "delivery", "kind", "payload", "state", "attempts", "error", "received_at")
    return EventRow(**{name: fields[name] for name in names})
