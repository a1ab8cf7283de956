"""Nights for the store's tests."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import update

from evalwindow.model import EntryState
from evalwindow.store import night_tables, tables
from evalwindow.store.night_rows import EntryRow, NewEntry, NewNight, NightRow
from evalwindow.store.rows import RunRow
from tests.real.store.world import World

HOUR = dt.timedelta(hours=1)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def night_of(world: World, key: str = "one", *, lasts: dt.timedelta = HOUR, **fields: Any) -> NightRow:
    """A night that opens now."""
    given = {"window": "nightly", "team": "red", "branch": "main", "starts_at": now(), "ends_at": now() + lasts}
    return world.store.open_night(NewNight(key=key, **{**given, **fields}))


@dataclass(frozen=True)
class Begun:
    """An entry of a night with its run."""

    world: World
    night: NightRow
    entry: EntryRow
    run_id: str

    @property
    def run(self) -> RunRow:
        return self.world.store.run(self.run_id)

    @property
    def shard_ids(self) -> list[str]:
        return self.world.shard_ids(self.run_id)

    def goes_on_in(self, night: NightRow, *, owner: str = "task 2") -> "Begun":
        """The same run as another night's entry."""
        [entry] = self.world.store.plan(night.id, [NewEntry(suite="echo", model="base")])
        assert self.world.store.carry(self.run_id, night.id, owner)
        entry = self.world.store.set_entry(entry.id, EntryState.RESUMED, run_id=self.run_id)
        return Begun(self.world, night, entry, self.run_id)


def begun(world: World, night: NightRow | None = None, **fields: Any) -> Begun:
    """A night with one entry that has started."""
    night = night or night_of(world)
    [entry] = world.store.plan(night.id, [NewEntry(suite="echo", model="base")])
    run_id = world.admit(f"run of {night.key}", night_id=night.id, **{"owner": "task 1", **fields})
    return Begun(world, night, world.store.set_entry(entry.id, EntryState.STARTED, run_id=run_id), run_id)


def ended(world: World, night: NightRow) -> None:
    """Its time is over: as if it had begun two hours ago."""
    past = now() - dt.timedelta(seconds=1)
    with world.store._transaction() as connection:
        connection.execute(update(night_tables.night).where(night_tables.night.c.id == night.id).values(ends_at=past))
        of_night = tables.run.c.night_id == night.id
        connection.execute(update(tables.run).where(of_night).values(window_end=past))
