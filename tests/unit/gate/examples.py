"""Suites and results for the gate's tests, built from plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalwindow.model import Sample, SampleResult, Score, Tier
from evalwindow.policy import Policy


@dataclass(frozen=True, kw_only=True)
class Scorer:
    label: str
    assertion: bool = False


@dataclass(frozen=True, kw_only=True)
class Spec:
    scorers: tuple[Scorer, ...] = (Scorer(label="exact"),)
    epochs: int = 1
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, kw_only=True)
class Suite:
    samples: tuple[Sample, ...]
    spec: Spec = field(default_factory=Spec)
    tier: Tier = Tier.REGRESSION
    primary: str = "exact"


def suite_of(
    slices: Sequence[Sequence[str]],
    *,
    clusters: Sequence[str | None] | None = None,
    epochs: int = 1,
    scorers: tuple[Scorer, ...] = (Scorer(label="exact"),),
    **policy: Any,
) -> Suite:
    """A regression suite with one sample for each entry of `slices`, called s0, s1 ..."""
    samples = tuple(
        Sample(id=f"s{index}", input="?", slices=tuple(tags), cluster=clusters[index] if clusters else None)
        for index, tags in enumerate(slices)
    )
    return Suite(samples=samples, spec=Spec(scorers=scorers, epochs=epochs, policy=Policy(**policy)))


def smoke_of(
    prompts: int,
    *,
    others: int = 0,
    epochs: int = 1,
    assertion: str | None = None,
    must_pass: bool = True,
    **policy: Any,
) -> Suite:
    """A smoke suite of must-pass prompts s0, s1 ... and others o0, o1 ..."""
    samples = [Sample(id=f"s{index}", input="?", must_pass=must_pass) for index in range(prompts)]
    samples += [Sample(id=f"o{index}", input="?") for index in range(others)]
    scorers = [Scorer(label="exact")] + ([Scorer(label=assertion, assertion=True)] if assertion else [])
    spec = Spec(scorers=tuple(scorers), epochs=epochs, policy=Policy(**policy))
    return Suite(samples=tuple(samples), spec=spec, tier=Tier.SMOKE)


def result(
    sample_id: str, value: float | None, *, epoch: int = 0, reask: bool = False, **others: float | None
) -> SampleResult:
    """One result; None is unscored. `others` are further scorers' values."""
    values: Mapping[str, float | None] = {"exact": value, **others}
    scores = {
        label: Score.unscored("the judge failed") if found is None else Score(value=found)
        for label, found in values.items()
    }
    return SampleResult(sample_id=sample_id, epoch=epoch, scores=scores, reask=reask)


def results(values: Iterable[float | None]) -> list[SampleResult]:
    """One result for each of s0, s1 ..."""
    return [result(f"s{index}", value) for index, value in enumerate(values)]


def flips(*, n: int, down: int, up: int, right: int = 0) -> tuple[list[SampleResult], list[SampleResult]]:
    """(candidate, baseline) of n samples: `down` fell, `up` rose, `right` right on both sides, the rest wrong."""
    rest = n - down - up - right
    candidate = [0.0] * down + [1.0] * up + [1.0] * right + [0.0] * rest
    baseline = [1.0] * down + [0.0] * up + [1.0] * right + [0.0] * rest
    return results(candidate), results(baseline)
