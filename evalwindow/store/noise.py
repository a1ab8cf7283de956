"""Runs of the same thing twice: what A/A runs scored beside the baselines that they repeated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Double, Row, cast, func, select
from sqlalchemy.dialects.postgresql import JSONPATH

from evalwindow.model import EngineInfo, RunState
from evalwindow.store.database import Database
from evalwindow.store.documents import from_document
from evalwindow.store.rows import RepeatRow
from evalwindow.store.tables import result, run

_LOST = '$.checks[*] ? (@.kind == "paired" && @.blocking == true && @.answer == "fail")'


class Noise(Database):
    def repeats(self, baseline_run: str, *, limit: int) -> list[RepeatRow]:
        """Runs that asked a baseline's own candidate again, past the cache, and were judged against it.

        Those of this baseline first, then those of earlier ones of the same suite and candidate; the newest first.
        Whether engine and suite were the same as well is for the caller to see.
        """
        again, against, mine = run.alias("again"), run.alias("against"), run.alias("mine")
        same = (again.c.suite == mine.c.suite, *(each.c.candidate == mine.c.candidate for each in (again, against)))
        columns: tuple[ColumnElement[Any], ...] = (
            again.c.id,
            again.c.suite_digest,
            again.c.provenance,
            again.c.concluded_at,
            func.jsonb_path_exists(again.c.verdict, cast(_LOST, JSONPATH)).label("lost"),
            against.c.id.label("against"),
            against.c.suite_digest.label("against_digest"),
            against.c.provenance.label("against_provenance"),
        )
        statement = (
            select(*columns)
            .join(against, against.c.id == func.jsonb_extract_path_text(again.c.verdict, "baseline_run"))
            .join(mine, mine.c.id == baseline_run)
            .where(*same, ~again.c.use_cache, again.c.state == RunState.CONCLUDED, again.c.id != against.c.id)
            .order_by((against.c.id == baseline_run).desc(), again.c.id.desc())
            .limit(limit)
        )
        with self._transaction() as connection:
            return [_repeat(row) for row in connection.execute(statement)]

    def sample_means(self, run_ids: Iterable[str], scorer: str) -> dict[str, dict[str, float]]:
        """Run id -> sample id -> mean over the epochs that the scorer could score, 0..1."""
        value = _value(scorer)
        statement = (
            select(result.c.run_id, result.c.sample_id, func.avg(value).label("mean"))
            .where(result.c.run_id.in_(list(run_ids)), ~result.c.reask, value.between(0, 1))  # NaN is above 1 here
            .group_by(result.c.run_id, result.c.sample_id)
        )
        means: dict[str, dict[str, float]] = {}
        with self._transaction() as connection:
            for row in connection.execute(statement):
                means.setdefault(row.run_id, {})[row.sample_id] = row.mean
        return means


def _value(scorer: str) -> ColumnElement[float]:
    """A scorer's value in a result; null: unscored."""
    return cast(func.jsonb_extract_path_text(result.c.scores, scorer, "value"), Double)


def _repeat(row: Row[Any]) -> RepeatRow:
    return RepeatRow(
        run_id=row.id,
        against=row.against,
        suite_digest=row.suite_digest,
        against_digest=row.against_digest,
        engines=_engines(row.provenance),
        against_engines=_engines(row.against_provenance),
        at=row.concluded_at,
        lost=row.lost,
    )


def _engines(provenance: list[Any]) -> tuple[EngineInfo, ...]:
    return tuple(from_document(EngineInfo, each) for each in provenance)
