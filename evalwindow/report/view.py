"""RunView: everything that a report shows of a run, worked out once, from rows, by a pure function."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import takewhile
from typing import Any

from evalwindow.config import Pool
from evalwindow.model import Answer, Check, Message, Sample, SampleResult, Summary, Verdict
from evalwindow.report.cost import CostView, cost_of, prefix_hit_rate
from evalwindow.report.grade import Outcome, outcome, primary_value
from evalwindow.report.headline import Tone, title_of, tone_of, word_of
from evalwindow.report.latency import LatencyView, latency_of
from evalwindow.report.slices import SliceView, slices_of
from evalwindow.store.rows import RunRow
from evalwindow.suites import Suite


class Flip(StrEnum):
    """A sample that changed sides against the baseline."""

    NONE = ""
    DOWN = "down"  # right in the baseline, not here
    UP = "up"


@dataclass(frozen=True, kw_only=True)
class SampleView:
    """One sample with what was asked, expected and answered."""

    id: str
    slices: tuple[str, ...]
    must_pass: bool
    prompt: tuple[Message, ...]
    target: str
    results: tuple[SampleResult, ...]  # epochs in order, re-asks last
    baseline: tuple[SampleResult, ...]
    value: float | None  # judged scorer, mean over epochs, 0..1
    baseline_value: float | None
    outcome: Outcome
    flip: Flip

    @property
    def failing(self) -> bool:
        return self.outcome.failing


@dataclass(frozen=True, kw_only=True)
class RunView:
    """A run as its readers see it."""

    run: RunRow
    suite: Suite
    samples: tuple[SampleView, ...]  # what needs a look comes first
    slices: tuple[SliceView, ...]  # the largest loss first
    shared_prompt: tuple[Message, ...]  # the turns that every prompt starts with
    cost: CostView
    latency: LatencyView
    url: str  # of the page
    held: str | None = None  # why nothing of an open run is asked just now

    @property
    def summary(self) -> Summary | None:
        return self.run.summary

    @property
    def verdict(self) -> Verdict | None:
        return self.run.verdict

    @property
    def prefix_hit_rate(self) -> float | None:
        return prefix_hit_rate(self.summary, self.run.provenance)

    @property
    def checks(self) -> tuple[Check, ...]:
        """The gate's questions; those that explain the verdict come first."""
        return tuple(sorted(self.verdict.checks, key=_weight)) if self.verdict else ()

    @property
    def failing(self) -> tuple[SampleView, ...]:
        return tuple(sample for sample in self.samples if sample.failing)

    @property
    def word(self) -> str:
        return word_of(self.run)

    @property
    def tone(self) -> Tone:
        return tone_of(self.run)

    @property
    def title(self) -> str:
        return title_of(self.run, held=self.held)


def build_view(
    *,
    run: RunRow,
    suite: Suite,
    results: Sequence[SampleResult],
    baseline: Sequence[SampleResult] = (),
    pool: Pool | None = None,
    url: str = "",
    held: str | None = None,
) -> RunView:
    """The view of a run; `baseline` holds the results of verdict.baseline_run, `pool` is None for an API's model."""
    mine, theirs = _by_sample(results), _by_sample(baseline)
    samples = [
        _sample_view(sample, run=run, suite=suite, results=mine.get(sample.id, ()), baseline=theirs.get(sample.id, ()))
        for sample in suite.samples
    ]
    return RunView(
        run=run,
        suite=suite,
        samples=tuple(sorted(samples, key=_urgency)),
        slices=slices_of(samples),
        shared_prompt=_shared([sample.prompt for sample in samples]),
        cost=cost_of(results, pool=pool, summary=run.summary),
        latency=latency_of(run, results),
        url=url,
        held=held,
    )


def _by_sample(results: Sequence[SampleResult]) -> Mapping[str, tuple[SampleResult, ...]]:
    grouped: dict[str, list[SampleResult]] = defaultdict(list)
    for result in sorted(results, key=lambda result: (result.reask, result.epoch)):
        grouped[result.sample_id].append(result)
    return {sample_id: tuple(group) for sample_id, group in grouped.items()}


def _sample_view(
    sample: Sample,
    *,
    run: RunRow,
    suite: Suite,
    results: tuple[SampleResult, ...],
    baseline: tuple[SampleResult, ...],
) -> SampleView:
    here, there = outcome(results, suite=suite), outcome(baseline, suite=suite)
    return SampleView(
        id=sample.id,
        slices=sample.slices,
        must_pass=sample.must_pass,
        prompt=suite.render(sample, run.candidate),
        target=_text(sample.target),
        results=results,
        baseline=baseline,
        value=primary_value(results, primary=suite.primary),
        baseline_value=primary_value(baseline, primary=suite.primary),
        outcome=here,
        flip=_flip(here, there),
    )


def _flip(here: Outcome, there: Outcome) -> Flip:
    scored = (Outcome.RIGHT, Outcome.PARTIAL, Outcome.WRONG)
    if here not in scored or there not in scored:
        return Flip.NONE
    if (here is Outcome.RIGHT) == (there is Outcome.RIGHT):
        return Flip.NONE
    return Flip.UP if here is Outcome.RIGHT else Flip.DOWN


def _weight(check: Check) -> tuple[bool, int]:
    return (not check.blocking, (Answer.FAIL, Answer.INCONCLUSIVE, Answer.PASS).index(check.answer))


def _urgency(sample: SampleView) -> tuple[bool, bool, bool, float, str]:
    broken_promise = sample.must_pass and sample.failing
    value = 0.0 if sample.value is None else sample.value
    return (not broken_promise, not sample.failing, sample.flip is not Flip.DOWN, value, sample.id)


def _shared(prompts: Sequence[tuple[Message, ...]]) -> tuple[Message, ...]:
    if len(prompts) < 2:
        return ()
    turns = takewhile(lambda turns: len(set(turns)) == 1, zip(*prompts, strict=False))
    return tuple(turn[0] for turn in turns)


def _text(target: Any) -> str:
    return target if isinstance(target, str) else json.dumps(target, ensure_ascii=False)
