"""Baselines: runs that somebody promoted, one active for each suite and branch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Row, and_, func, insert, select, update

from evalwindow.errors import BadInput, Conflict, NotFound
from evalwindow.model import RunState
from evalwindow.store.database import Database, advisory_lock
from evalwindow.store.ids import new_id
from evalwindow.store.rows import BaselineRow
from evalwindow.store.tables import baseline, run

ANY = "any"  # promote over whatever baseline is active


class Baselines(Database):
    def promote(
        self, suite: str, branch: str, run_id: str, who: str, why: str, expected: str | None = ANY
    ) -> BaselineRow:
        """Make a concluded run the baseline of a suite and branch; the one before is retired.

        `expected` is the run that the caller believes to be the baseline (None: there is none): Conflict when it is
        another one by now. Promoting the active one again changes nothing, whatever was expected: so the same call may
        be repeated. NotFound, BadInput for a run that is not concluded, void, or of another suite.
        """
        with self._transaction() as connection:
            _check_run(connection, run_id, suite=suite)
            advisory_lock(connection, "baseline", suite, branch)
            active = connection.execute(_active(suite, branch)).one_or_none()
            if active is not None and active.run_id == run_id:
                return _baseline(active)
            _check_expected(active, expected, what=f"the baseline of {suite} on {branch}")
            connection.execute(update(baseline).where(_of(suite, branch)).values(retired_at=func.clock_timestamp()))
            row = {"id": new_id(), "suite": suite, "branch": branch, "run_id": run_id}
            statement = insert(baseline).values(row | {"promoted_by": who, "reason": why}).returning(baseline)
            return _baseline(connection.execute(statement).one())

    @contextmanager
    def alias_lock(self, tracking_uri: str, name: str, alias: str) -> Iterator[None]:
        """One process at a time may move this alias of a registry, which knows no compare-and-set itself.

        Raises Conflict when somebody else has it for longer than a statement may take.
        """
        place = hashlib.sha256(tracking_uri.encode()).hexdigest()[:16]  # it may hold a password, and errors name locks
        with self._lock("alias", place, name, alias):
            yield

    def baseline(self, suite: str, branch: str) -> BaselineRow | None:
        """The active baseline, if there is one."""
        with self._transaction() as connection:
            row = connection.execute(_active(suite, branch)).one_or_none()
        return None if row is None else _baseline(row)

    def baselines(self, *, retired: bool = False) -> list[BaselineRow]:
        """Active baselines by suite and branch; with `retired` also those before them, the newest first."""
        statement = select(baseline).order_by(baseline.c.suite, baseline.c.branch, baseline.c.id.desc())
        if not retired:
            statement = statement.where(baseline.c.retired_at.is_(None))
        with self._transaction() as connection:
            return [_baseline(row) for row in connection.execute(statement)]


def _of(suite: str, branch: str) -> Any:
    return and_(baseline.c.suite == suite, baseline.c.branch == branch, baseline.c.retired_at.is_(None))


def _active(suite: str, branch: str) -> Any:
    return select(baseline).where(_of(suite, branch))


def _check_run(connection: Connection, run_id: str, *, suite: str) -> None:
    """The run's row is locked: a night that is settled as void meanwhile, and retention, wait for this promotion."""
    facts = select(run.c.suite, run.c.state, run.c.void).where(run.c.id == run_id).with_for_update(read=True)
    found = connection.execute(facts).one_or_none()
    if found is None:
        raise NotFound(kind="run", name=run_id)
    if found.suite != suite:
        raise BadInput(f"run {run_id} is of suite {found.suite!r}, it can't be the baseline of {suite!r}")
    if found.state != RunState.CONCLUDED:
        raise BadInput(f"run {run_id} is {found.state}; only a concluded run can be a baseline")
    if found.void is not None:
        raise BadInput(f"run {run_id} is void and can't be a baseline: {found.void}")


def _check_expected(active: Row[Any] | None, expected: str | None, *, what: str) -> None:
    current = None if active is None else active.run_id
    if expected != ANY and expected != current:
        raise Conflict(f"{what} is {current or 'not set'}, not {expected or 'unset'} as expected: somebody changed it")


def _baseline(row: Row[Any]) -> BaselineRow:
    return BaselineRow(**dict(row._mapping))
