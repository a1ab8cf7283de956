"""How runs end: concluded, failed, cancelled. Each end happens once, with what is told about it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import CTE, ColumnElement, Connection, func, null, select, text, update

from evalwindow.model import RunState, ShardState, Summary, Verdict
from evalwindow.store.agenda import STUCK
from evalwindow.store.database import Database
from evalwindow.store.deliveries import queue_deliveries, queue_known
from evalwindow.store.documents import to_document
from evalwindow.store.joined import awaited, go_on
from evalwindow.store.tables import run, shard
from evalwindow.store.wakes import final

OPEN = tuple(state for state in RunState if not state.final)
UNFINISHED = (ShardState.PENDING, ShardState.DISPATCHED, ShardState.RUNNING)

_STUCK = text(f"SELECT id FROM run WHERE {STUCK} ORDER BY id")  # noqa: S608 - a constant of agenda.py


class Endings(Database):
    def conclude(self, run_id: str, summary: Summary, verdict: Verdict, channels: Iterable[str] = ()) -> bool:
        """Write an open run's verdict and queue its deliveries; False when somebody else ended it before."""
        values = {"summary": to_document(summary), "verdict": to_document(verdict), "answer": verdict.answer}
        return self._end_run(run_id, RunState.CONCLUDED, channels, values=values)

    def fail_run(self, run_id: str, reason: str, channels: Iterable[str] = ()) -> bool:
        """End an open run that can't be concluded; False when it was final already."""
        return self._end_run(run_id, RunState.FAILED, channels, values={"error": reason})

    def cancel_run(self, run_id: str, reason: str) -> bool:
        """End an open run that nobody wants any more; its holders learn it when they renew their leases."""
        with self._transaction() as connection:
            ended = end_runs(connection, [run_id], state=RunState.CANCELLED, values={"error": reason})
            queue_known(connection, ended, "check")
        return bool(ended)

    def stuck_runs(self, idle_s: float = 1.0) -> list[str]:
        """Open runs with nothing left to do for `idle_s` seconds: whoever should have concluded them died."""
        with self._transaction() as connection:
            return list(connection.scalars(_STUCK, {"idle": dt.timedelta(seconds=idle_s)}))

    def _end_run(self, run_id: str, state: RunState, channels: Iterable[str], *, values: dict[str, Any]) -> bool:
        with self._transaction() as connection:
            ended = end_runs(connection, [run_id], state=state, values=values)
            if ended:
                queue_deliveries(connection, run_id, channels)
        return bool(ended)


def end_runs(connection: Connection, run_ids: Sequence[str], *, state: RunState, values: dict[str, Any]) -> list[str]:
    """End those of the runs that are open, and cancel what is left of their shards; the ids of the ended ones.

    Whoever waits for them is told, and runs that ask the same go on.
    """
    statement = (
        update(run)
        .where(run.c.id.in_(run_ids), run.c.state.in_(OPEN))
        .values(state=state, concluded_at=func.now(), **values)
        .returning(run.c.id, final(run.c.id), awaited().label("awaited"))
    )
    rows = connection.execute(statement).all()
    ended = [row.id for row in rows]
    _cancel_shards(connection, ended)
    if any(row.awaited for row in rows):
        go_on(connection, ended, answered=state is RunState.CONCLUDED)
    return ended


def _cancel_shards(connection: Connection, run_ids: Sequence[str]) -> None:
    chosen = in_order(shard.c.run_id.in_(run_ids), shard.c.state.in_(UNFINISHED))
    cancelled = {"state": ShardState.CANCELLED, "lease_until": null(), "finished_at": func.now()}
    connection.execute(update(shard).where(shard.c.id == chosen.c.id).values(cancelled))


def in_order(*conditions: ColumnElement[bool]) -> CTE:
    """Ids of shards, locked in their order, as by every statement that changes several: so none can deadlock."""
    return select(shard.c.id).where(*conditions).order_by(shard.c.id).with_for_update().cte("chosen")
