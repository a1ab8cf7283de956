"""Scores -> Summary: means with their uncertainty, pass@k and pass^k over epochs, and what the run cost.

Re-asks of the smoke tripwire cost, but are never measured.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from evalwindow.model import Metric, Sample, SampleResult, Score, SliceSummary, Summary, Tier
from evalwindow.policy import Policy

ALL = "all"  # the slice of every sample


class ScorerSpec(Protocol):
    """What counts of a scorer here."""

    @property
    def label(self) -> str: ...
    @property
    def assertion(self) -> bool: ...


class SuiteSpec(Protocol):
    """What counts of a suite's YAML here."""

    @property
    def scorers(self) -> Sequence[ScorerSpec]: ...
    @property
    def epochs(self) -> int: ...
    @property
    def policy(self) -> Policy: ...


class Suite(Protocol):
    """What counts of a suite here; evalwindow.suites.Suite is one."""

    @property
    def spec(self) -> SuiteSpec: ...
    @property
    def samples(self) -> tuple[Sample, ...]: ...
    @property
    def primary(self) -> str: ...
    @property
    def tier(self) -> Tier: ...


def sound(score: Score) -> Score:
    """The score itself, or unscored with the reason: NaN, an infinity or a value outside 0..1 measures nothing."""
    if score.value is None or 0 <= score.value <= 1:
        return score
    return Score.unscored(f"the scorer gave {score.value}, which is not in 0..1")


def values_by_sample(results: Iterable[SampleResult], label: str) -> dict[str, list[float]]:
    """Per sample id one scorer's values, 0..1, of the epochs that were scored; re-asks are left out."""
    values: dict[str, list[float]] = {}
    for result in results:
        value = None if result.reask else value_of(result, label)
        if value is not None:
            values.setdefault(result.sample_id, []).append(value)
    return values


def value_of(result: SampleResult, label: str) -> float | None:
    """What one scorer gave to one result; None: unscored."""
    return sound(result.scores[label]).value if label in result.scores else None


def mean(values: Sequence[float]) -> float:
    """Of at least one value, the same in every order."""
    return math.fsum(values) / len(values)


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean: sqrt(sum (x - mean)^2 / (n (n - 1))); None for fewer than two values."""
    n = len(values)
    if n < 2:
        return None
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (n * (n - 1)))


def clustered_error(values: Sequence[float], clusters: Sequence[str]) -> float | None:
    """Of the mean, for values that depend on each other within a cluster: sqrt(sum_c (sum_i (x_i - mean))^2) / n.

    Miller, arXiv 2411.00640. One cluster alone shows no spread between clusters: None.
    """
    if len(set(clusters)) < 2:
        return None
    centre = mean(values)
    within: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        within.setdefault(cluster, []).append(value - centre)
    return math.sqrt(math.fsum(math.fsum(deviations) ** 2 for deviations in within.values())) / len(values)


def clusters_of(samples: Iterable[Sample]) -> list[str] | None:
    """Each sample's cluster, one without stands alone; None when no sample has any."""
    samples = list(samples)
    if all(sample.cluster is None for sample in samples):
        return None
    return [f"sample {sample.id}" if sample.cluster is None else f"cluster {sample.cluster}" for sample in samples]


def pass_at_k(n: int, passed: int, k: int) -> float:
    """Chance that at least one of k epochs passes, from `passed` of n: unbiased (Chen et al., arXiv 2107.03374)."""
    return 1.0 - math.comb(n - passed, k) / math.comb(n, k)


def pass_hat_k(n: int, passed: int, k: int) -> float:
    """Chance that all of k epochs pass, from `passed` of n: unbiased (Yao et al., arXiv 2406.12045)."""
    return math.comb(passed, k) / math.comb(n, k)


def summarise(suite: Suite, results: Sequence[SampleResult], wall_s: float) -> Summary:
    """What a run scored and cost, in any order of its results; results of unknown samples count only as cost."""
    measured = [result for result in results if not result.reask]
    usages = [result.completion.usage for result in results if result.completion is not None]
    return Summary(
        slices=_slices(suite, measured),
        samples=len(suite.samples),
        results=len(measured),
        unscored=sum(value_of(result, suite.primary) is None for result in measured),
        cache_hits=sum(result.completion is not None and result.completion.cached for result in measured),
        prompt_tokens=sum(usage.prompt_tokens for usage in usages),
        cached_tokens=sum(usage.cached_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        gpu_s=math.fsum(usage.gpu_s for usage in usages),
        cost=math.fsum(usage.cost for usage in usages),
        wall_s=wall_s,
    )


def members(samples: Iterable[Sample], name: str) -> list[Sample]:
    """The samples of one slice."""
    return [sample for sample in samples if name == ALL or name in sample.slices]


def _slices(suite: Suite, results: Sequence[SampleResult]) -> tuple[SliceSummary, ...]:
    names = [ALL, *sorted({name for sample in suite.samples for name in sample.slices} - {ALL})]
    by_label = {scorer.label: values_by_sample(results, scorer.label) for scorer in suite.spec.scorers}
    return tuple(
        SliceSummary(slice=name, metrics=_metrics(suite, members(suite.samples, name), by_label)) for name in names
    )


def _metrics(
    suite: Suite, samples: Sequence[Sample], by_label: Mapping[str, Mapping[str, list[float]]]
) -> tuple[Metric, ...]:
    epochs, pass_at = suite.spec.epochs, suite.spec.policy.pass_at
    means = [_mean_metric(label, samples, found, epochs=epochs) for label, found in by_label.items()]
    passes = {
        sample_id: Counter(value >= pass_at for value in values)
        for sample_id, values in by_label.get(suite.primary, {}).items()
    }
    return (*means, *(metric for k in _ks(epochs) for metric in _k_metrics(k, samples, passes)))


def _mean_metric(label: str, samples: Sequence[Sample], found: Mapping[str, list[float]], *, epochs: int) -> Metric:
    scored = {sample.id: found[sample.id] for sample in samples if sample.id in found}
    unscored = len(samples) * epochs - sum(map(len, scored.values()))  # a missing result was not scored either
    return _metric(label, samples, {sample_id: mean(values) for sample_id, values in scored.items()}, unscored=unscored)


def _ks(epochs: int) -> list[int]:
    """2, 4, 8 ... and all epochs; k = 1 is the mean."""
    return sorted({2**power for power in range(1, epochs.bit_length())} | {epochs} - {1})


def _k_metrics(k: int, samples: Sequence[Sample], passes: Mapping[str, Counter[bool]]) -> Iterable[Metric]:
    """Samples with fewer than k scored epochs say nothing about k of them, and count as unscored."""
    known = {sample.id: passes[sample.id] for sample in samples if passes.get(sample.id, Counter()).total() >= k}
    for name, estimate in ((f"pass@{k}", pass_at_k), (f"pass^{k}", pass_hat_k)):
        chances = {sample_id: estimate(count.total(), count[True], k) for sample_id, count in known.items()}
        yield _metric(name, samples, chances, unscored=len(samples) - len(known))


def _metric(name: str, samples: Sequence[Sample], by_id: Mapping[str, float], *, unscored: int) -> Metric:
    scored = [sample for sample in samples if sample.id in by_id]
    if not scored:
        return Metric(name=name, value=None, unscored=unscored)
    values = [by_id[sample.id] for sample in scored]
    clusters = clusters_of(scored)
    return Metric(
        name=name,
        value=mean(values),
        stderr=standard_error(values) if clusters is None else clustered_error(values, clusters),
        n=len(values),
        unscored=unscored,
        clusters=None if clusters is None else len(set(clusters)),
    )
