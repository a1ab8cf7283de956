"""The noise floor of a suite: what its baseline scored when it ran again. docs/gates.md, "Noise floor"."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evalwindow.metrics import ALL
from evalwindow.model import EngineInfo, NoiseFloor, NoiseRates, Sample, Tier
from evalwindow.store import Store
from evalwindow.store.rows import RepeatRow, RunRow
from evalwindow.suites import Suite

MOST_RUNS = 8  # A/A runs in a floor: about a week of nights
LOOKED_AT = 3 * MOST_RUNS  # some were of other engines or prompts
DIGITS = 9  # of a difference: two means of the same values may differ in their last digit


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """One A/A run: what each sample scored more (or less) than in the run that it repeated."""

    row: RepeatRow
    differences: Mapping[str, float]  # by sample id, -1..1


def noise_for(store: Store, run: RunRow, suite: Suite, reference: str | None) -> NoiseFloor | None:
    """What the gate may use for this run; None for an A/A run itself: it measures the floor and can't hide in it."""
    if reference is None or suite.tier is not Tier.REGRESSION:
        return None
    baseline = store.run(reference)
    if not run.use_cache and run.candidate == baseline.candidate:
        return None
    return noise_floor(store, suite, baseline)


def noise_floor(store: Store, suite: Suite, baseline: RunRow) -> NoiseFloor | None:
    """From the latest A/A runs of this baseline, or of earlier ones of the same candidate if it has none itself.

    Only on the engine that the baseline had, and on samples that `suite` asks and judges in the same way. None where
    there are no such runs.
    """
    rows = _alike(store.repeats(baseline.id, limit=LOOKED_AT), baseline)
    common = {row.run_id: _common(store, suite, {row.suite_digest, row.against_digest}) for row in rows}
    rows = [row for row in rows if common[row.run_id]]
    kept, left_out = _representative(rows[:MOST_RUNS])
    if not kept:
        return None
    means = store.sample_means({run for row in kept for run in (row.run_id, row.against)}, suite.primary)
    repeats = [_repeat(row, means, common[row.run_id]) for row in kept]
    return replace(_pooled(suite, repeats), left_out=left_out)


def _alike(rows: Iterable[RepeatRow], baseline: RunRow) -> list[RepeatRow]:
    """Those on the baseline's engine; only its own if there are any, because each baseline has luck of its own."""
    engine = _engine(baseline.provenance)
    same = [row for row in rows if _engine(row.engines) == _engine(row.against_engines) == engine]
    return [row for row in same if row.against == baseline.id] or same


def _engine(provenance: Iterable[EngineInfo]) -> frozenset[tuple[str, ...]]:
    """What of the engines can change an answer, as in the result cache's key."""
    return frozenset(
        (each.engine, each.version, each.model_digest, each.dtype, each.chat_template_digest, repr(_sorted(each)))
        for each in provenance
    )


def _sorted(info: EngineInfo) -> list[tuple[str, object]]:
    return sorted(info.details.items())


def _representative(rows: Sequence[RepeatRow]) -> tuple[list[RepeatRow], int]:
    """Without those that lost against their baseline while most did not, and how many these are.

    A night with such a run is void: something was broken. Where at least half of them lost, nothing is: that is what
    this baseline does, and every candidate that is measured against it will do the same.
    """
    held = [row for row in rows if not row.lost]
    return (held, len(rows) - len(held)) if 2 * len(held) > len(rows) else (list(rows), 0)


def _common(store: Store, suite: Suite, digests: Collection[str]) -> frozenset[str]:
    """Ids of the samples that the suite and each of these versions of it have to the letter."""
    ids = {sample.id for sample in suite.samples}
    for other in (store.suite(digest) for digest in digests if digest != suite.digest):
        if _question(other) != _question(suite):
            return frozenset()
        theirs = {sample.id: sample for sample in other.samples}
        ids = {sample_id for sample_id in ids if theirs.get(sample_id) == suite.sample(sample_id)}
    return frozenset(ids)


def _question(suite: Suite) -> tuple[object, ...]:
    """How a sample is asked and judged. The policy may differ."""
    judging = next(scorer for scorer in suite.spec.scorers if scorer.label == suite.primary)
    return suite.spec.prompt, suite.spec.sampling, suite.spec.epochs, judging


def _repeat(row: RepeatRow, means: Mapping[str, Mapping[str, float]], common: Collection[str]) -> Repeat:
    again, before = means.get(row.run_id, {}), means.get(row.against, {})
    both = again.keys() & before.keys() & set(common)
    return Repeat(row=row, differences={name: round(again[name] - before[name], DIGITS) for name in both})


def _pooled(suite: Suite, repeats: Sequence[Repeat]) -> NoiseFloor:
    names = dict.fromkeys((*suite.spec.policy.blocking, *suite.spec.policy.advisory))
    slices = {name: [sample for sample in suite.samples if name in sample.slices] for name in names if name != ALL}
    return NoiseFloor(
        rates=_rates(suite.samples, repeats),
        slices={name: _rates(samples, repeats) for name, samples in slices.items()},
        runs=tuple(repeat.row.run_id for repeat in repeats),
        since=min(repeat.row.at for repeat in repeats).date().isoformat(),
    )


def _rates(samples: Iterable[Sample], repeats: Sequence[Repeat]) -> NoiseRates:
    ids = [sample.id for sample in samples]
    seen = [repeat.differences[name] for repeat in repeats for name in ids if name in repeat.differences]
    return NoiseRates(
        samples=len(seen),
        down=sum(each < 0 for each in seen),
        up=sum(each > 0 for each in seen),
        lost=math.fsum(-each for each in seen if each < 0),
        gained=math.fsum(each for each in seen if each > 0),
        squares=math.fsum(each * each for each in seen),
    )
