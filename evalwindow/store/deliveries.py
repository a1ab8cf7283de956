"""What is to be told about runs: queued with the change it tells of, sent later, retried, edited in place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, case, false, func, null, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from evalwindow.store.database import Database, lease
from evalwindow.store.limit_tables import breaker
from evalwindow.store.rows import DeliveryRow
from evalwindow.store.tables import delivery
from evalwindow.store.wakes import Topic, waking

#: Something new to say: at once, with fresh attempts; one that is just being sent is sent again after that.
_NEWS: dict[str, Any] = {
    "state": case((delivery.c.state == "sending", "sending"), else_="waiting"),
    "again": delivery.c.state == "sending",
    "attempts": case((delivery.c.state == "sending", delivery.c.attempts), else_=0),
    "next_at": func.now(),
    "error": null(),
}
#: Breakers of notifiers that a success would change.
_SUSPECTS = (
    func.array(
        select(breaker.c.id)
        .where(breaker.c.id.like("notifier:%"), or_(breaker.c.state != "closed", breaker.c.failures > 0))
        .scalar_subquery()
    )
).label("suspects")
#: Back in the queue where news came meanwhile.
_AGAIN: dict[str, Any] = {"state": "waiting", "again": false(), "attempts": 0}


def queue_deliveries(connection: Connection, run_id: str, channels: Iterable[str]) -> None:
    """Tell these channels about the run as it is after this transaction."""
    rows = [_new(run_id, channel, run_id=run_id) for channel in sorted(set(channels))]
    if rows:
        statement = insert(delivery).values(rows)
        news = statement.on_conflict_do_update(index_elements=[delivery.c.id], set_=_NEWS)
        connection.execute(news.returning(waking(Topic.DELIVERIES)))


def queue_once(connection: Connection, night_id: str, channels: Iterable[str]) -> None:
    """Tell these channels about the night; one that was told, or is just being told, is left alone."""
    rows = [_new(night_id, channel, night_id=night_id) for channel in sorted(set(channels))]
    if rows:
        statement = insert(delivery).values(rows).on_conflict_do_nothing()
        connection.execute(statement.returning(waking(Topic.DELIVERIES)))


def queue_alerts(connection: Connection, event_id: str, channels: Iterable[str]) -> None:
    """Tell these channels about what happened to a breaker."""
    rows = [_new(event_id, channel, breaker_event_id=event_id) for channel in sorted(set(channels))]
    if rows:
        connection.execute(insert(delivery).values(rows).returning(waking(Topic.DELIVERIES)))


def _new(subject: str, channel: str, **of: str) -> dict[str, str]:
    return {"id": delivery_id(subject, channel), "channel": channel, "state": "waiting", **of}


def delivery_id(subject: str, channel: str) -> str:
    """Of what is told to a channel about a run, a night or a breaker, given the id of that."""
    return f"{subject}:{channel}"


def queue_known(connection: Connection, run_ids: Sequence[str], channel: str) -> None:
    """Tell the channel about those of the runs that it was told about before."""
    chosen = delivery.c.run_id.in_(run_ids) & (delivery.c.channel == channel)
    connection.execute(update(delivery).where(chosen).values(_NEWS).returning(waking(Topic.DELIVERIES)))


class Deliveries(Database):
    def claim_delivery(self, lease_s: float) -> DeliveryRow | None:
        """The right to send the delivery that has been due longest, for `lease_s` seconds; None: nothing is due."""
        due = (
            select(delivery.c.id)
            .where(_due())
            .order_by(delivery.c.next_at)
            .limit(1)
            .with_for_update(skip_locked=True)
            .cte("due")
        )
        statement = (
            update(delivery)
            .where(delivery.c.id == due.c.id)
            .values(state="sending", again=False, attempts=delivery.c.attempts + 1, lease_until=lease(lease_s))
            .returning(delivery, _SUSPECTS)
        )
        with self._transaction() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else replace(read_delivery(row), suspects=frozenset(row.suspects))

    def sent(self, subject: str, channel: str, external_id: str | None) -> None:
        """What is to be told arrived; what it became over there is kept, to be edited in place."""
        kept = {"external_id": func.coalesce(external_id, delivery.c.external_id), "sent_at": func.now()}
        self._close_attempt(subject, channel, kept, otherwise={"state": "sent", "error": null()})

    def delivery_failed(self, subject: str, channel: str, error: str, again_in_s: float | None) -> None:
        """It didn't arrive: again in so many seconds, by the server's clock, or never when that is None."""
        retry = {"state": "failed"} if again_in_s is None else {"state": "waiting", "next_at": lease(again_in_s)}
        self._close_attempt(subject, channel, {"error": error}, otherwise=retry)

    def delivery_put_off(self, subject: str, channel: str, error: str | None, until: dt.datetime) -> None:
        """It was not tried, or is not to blame: no attempt has failed."""
        back = {"state": "waiting", "next_at": until, "attempts": delivery.c.attempts - 1}
        self._close_attempt(subject, channel, {} if error is None else {"error": error}, otherwise=back)

    def deliveries(self, subject: str) -> list[DeliveryRow]:
        """What is told about a run, a night or a breaker's event, by channel."""
        subjects = (delivery.c.run_id, delivery.c.night_id, delivery.c.breaker_event_id)
        statement = (
            select(delivery).where(or_(*(column == subject for column in subjects))).order_by(delivery.c.channel)
        )
        with self._transaction() as connection:
            return [read_delivery(row) for row in connection.execute(statement)]

    def _close_attempt(self, subject: str, channel: str, always: dict[str, Any], *, otherwise: dict[str, Any]) -> None:
        """Close an attempt: with `otherwise`, or back into the queue where news came meanwhile."""
        sending = and_(delivery.c.id == delivery_id(subject, channel), delivery.c.state == "sending")
        either = {
            name: case(
                (delivery.c.again, _AGAIN.get(name, delivery.c[name])), else_=otherwise.get(name, delivery.c[name])
            )
            for name in otherwise | _AGAIN
        }
        values = {**always, **either, "lease_until": null()}
        due_again = case(
            (and_(delivery.c.state == "waiting", delivery.c.next_at <= func.now()), waking(Topic.DELIVERIES)),
            (delivery.c.state == "waiting", waking(Topic.LATER)),
        )
        with self._transaction() as connection:
            connection.execute(update(delivery).where(sending).values(values).returning(due_again))


def _due() -> ColumnElement[bool]:
    now = func.clock_timestamp()
    waiting = and_(delivery.c.state == "waiting", delivery.c.next_at <= now)
    return or_(waiting, and_(delivery.c.state == "sending", delivery.c.lease_until < now))


def read_delivery(row: Row[Any]) -> DeliveryRow:
    fields = dict(row._mapping)
    return DeliveryRow(**{name: fields[name] for name in DeliveryRow.__dataclass_fields__ if name in delivery.c})
