"""What stands still: rows that somebody should have moved on, for a person to look at. Nothing is changed here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Select, TextClause, and_, exists, func, literal, or_, select, text

from evalwindow.config import REPLAY_POOL
from evalwindow.model import ShardState, Tier
from evalwindow.store.database import Database
from evalwindow.store.deliveries import read_delivery
from evalwindow.store.endings import OPEN
from evalwindow.store.joined import WAITS
from evalwindow.store.night_rows import NightRow
from evalwindow.store.night_tables import night
from evalwindow.store.nights import IN_HAND, read_night
from evalwindow.store.rows import DeliveryRow, RunRow, ShardRow
from evalwindow.store.runs import read_run, read_shard
from evalwindow.store.tables import delivery, run, shard

MOST = 100  # rows of each kind


class Troubles(Database):
    def expired_leases(self, since: dt.timedelta) -> list[ShardRow]:
        """Shards whose holder was silent for so long beyond its lease, and that nobody has taken away from it."""
        return self._shards(shard.c.state == ShardState.RUNNING, shard.c.lease_until < _ago(since))

    def untaken(self, messages: int) -> list[ShardRow]:
        """Shards of open windows that so many messages named since their last claim, in vain."""
        waiting = shard.c.state.in_((ShardState.PENDING, ShardState.DISPATCHED))
        return self._shards(waiting, shard.c.dispatches >= messages, _may_run())

    def unsent(self, since: dt.timedelta, *, held: Collection[str] = ()) -> list[ShardRow]:
        """Shards that wait since then in a lane of which nothing is in anybody's hand.

        Not those that wait for a reason: for a breaker, for another run's answers, or for the next period of a team
        that is `held`.
        """
        other = shard.alias("other")
        same_lane = and_(other.c.pool == shard.c.pool, other.c.tier == shard.c.tier, other.c.state.in_(IN_HAND))
        idle = ~exists().where(same_lane)
        queued = and_(shard.c.state == ShardState.PENDING, shard.c.pool != REPLAY_POOL)
        waiting = and_(
            run.c.created_at < _ago(since), func.coalesce(shard.c.not_before, run.c.created_at) < _ago(since)
        )
        by_quota = and_(shard.c.tier == Tier.REGRESSION, shard.c.team.in_(list(held)))
        return self._shards(queued, waiting, _may_run(), idle, ~by_quota, text(f"NOT {WAITS}"))

    def long_open(self, since: dt.timedelta) -> list[RunRow]:
        """Open runs that were admitted so long ago and whose window, if they have one, is closed."""
        closed = or_(run.c.window_end.is_(None), run.c.window_end < func.now())
        statement = select(run).where(run.c.state.in_(OPEN), run.c.created_at < _ago(since), closed)
        with self._transaction() as connection:
            return [read_run(row) for row in connection.execute(statement.order_by(run.c.id).limit(MOST))]

    def undeliverable(self, within: dt.timedelta) -> list[DeliveryRow]:
        """What was given up of late: it failed as often as it may."""
        statement = select(delivery).where(delivery.c.state == "failed", delivery.c.next_at > _ago(within))
        with self._transaction() as connection:
            return [
                read_delivery(row) for row in connection.execute(statement.order_by(delivery.c.next_at).limit(MOST))
            ]

    def unsettled(self, since: dt.timedelta, *, within: dt.timedelta) -> list[NightRow]:
        """Nights that ended so long ago, but not longer, without anybody settling them; dry runs have nothing to."""
        over = and_(night.c.ends_at < _ago(since), night.c.ends_at > _ago(within), night.c.settled_at.is_(None))
        statement = select(night).where(over, ~night.c.dry_run).order_by(night.c.id).limit(MOST)
        with self._transaction() as connection:
            return [read_night(row) for row in connection.execute(statement)]

    def _shards(self, *conditions: ColumnElement[bool] | TextClause) -> list[ShardRow]:
        statement: Select[Any] = select(shard).join(run, run.c.id == shard.c.run_id).where(*conditions)
        with self._transaction() as connection:
            return [read_shard(row) for row in connection.execute(statement.order_by(shard.c.id).limit(MOST))]


def _may_run() -> ColumnElement[bool]:
    """Of a run that is open, in a window that is, or in none."""
    return and_(run.c.state.in_(OPEN), or_(run.c.window_end.is_(None), run.c.window_end > func.now()))


def _ago(age: dt.timedelta) -> ColumnElement[dt.datetime]:
    moment: ColumnElement[dt.datetime] = func.now() - literal(age)
    return moment
