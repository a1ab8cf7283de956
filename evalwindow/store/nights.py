"""Nights: what a window was opened for, what became of each of its entries, and when it closes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, func, literal, select, update
from sqlalchemy.dialects.postgresql import insert

from evalwindow.errors import NotFound
from evalwindow.model import EntryState, Purpose, RunState, ShardState
from evalwindow.store.database import Database
from evalwindow.store.deliveries import queue_known, queue_once
from evalwindow.store.endings import OPEN, end_runs
from evalwindow.store.ids import new_id
from evalwindow.store.joined import go_on
from evalwindow.store.night_rows import EntryRow, NewEntry, NewNight, NightRow
from evalwindow.store.night_tables import night, night_entry
from evalwindow.store.tables import result, run, shard
from evalwindow.store.wakes import Topic, waking

IN_HAND = (ShardState.DISPATCHED, ShardState.RUNNING)
TOLD = ("check", "comment", "page")  # where a run's verdict may stand already
UNFINISHED = (ShardState.PENDING, *IN_HAND)
RUNS = tuple(state for state in EntryState if state.runs)


class Nights(Database):
    def open_night(self, new: NewNight) -> NightRow:
        """Write a night down; the same key again gives the first one as it is."""
        values = {name: getattr(new, name) for name in NewNight.__dataclass_fields__} | {"id": new_id()}
        with self._transaction() as connection:
            opened = insert(night).values(values).on_conflict_do_nothing(index_elements=[night.c.key])
            connection.execute(opened.returning(waking(Topic.NIGHTS)))
            return read_night(connection.execute(select(night).where(night.c.key == new.key)).one())

    def night(self, night_id: str) -> NightRow:
        """One night; raises NotFound."""
        with self._transaction() as connection:
            row = connection.execute(select(night).where(night.c.id == night_id)).one_or_none()
        if row is None:
            raise NotFound(kind="night", name=night_id)
        return read_night(row)

    def nights(
        self,
        limit: int = 50,
        *,
        window: str | None = None,
        team: str | None = None,
        key: str | None = None,
        before: str | None = None,
    ) -> list[NightRow]:
        """The newest nights that match; `before` an id gives the next page."""
        statement = select(night).order_by(night.c.id.desc()).limit(limit)
        wanted = {night.c.window: window, night.c.team: team, night.c.key: key}
        statement = statement.where(*(column == value for column, value in wanted.items() if value is not None))
        if before is not None:
            statement = statement.where(night.c.id < before)
        with self._transaction() as connection:
            return [read_night(row) for row in connection.execute(statement)]

    def plan(self, night_id: str, entries: Sequence[NewEntry]) -> list[EntryRow]:
        """Write what the night is to run, in that order; entries that are there stay as they are. All of them."""
        rows = [
            {
                "id": new_id(),
                "night_id": night_id,
                "seq": seq,
                "state": EntryState.PLANNED,
                **{name: getattr(entry, name) for name in NewEntry.__dataclass_fields__},
            }
            for seq, entry in enumerate(entries)
        ]
        with self._transaction() as connection:
            if rows:
                connection.execute(insert(night_entry).values(rows).on_conflict_do_nothing())
            return read_entries(connection, night_entry.c.night_id == night_id)

    def entries(self, night_id: str) -> list[EntryRow]:
        with self._transaction() as connection:
            return read_entries(connection, night_entry.c.night_id == night_id)

    def entry(self, entry_id: str) -> EntryRow:
        """One entry; raises NotFound."""
        with self._transaction() as connection:
            return _one_entry(connection, entry_id)

    def entries_of_runs(self, run_ids: Collection[str]) -> dict[str, EntryRow]:
        """Run id -> the latest entry that names it."""
        with self._transaction() as connection:
            found = read_entries(connection, night_entry.c.run_id.in_(list(run_ids)))
        return {entry.run_id: entry for entry in sorted(found, key=lambda entry: entry.id) if entry.run_id}

    def set_entry(
        self, entry_id: str, state: EntryState, *, run_id: str | None = None, note: str | None = None
    ) -> EntryRow:
        """What became of an entry. `run_id` None keeps the run that it has. Raises NotFound."""
        values: dict[str, Any] = {"state": state, "note": note}
        if run_id is not None:
            values["run_id"] = run_id
        with self._transaction() as connection:
            connection.execute(update(night_entry).where(night_entry.c.id == entry_id).values(values))
            return _one_entry(connection, entry_id)

    def last_entry(self, of: EntryRow, *, window: str, states: Iterable[EntryState]) -> EntryRow | None:
        """The latest in one of these states for the same suite, model and purpose in the window's earlier nights."""
        same = [night_entry.c[name] == getattr(of, name) for name in ("suite", "model", "purpose")]
        statement = (
            select(night_entry.c.id)
            .join(night, night.c.id == night_entry.c.night_id)
            .where(*same, night.c.window == window, night.c.id < of.night_id, night_entry.c.state.in_(list(states)))
            .order_by(night.c.id.desc())
            .limit(1)
        )
        with self._transaction() as connection:
            found = connection.scalar(statement)
            return None if found is None else read_entries(connection, night_entry.c.id == found)[0]

    def answered(self, provenance_key: str) -> str | None:
        """The latest run with a verdict that counts, of an entry with this key."""
        statement = (
            select(run.c.id)
            .join(night_entry, night_entry.c.run_id == run.c.id)
            .where(night_entry.c.provenance_key == provenance_key, run.c.state == RunState.CONCLUDED)
            .where(run.c.void.is_(None), run.c.answer.isnot(None))
            .order_by(run.c.concluded_at.desc())
            .limit(1)
        )
        with self._transaction() as connection:
            found: str | None = connection.scalar(statement)
        return found

    def carry(self, run_id: str, night_id: str, owner: str) -> bool:
        """Let an open run go on in this night, for this owner; False when the run is final or the night is over.

        Raises NotFound for a night that does not exist.
        """
        with self._transaction() as connection:
            found = connection.execute(select(night).where(night.c.id == night_id).with_for_update(read=True))
            row = found.one_or_none()
            if row is None:
                raise NotFound(kind="night", name=night_id)
            end = read_night(row).end
            goes_on = and_(run.c.id == run_id, run.c.state.in_(OPEN), literal(end) > func.clock_timestamp())
            values = {"night_id": night_id, "window_end": end, "owner": owner}
            carried = update(run).where(goes_on).values(values).returning(waking(Topic.SHARDS))
            return bool(connection.execute(carried).all())

    def cancel_owned(self, run_id: str, owner: str, reason: str) -> bool:
        """End an open run if `owner` still is who waits for it; False otherwise."""
        with self._transaction() as connection:
            mine = select(run.c.id).where(run.c.id == run_id, run.c.owner == owner).with_for_update(key_share=True)
            return bool(_cancel(connection, list(connection.scalars(mine)), reason))

    def cancel_all_owned(self, owner: str, reason: str) -> list[str]:
        """End every open run that `owner` waits for; their ids."""
        with self._transaction() as connection:
            mine = select(run.c.id).where(run.c.owner == owner, run.c.state.in_(OPEN)).order_by(run.c.id)
            return _cancel(connection, list(connection.scalars(mine.with_for_update(key_share=True))), reason)

    def in_hand(self, run_id: str) -> int:
        """Shards of a run that somebody may be working on."""
        statement = select(func.count()).where(shard.c.run_id == run_id, shard.c.state.in_(IN_HAND))
        with self._transaction() as connection:
            return int(connection.scalar(statement) or 0)

    def left(self, run_id: str) -> tuple[int, int]:
        """(samples of unfinished shards, samples in all) of a run."""
        sizes = func.sum(func.cardinality(shard.c.sample_ids))
        unfinished = sizes.filter(shard.c.state.in_(UNFINISHED))
        with self._transaction() as connection:
            row = connection.execute(select(unfinished, sizes).where(shard.c.run_id == run_id)).one()
        return int(row[0] or 0), int(row[1] or 0)

    def close_night(self, night_id: str, reason: str) -> bool:
        """End a night now: no prompt of its runs starts any more. False when it was over already."""
        now = func.now()
        still = and_(night.c.id == night_id, night.c.closed_at.is_(None), night.c.ends_at > now)
        with self._transaction() as connection:
            closed = connection.execute(update(night).where(still).values(closed_at=now, close_reason=reason))
            if closed.rowcount:
                _close_runs(connection, night_id)
        return bool(closed.rowcount)

    def spent(self, night_id: str) -> float:
        """GPU-seconds of the results of the night's runs, from its opening until a later night took a run over."""
        with self._transaction() as connection:
            return float(connection.scalar(select(gpu_seconds()).where(night.c.id == night_id)) or 0.0)

    def overspent(self) -> list[str]:
        """Nights that are open and have used their budget."""
        open_now = and_(night.c.closed_at.is_(None), night.c.settled_at.is_(None), night.c.ends_at > func.now())
        spent = and_(night.c.budget_gpu_s.isnot(None), night.c.budget_gpu_s <= gpu_seconds())
        statement = select(night.c.id).where(open_now, spent).order_by(night.c.id)
        with self._transaction() as connection:
            return list(connection.scalars(statement))

    def settle(self, night_id: str, *, void: str | None) -> NightRow:
        """Its verdicts are known. `void`: why none of them counts; then none of its runs' does, which is told again.

        A run that goes on in a later night is that night's. Raises NotFound.
        """
        settled = func.coalesce(night.c.settled_at, func.now())
        statement = update(night).where(night.c.id == night_id).values(settled_at=settled, void=void)
        with self._transaction() as connection:
            row = connection.execute(statement.returning(night)).one_or_none()
            if row is None:
                raise NotFound(kind="night", name=night_id)
            changed = _void_runs(connection, night_id, void)
            for channel in TOLD:
                queue_known(connection, changed, channel)
        return read_night(row)

    def tell_night(self, night_id: str, channels: Iterable[str]) -> None:
        """Queue what the night says, once for each channel, however often this is called."""
        with self._transaction() as connection:
            queue_once(connection, night_id, channels)


def _cancel(connection: Connection, run_ids: Sequence[str], reason: str) -> list[str]:
    """Ids of those that were open."""
    ended = end_runs(connection, run_ids, state=RunState.CANCELLED, values={"error": reason})
    queue_known(connection, ended, "check")
    return ended


def _void_runs(connection: Connection, night_id: str, void: str | None) -> list[str]:
    """Ids of the runs for which that is news."""
    mine = and_(run.c.night_id == night_id, run.c.state == RunState.CONCLUDED, run.c.void.is_distinct_from(void))
    return list(connection.scalars(update(run).where(mine).values(void=void).returning(run.c.id)))


def _close_runs(connection: Connection, night_id: str) -> None:
    mine = select(run.c.id).where(run.c.night_id == night_id, run.c.state.in_(OPEN)).order_by(run.c.id)
    chosen = mine.with_for_update(key_share=True).cte("chosen")
    over = func.least(run.c.window_end, func.now())
    closed = update(run).where(run.c.id == chosen.c.id).values(window_end=over)
    go_on(connection, list(connection.scalars(closed.returning(run.c.id))), answered=False)


def gpu_seconds() -> Any:
    """GPU-seconds of one night, correlated with it."""
    mine = (
        select(night_entry.c.run_id)
        .where(night_entry.c.night_id == night.c.id, night_entry.c.state.in_(RUNS))
        .correlate(night)  # by itself it would correlate with the select around it only, which has no night
    )
    within = and_(result.c.run_id.in_(mine), result.c.at >= night.c.created_at, ~_taken_over())
    total = select(func.coalesce(func.sum(result.c.gpu_s), 0.0)).where(within)
    return total.correlate(night).scalar_subquery()


def _taken_over() -> ColumnElement[bool]:
    """A later night than `night` had the run when the `result` came."""
    later, its_entry = night.alias("later"), night_entry.alias("its_entry")
    return (
        select(its_entry.c.id)
        .join(later, later.c.id == its_entry.c.night_id)
        .where(its_entry.c.run_id == result.c.run_id, its_entry.c.state.in_(RUNS))
        .where(later.c.created_at > night.c.created_at, later.c.created_at <= result.c.at)
        .correlate(night, result)
        .exists()
    )


def _one_entry(connection: Connection, entry_id: str) -> EntryRow:
    found = read_entries(connection, night_entry.c.id == entry_id)
    if not found:
        raise NotFound(kind="entry of a night", name=entry_id)
    return found[0]


def read_entries(connection: Connection, *conditions: ColumnElement[bool]) -> list[EntryRow]:
    statement = select(night_entry).where(*conditions).order_by(night_entry.c.night_id, night_entry.c.seq)
    return [_entry(row) for row in connection.execute(statement)]


def _entry(row: Row[Any]) -> EntryRow:
    fields = dict(row._mapping)
    return EntryRow(**fields | {"purpose": Purpose(fields["purpose"]), "state": EntryState(fields["state"])})


def read_night(row: Row[Any]) -> NightRow:
    return NightRow(**dict(row._mapping))
