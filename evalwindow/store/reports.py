"""Outcomes of dataset validation, by the content that they are about; and the line of a suite over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.dialects.postgresql import insert

from evalwindow.model import Answer, Purpose, RunState, Summary, Verdict
from evalwindow.store.database import Database
from evalwindow.store.documents import from_document
from evalwindow.store.night_rows import TrendPoint
from evalwindow.store.night_tables import night_entry
from evalwindow.store.tables import dataset_report, result, run


class Reports(Database):
    def dataset_report(self, key: str) -> Mapping[str, Any] | None:
        """The document that was put under the key."""
        with self._transaction() as connection:
            found: Mapping[str, Any] | None = connection.scalar(
                select(dataset_report.c.document).where(dataset_report.c.key == key)
            )
        return found

    def put_dataset_report(self, *, key: str, suite: str, digest: str, ok: bool, document: Mapping[str, Any]) -> None:
        """Keep an outcome; the newest of a key stays."""
        values = {"suite": suite, "digest": digest, "ok": ok, "document": dict(document), "at": func.now()}
        statement = insert(dataset_report).values(key=key, **values)
        with self._transaction() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=[dataset_report.c.key], set_=values))

    def last_dataset_report(self, suite: str, *, other_than: str) -> Mapping[str, Any] | None:
        """The latest outcome about another version of the suite's dataset, given the digest of this one."""
        statement = (
            select(dataset_report.c.document)
            .where(dataset_report.c.suite == suite, dataset_report.c.digest != other_than)
            .order_by(dataset_report.c.at.desc())
            .limit(1)
        )
        with self._transaction() as connection:
            found: Mapping[str, Any] | None = connection.scalar(statement)
        return found

    def trend(
        self,
        suite: str,
        *,
        branch: str,
        team: str | None = None,
        model: str | None = None,
        purpose: Purpose = Purpose.CANDIDATE,
        limit: int = 30,
    ) -> list[TrendPoint]:
        """The latest concluded runs of a suite that nights started, oldest first."""
        latency = (
            select(func.percentile_cont(0.5).within_group(result.c.latency_s))
            .where(result.c.run_id == run.c.id, ~result.c.cached, result.c.error.is_(None))
            .correlate(run)
            .scalar_subquery()
        )
        of_nights = select(night_entry.c.run_id).where(
            night_entry.c.suite == suite, night_entry.c.purpose == purpose, night_entry.c.run_id.isnot(None)
        )
        statement = (
            select(run, latency.label("latency_s"))
            .where(run.c.id.in_(of_nights), run.c.state == RunState.CONCLUDED, run.c.branch == branch)
            .order_by(run.c.concluded_at.desc())
            .limit(limit)
        )
        wanted = {run.c.model: model, run.c.team: team}
        statement = statement.where(*(column == value for column, value in wanted.items() if value is not None))
        with self._transaction() as connection:
            return [_point(row, purpose) for row in reversed(connection.execute(statement).all())]


def _point(row: Row[Any], purpose: Purpose) -> TrendPoint:
    summary: Summary = from_document(Summary, row.summary)
    metrics = summary.slices[0].metrics if summary.slices else ()
    return TrendPoint(
        run_id=row.id,
        night_id=row.night_id,
        suite=row.suite,
        model=row.model,
        purpose=purpose,
        at=row.concluded_at,
        answer=None if row.answer is None else Answer(row.answer),
        void=row.void is not None,
        score=metrics[0].value if metrics else None,
        latency_s=row.latency_s,
        gpu_s=summary.gpu_s,
        samples=summary.samples,
        flips=_flips(from_document(Verdict, row.verdict)) if row.verdict else None,
    )


def _flips(verdict: Verdict) -> float | None:
    """Share of the paired samples that changed sides."""
    for check in verdict.checks:
        if check.kind == "paired" and check.slice == "all" and check.n:
            return (check.flips_down + check.flips_up) / check.n
    return None
