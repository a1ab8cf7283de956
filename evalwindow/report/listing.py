"""Runs in a row each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalwindow.report.headline import Tone, tone_of, word_of
from evalwindow.report.page import render
from evalwindow.store.rows import RunRow


@dataclass(frozen=True, kw_only=True)
class ListedRun:
    """A run as a line of the list."""

    run: RunRow

    @property
    def word(self) -> str:
        return word_of(self.run)

    @property
    def tone(self) -> Tone:
        return tone_of(self.run)

    @property
    def score(self) -> float | None:
        return score_of(self.run)

    @property
    def total_s(self) -> float | None:
        end = self.run.concluded_at
        return None if end is None else (end - self.run.created_at).total_seconds()


def score_of(run: RunRow) -> float | None:
    """The first metric over all samples, 0..1."""
    summary = run.summary
    return summary.slices[0].metrics[0].value if summary and summary.slices and summary.slices[0].metrics else None


def runs_page(runs: Sequence[RunRow], *, team: str | None, next_id: str | None) -> str:
    """`team` is who reads it, None where everybody may; `next_id` leads to the older runs."""
    return render("runs.html", runs=[ListedRun(run=run) for run in runs], team=team, next_id=next_id)
