"""Webhook deliveries: written down first, handled after."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, literal, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert

from evalwindow.errors import Replayed
from evalwindow.store.database import Database, advisory_lock, lease
from evalwindow.store.ids import new_id
from evalwindow.store.rows import EventRow
from evalwindow.store.tables import event
from evalwindow.store.wakes import Topic, waking

OVERTAKEN = "a later event of the same pull request says all that this one says"
REPEATED = "the event before it told of the same commit, and its runs were admitted"
TOLD_WITHIN = dt.timedelta(minutes=1)

_REPO = func.split_part(event.c.subject, "#", 1).label("repo")
_SHA = event.c.payload[("pull_request", "head", "sha")].astext.label("sha")

#: Of a repetition the same may be said again: its own error says that it was one.
_REPEATED = text("""
    SELECT before.state = 'done' AND before.sha = this.sha AND coalesce(before.error = :repeated, true)
    FROM (SELECT *, payload #>> '{pull_request,head,sha}' AS sha FROM event WHERE id = :id) AS this, LATERAL (
        SELECT state, error, payload #>> '{pull_request,head,sha}' AS sha FROM event
        WHERE event.subject = this.subject AND event.ordinal IS NOT NULL AND this.ordinal IS NOT NULL
            AND event.id <> this.id
        ORDER BY event.ordinal DESC, event.id DESC LIMIT 1
    ) AS before
""")


class Events(Database):
    def add_event(
        self,
        delivery: str,
        kind: str,
        payload: Mapping[str, Any],
        *,
        subject: str | None = None,
        ordinal: int | None = None,
    ) -> str:
        """Write a delivery down and tell of it; its event's id. Raises Replayed when it was received before.

        `subject` is what it tells of (owner/name#number). With an ordinal it need not be handled once an event of
        the same subject is there that comes after it, by ordinal and then by arrival.
        """
        row = {"id": new_id(), "delivery": delivery, "kind": kind, "payload": dict(payload)}
        statement = insert(event).values({**row, "subject": subject, "ordinal": ordinal}).on_conflict_do_nothing()
        with self._transaction() as connection:
            event_id: str | None = connection.scalar(statement.returning(event.c.id, waking(Topic.EVENTS)))
        if event_id is None:
            raise Replayed(delivery=delivery)
        return event_id

    def claim_event(self, event_id: str | None, lease_s: float) -> EventRow | None:
        """The right to handle one event for `lease_s` seconds; without an id the oldest that waits.

        None when there is none, or somebody else handles it. An event whose handler died is claimed again when its
        lease ran out. Where later events say all that this one says, it is done with all but the last of them, which
        is claimed instead: however many events a pull request sends meanwhile, one is handled.
        """
        wanted = select(event.c.id, event.c.subject, event.c.ordinal).where(_claimable())
        wanted = wanted.order_by(event.c.id).limit(1).with_for_update(skip_locked=True)
        with self._transaction() as connection:
            found = connection.execute(wanted if event_id is None else wanted.where(event.c.id == event_id)).first()
            if found is None:
                return None
            last = found.id
            if found.ordinal is not None:
                last = _last_of(connection, subject=found.subject, own=(found.ordinal, found.id))
            claimed = {"state": "processing", "attempts": event.c.attempts + 1, "lease_until": lease(lease_s)}
            return _event(connection.execute(_change(last, claimed).returning(event)).one())

    def finish_event(self, event_id: str, state: str, error: str | None = None) -> None:
        """Say how an event ended: done, refused (bad input, told to its sender) or failed."""
        with self._transaction() as connection:
            connection.execute(_change(event_id, {"state": state, "error": error, "lease_until": None}))

    def postpone_event(self, event_id: str, seconds: float) -> None:
        """Let it go: it can be claimed again after so many seconds, and no sooner."""
        again = {"lease_until": lease(seconds)}
        held = _change(event_id, again).where(event.c.state == "processing").returning(waking(Topic.LATER))
        with self._transaction() as connection:
            connection.execute(held)

    def is_repeated(self, event_id: str) -> bool:
        """Whether the last event of the subject before this one told of the same commit, and all it asks for was done.

        What came in between counts: a push back to an older commit is no repetition.
        """
        with self._transaction() as connection:
            return bool(connection.scalar(_REPEATED, {"id": event_id, "repeated": REPEATED}))

    def may_tell(self, event_id: str, *, most: int) -> bool:
        """Whether GitHub is to be told that this event was refused; that it was is noted then.

        Of one repository `most` in a minute are told, and of one commit one: thousands of refusals are no thousands of
        calls. Where GitHub was away, the same event asks again.
        """
        with self._transaction() as connection:
            own = connection.execute(select(_REPO, event.c.subject, _SHA).where(event.c.id == event_id)).one()
            advisory_lock(connection, "told refusals", own.repo)
            lately = event.c.told_at > func.now() - literal(TOLD_WITHIN)
            same = and_(event.c.subject == own.subject, _SHA.is_not_distinct_from(own.sha))
            counts = select(func.count().label("told"), func.count().filter(same).label("same"))
            others = and_(lately, _REPO.is_not_distinct_from(own.repo), event.c.id != event_id)
            found = connection.execute(counts.where(others)).one()
            if found.told >= most or found.same:
                return False
            connection.execute(_change(event_id, {"told_at": func.clock_timestamp()}))
        return True


def _last_of(connection: Connection, *, subject: str, own: tuple[int, str]) -> str:
    """Id of the last event of the subject, `own` or one that waits; the others are done. Locked ones are let be."""
    waiting = select(event.c.ordinal, event.c.id).where(
        event.c.subject == subject, event.c.state == "received", event.c.ordinal.isnot(None)
    )
    rows = connection.execute(waiting.with_for_update(skip_locked=True)).all()
    *overtaken, last = sorted({own, *((int(row.ordinal), str(row.id)) for row in rows)})
    if overtaken:
        over = {"state": "done", "error": OVERTAKEN, "lease_until": None}
        connection.execute(update(event).where(event.c.id.in_([each for _, each in overtaken])).values(over))
    return last[1]


def _change(event_id: str, values: Mapping[str, Any]) -> Any:
    return update(event).where(event.c.id == event_id).values(values)


def _claimable() -> ColumnElement[bool]:
    expired = and_(event.c.state == "processing", event.c.lease_until < func.clock_timestamp())
    return or_(event.c.state == "received", expired)


def _event(row: Row[Any]) -> EventRow:
    fields = row._mapping
    names = ("id", "delivery", "kind", "payload", "state", "attempts", "error", "received_at")
    return EventRow(**{name: fields[name] for name in names})
