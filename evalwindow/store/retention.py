"""What is kept no longer: a batch at a time, so that it may be stopped and gone on with at any moment."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Select,
    Text,
    and_,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    update,
)

from evalwindow.store.database import Database
from evalwindow.store.endings import OPEN
from evalwindow.store.engine_tables import engine
from evalwindow.store.limit_tables import breaker, breaker_event
from evalwindow.store.tables import artifact, baseline, completion_cache, dataset_report, delivery, event, run

VERSIONS = 2  # of a suite's dataset whose reports are kept, however old: drift is told against the one before

_ADAPTER = run.c.candidate.op("->>", return_type=Text())(literal_column("'adapter'"))

#: Texts go; each score keeps its value, without what a scorer read out of the text or said about it.
_BLANK = text("""
    WITH blanked AS (
        UPDATE result SET text = NULL, scores = coalesce((
            SELECT jsonb_object_agg(name, score || '{"reason": "", "answer": null}')
            FROM jsonb_each(scores) AS each (name, score)
        ), '{}')
        WHERE run_id = ANY(:run_ids) RETURNING 1
    )
    SELECT count(*) FROM blanked
""")


class Aged(StrEnum):
    """Rows that are removed when they are old; each knows what makes it old."""

    CACHE = "cache"  # nobody asked for the answer
    DATASETS = "datasets"  # outcomes of a validation that a newer one has replaced
    ADAPTERS = "adapters"  # neither put nor evaluated of late
    ENGINES = "engines"  # no sign of life
    EVENTS = "events"  # handled: what came of it is a run, or was told
    BREAKERS = "breakers"  # told to everybody, and something newer is known of the same breaker


class Retention(Database):
    def trim(self, age: dt.timedelta, *, limit: int) -> tuple[int, int]:
        """Remove the outputs of up to `limit` runs that ended so long ago: (runs, results). (0, 0): there are no more.

        Open runs, baselines, what was a baseline within that age, and what an open run is judged against are left
        alone. Scores, usage and latency stay, so a trimmed run is compared as before.
        """
        locked = _trimmable(age).order_by(run.c.concluded_at).limit(limit)
        with self._transaction() as connection:
            found = list(connection.scalars(locked.with_for_update(key_share=True, skip_locked=True)))
            # Looked at again now that nobody can promote them: somebody may have done so just before.
            run_ids = list(connection.scalars(_trimmable(age).where(run.c.id.in_(found))))
            results = connection.scalar(_BLANK, {"run_ids": run_ids}) if run_ids else 0
            connection.execute(update(run).where(run.c.id.in_(run_ids)).values(trimmed_at=func.now()))
        return len(run_ids), int(results or 0)

    def trimmable(self, age: dt.timedelta) -> int:
        """Runs that `trim` would trim."""
        with self._transaction() as connection:
            return _count(connection, _trimmable(age))

    def forget(self, what: Aged, age: dt.timedelta, *, limit: int) -> int:
        """Remove up to `limit` rows that are older; how many there were."""
        rows, keys = _AGED[what](age), _KEYS[what]
        if what is not Aged.DATASETS:  # PostgreSQL locks no rows behind a window function
            rows = rows.with_for_update(skip_locked=True)
        chosen = rows.limit(limit).cte("chosen")
        statement = delete(keys[0].table).where(tuple_(*keys).in_(select(chosen)))
        with self._transaction() as connection:
            if what is Aged.BREAKERS:
                return _forget_openings(connection, statement)
            return connection.execute(statement).rowcount

    def forgettable(self, what: Aged, age: dt.timedelta) -> int:
        """Rows that `forget` would remove."""
        with self._transaction() as connection:
            return _count(connection, _AGED[what](age))

    def expired_reports(self, run_ids: Collection[str], age: dt.timedelta) -> set[str]:
        """Those of the runs whose page and JSON are kept no longer: the run ended so long ago, or was trimmed."""
        over = and_(run.c.concluded_at < _before(age), ~_needed(age))
        statement = select(run.c.id).where(run.c.id.in_(list(run_ids)), or_(over, run.c.trimmed_at.isnot(None)))
        with self._transaction() as connection:
            return set(connection.scalars(statement))

    def known_datasets(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that a dataset report has."""
        statement = select(dataset_report.c.key).where(dataset_report.c.key.in_(list(keys)))
        with self._transaction() as connection:
            return set(connection.scalars(statement))

    def needed_adapters(self, age: dt.timedelta) -> set[str]:
        """Digests of the adapters that a baseline, an open run or a run of that age evaluates."""
        statement = select(_ADAPTER).where(_ADAPTER.isnot(None), _adapter_in_use(age)).distinct()
        with self._transaction() as connection:
            return set(connection.scalars(statement))


def _before(age: dt.timedelta) -> ColumnElement[dt.datetime]:
    """By the server's clock, the same for the whole transaction."""
    moment: ColumnElement[dt.datetime] = func.now() - literal(age)
    return moment


def _needed(age: dt.timedelta) -> ColumnElement[bool]:
    """A baseline, one that was retired within that age, or what an open run is judged against."""
    judged = run.alias("judged")
    return or_(
        exists().where(
            baseline.c.run_id == run.c.id, or_(baseline.c.retired_at.is_(None), baseline.c.retired_at > _before(age))
        ),
        exists().where(judged.c.baseline_run == run.c.id, judged.c.state.in_(OPEN)),
    )


def _trimmable(age: dt.timedelta) -> Select[Any]:
    """Only a run that is final has `concluded_at`."""
    over = run.c.concluded_at < _before(age)
    return select(run.c.id).where(run.c.trimmed_at.is_(None), over, ~_needed(age))


def _adapter_in_use(age: dt.timedelta) -> ColumnElement[bool]:
    return or_(run.c.state.in_(OPEN), run.c.created_at > _before(age), _needed(age))


def _unasked(age: dt.timedelta) -> Select[Any]:
    return select(completion_cache.c.key).where(completion_cache.c.at < _before(age)).order_by(completion_cache.c.at)


def _replaced(age: dt.timedelta) -> Select[Any]:
    """Of each suite's newest versions the newest report stays, however old it is."""
    of_version = (dataset_report.c.suite, dataset_report.c.digest)
    newest_first = dataset_report.c.at.desc()
    each = select(
        dataset_report.c.key,
        dataset_report.c.suite,
        dataset_report.c.digest,
        dataset_report.c.at,
        func.max(dataset_report.c.at).over(partition_by=of_version).label("latest"),
        func.row_number().over(partition_by=of_version, order_by=newest_first).label("rank"),
    ).subquery()
    version = func.dense_rank().over(partition_by=each.c.suite, order_by=(each.c.latest.desc(), each.c.digest))
    ranked = select(each.c.key, each.c.at, each.c.rank, version.label("version")).subquery()
    replaced = or_(ranked.c.rank > 1, ranked.c.version > VERSIONS)
    return select(ranked.c.key).where(ranked.c.at < _before(age), replaced)


def _unused(age: dt.timedelta) -> Select[Any]:
    used = exists().where(artifact.c.digest == _ADAPTER, _adapter_in_use(age))
    return select(artifact.c.digest).where(artifact.c.created_at < _before(age), ~used)


def _silent(age: dt.timedelta) -> Select[Any]:
    return select(engine.c.pool, engine.c.worker).where(engine.c.seen_at < _before(age))


def _handled(age: dt.timedelta) -> Select[Any]:
    """A delivery that is sent again afterwards is handled again; its runs are known by their keys."""
    over = event.c.state.in_(("done", "refused", "failed"))
    return select(event.c.id).where(over, event.c.received_at < _before(age)).order_by(event.c.id)


def _past(age: dt.timedelta) -> Select[Any]:
    """Its deliveries go with it, so somebody who is still to hear of it keeps it."""
    newer = breaker_event.alias("newer")
    told_of = delivery.c.breaker_event_id == breaker_event.c.id
    return (
        select(breaker_event.c.id)
        .where(
            breaker_event.c.at < _before(age),
            exists().where(newer.c.breaker_id == breaker_event.c.breaker_id, newer.c.id > breaker_event.c.id),
            ~exists().where(told_of, delivery.c.state.in_(("waiting", "sending"))),
        )
        .order_by(breaker_event.c.id)
    )


def _forget_openings(connection: Connection, removal: Delete) -> int:
    """How often a breaker opened is counted on: whoever watches that number must not see it fall."""
    gone = connection.execute(removal.returning(breaker_event.c.breaker_id, breaker_event.c.what)).all()
    openings = Counter(row.breaker_id for row in gone if row.what == "opened")
    for breaker_id, count in sorted(openings.items()):  # in one order: two that forget don't wait for each other
        more = update(breaker).where(breaker.c.id == breaker_id).values(forgotten=breaker.c.forgotten + count)
        connection.execute(more)
    return len(gone)


def _count(connection: Connection, rows: Select[Any]) -> int:
    return int(connection.scalar(select(func.count()).select_from(rows.subquery())) or 0)


_AGED: Mapping[Aged, Callable[[dt.timedelta], Select[Any]]] = {
    Aged.CACHE: _unasked,
    Aged.DATASETS: _replaced,
    Aged.ADAPTERS: _unused,
    Aged.ENGINES: _silent,
    Aged.EVENTS: _handled,
    Aged.BREAKERS: _past,
}
_KEYS: Mapping[Aged, tuple[Any, ...]] = {
    Aged.CACHE: (completion_cache.c.key,),
    Aged.DATASETS: (dataset_report.c.key,),
    Aged.ADAPTERS: (artifact.c.digest,),
    Aged.ENGINES: (engine.c.pool, engine.c.worker),
    Aged.EVENTS: (event.c.id,),
    Aged.BREAKERS: (breaker_event.c.id,),
}
