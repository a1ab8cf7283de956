"""What pages show of many nights and runs at once: a fixed number of statements, however many there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from evalwindow.model import Purpose, RunState, Tier
from evalwindow.store.database import Database
from evalwindow.store.night_rows import EntryRow
from evalwindow.store.night_tables import night, night_entry
from evalwindow.store.nights import RUNS, UNFINISHED, gpu_seconds, read_entries
from evalwindow.store.rows import RunRow
from evalwindow.store.runs import read_run
from evalwindow.store.tables import dataset_report, run, shard

RECENT = 1000  # runs whose names make the filters


@dataclass(frozen=True, kw_only=True)
class NightSuite:
    """A suite that nights evaluate against a branch's baseline."""

    suite: str
    branch: str
    models: tuple[str, ...]  # candidates, by name


class Overview(Database):
    def entries_of(self, night_ids: Collection[str]) -> dict[str, tuple[EntryRow, ...]]:
        """Night id -> its entries in their order; a night without any is left out."""
        found: dict[str, list[EntryRow]] = defaultdict(list)
        with self._transaction() as connection:
            for entry in read_entries(connection, night_entry.c.night_id.in_(list(night_ids))):
                found[entry.night_id].append(entry)
        return {night_id: tuple(entries) for night_id, entries in found.items()}

    def runs_by_id(self, run_ids: Iterable[str]) -> dict[str, RunRow]:
        """Those of the runs that there are."""
        statement = select(run).where(run.c.id.in_(list(run_ids)))
        with self._transaction() as connection:
            return {row.id: read_run(row) for row in connection.execute(statement)}

    def left_of(self, run_ids: Iterable[str]) -> dict[str, tuple[int, int]]:
        """Run id -> (samples of unfinished shards, samples in all), as `left` says of one."""
        size = func.cardinality(shard.c.sample_ids)
        open_size = func.sum(size).filter(shard.c.state.in_(UNFINISHED))
        statement = (
            select(shard.c.run_id, func.coalesce(open_size, 0).label("open"), func.sum(size).label("all"))
            .where(shard.c.run_id.in_(list(run_ids)))
            .group_by(shard.c.run_id)
        )
        with self._transaction() as connection:
            return {row.run_id: (int(row.open), int(row.all)) for row in connection.execute(statement)}

    def spent_of(self, night_ids: Collection[str]) -> dict[str, float]:
        """Night id -> GPU-seconds, as `spent` says of one."""
        statement = select(night.c.id, gpu_seconds().label("spent")).where(night.c.id.in_(list(night_ids)))
        with self._transaction() as connection:
            return {row.id: float(row.spent or 0.0) for row in connection.execute(statement)}

    def night_suites(self, *, team: str | None = None) -> list[NightSuite]:
        """What nights have evaluated, by suite and branch."""
        statement = (
            select(night_entry.c.suite, night.c.branch, func.array_agg(night_entry.c.model.distinct()).label("models"))
            .join(night, night.c.id == night_entry.c.night_id)
            .where(night_entry.c.purpose == Purpose.CANDIDATE, *_of_team(night.c.team, team))
            .group_by(night_entry.c.suite, night.c.branch)
            .order_by(night_entry.c.suite, night.c.branch)
        )
        with self._transaction() as connection:
            return [
                NightSuite(suite=row.suite, branch=row.branch, models=tuple(sorted(row.models)))
                for row in connection.execute(statement)
            ]

    def run_names(self, *, team: str | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """(suites, models) of the latest regression runs."""
        latest = (
            select(run.c.suite, run.c.model)
            .where(run.c.tier == Tier.REGRESSION, *_of_team(run.c.team, team))
            .order_by(run.c.id.desc())
            .limit(RECENT)
            .subquery()
        )
        with self._transaction() as connection:
            pairs = connection.execute(select(latest).distinct()).all()
        return tuple(sorted({pair.suite for pair in pairs})), tuple(sorted({pair.model for pair in pairs}))

    def dataset_documents(self, suites: Collection[str]) -> dict[str, Mapping[str, Any]]:
        """Suite -> the latest outcome of its dataset's validation, where there is one."""
        statement = (
            select(dataset_report.c.suite, dataset_report.c.document)
            .where(dataset_report.c.suite.in_(list(suites)))
            .ext(distinct_on(dataset_report.c.suite))
            .order_by(dataset_report.c.suite, dataset_report.c.at.desc())
        )
        with self._transaction() as connection:
            return {row.suite: row.document for row in connection.execute(statement)}

    def run_before(self, run_id: str) -> str | None:
        """The run with a verdict that an earlier night of the same window had for the same suite, model and purpose."""
        mine, earlier = night_entry.alias("mine"), night_entry.alias("earlier")
        now, then = night.alias("now"), night.alias("then")
        same = [mine.c[name] == earlier.c[name] for name in ("suite", "model", "purpose")]
        statement = (
            select(earlier.c.run_id)
            .select_from(mine)
            .join(now, now.c.id == mine.c.night_id)
            .join(then, then.c.window == now.c.window)
            .join(earlier, earlier.c.night_id == then.c.id)
            .join(run, run.c.id == earlier.c.run_id)
            .where(mine.c.run_id == run_id, mine.c.state.in_(RUNS), then.c.id < now.c.id, *same)
            .where(run.c.id != run_id, run.c.state == RunState.CONCLUDED)
            .order_by(then.c.id.desc())
            .limit(1)
        )
        with self._transaction() as connection:
            found: str | None = connection.scalar(statement)
        return found


def _of_team(column: Any, team: str | None) -> list[ColumnElement[bool]]:
    return [] if team is None else [column == team]
