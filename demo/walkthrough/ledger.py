"""What the tour ran, what was expected of it, and the table at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from demo.walkthrough.screen import say, table
from evalwindow.config import Config, WarmModel
from evalwindow.model import Answer
from evalwindow.report.document import RunDocument
from evalwindow.report.words import seconds

NUMBERS = ("right", "verdict in", "GPU-s", "cold job", "cached")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A run, and what its verdict should be."""

    what: str
    run: RunDocument
    expected: Answer

    @property
    def surprise(self) -> str | None:
        """How it differs from what was expected, if it does."""
        if self.run.answer is self.expected:
            return None
        return f"{self.what}: expected {self.expected}, got {self.run.answer or self.run.state}: {self.run.error or ''}"


@dataclass(kw_only=True)
class Ledger:
    """All runs of the tour in their order."""

    config: Config
    entries: list[Entry] = field(default_factory=list)

    def add(self, what: str, run: RunDocument, *, expected: Answer) -> RunDocument:
        self.entries.append(Entry(what=what, run=run, expected=expected))
        return run

    @property
    def surprises(self) -> list[str]:
        return [entry.surprise for entry in self.entries if entry.surprise is not None]

    @property
    def run_ids(self) -> list[str]:
        return [entry.run.id for entry in self.entries]

    def show(self, reports: str) -> None:
        """The table of runs, and where their pages lie."""
        table(["what", "verdict", *NUMBERS], [self._row(entry) for entry in self.entries], right=NUMBERS)
        say("verdict in: from admission on. GPU-s: seconds of the warm engine that the run used (here on the CPU).")
        say("cold job: what a CI job of its own would have paid, because it loads the model before the first prompt.")
        say("cached: prompts whose answer was known.")
        say(self._total(), style="bold")
        say("The page of each run:")
        for entry in self.entries:
            say(f"{reports}/{entry.run.id}.html  {entry.what}")

    def adapter(self, model: str) -> Path:
        """The folder of a model's LoRA adapter."""
        chosen = self.config.models[model]
        assert isinstance(chosen, WarmModel) and chosen.adapter is not None
        return chosen.adapter

    def _row(self, entry: Entry) -> list[str]:
        run, summary = entry.run, entry.run.summary
        took = (run.concluded_at - run.created_at).total_seconds() if run.concluded_at else None
        mark = "" if entry.surprise is None else f" (expected {entry.expected})"
        return [
            entry.what,
            f"{(run.answer or run.state).upper()}{mark}",
            right_share(run),
            seconds(took),
            f"{summary.gpu_s:.1f}" if summary else "–",
            f"{summary.gpu_s + self._cold_start_s(run):.1f}" if summary else "–",
            f"{summary.cache_hits}/{summary.results}" if summary else "–",
        ]

    def _total(self) -> str:
        runs = [entry.run for entry in self.entries]
        used = sum(run.summary.gpu_s for run in runs if run.summary)
        cold = used + sum(self._cold_start_s(run) for run in runs if run.summary)
        return f"{len(runs)} runs used {used:.0f} GPU-seconds of one warm engine; as jobs of their own: {cold:.0f}."

    def _cold_start_s(self, run: RunDocument) -> float:
        model = self.config.models[run.model]
        assert isinstance(model, WarmModel)
        return self.config.pools[model.pool].cold_start_s


def right_share(run: RunDocument) -> str:
    """The judged mean over all prompts."""
    metric = run.summary.slices[0].metrics[0] if run.summary and run.summary.slices else None
    return f"{metric.value:.1%}" if metric and metric.value is not None else "–"
