"""The checks beside the comparison: unscored and quarantined results, a usable baseline, absolute floors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from evalwindow.gate.paired import worst_mean
from evalwindow.gate.slices import unknown_slice
from evalwindow.gate.words import bare, listed, points, verdict
from evalwindow.metrics import ALL, Suite, mean, members
from evalwindow.model import Answer, Check, SampleResult

Values = Mapping[str, Sequence[float]]  # by sample id, the epochs that were scored

PROMOTE = "promote one with `evalwindow baseline promote`"


def unscored_check(suite: Suite, values: Values) -> Check:
    """Results that are missing count like those that no scorer could judge."""
    epochs, limit = suite.spec.epochs, suite.spec.policy.max_unscored
    expected = len(suite.samples) * epochs
    unscored = expected - sum(min(epochs, len(values.get(sample.id, ()))) for sample in suite.samples)
    answer = Answer.PASS if expected and unscored <= round(limit * expected, 9) else Answer.INCONCLUSIVE
    text = f"{unscored} of {expected} results unscored, limit {bare(limit)} %"
    return Check(
        kind="unscored", slice=ALL, answer=answer, blocking=True, text=verdict(text, answer), n=expected, test="count"
    )


def quarantine_checks(results: Iterable[SampleResult]) -> list[Check]:
    """One check where prompts were not asked because they end engines: nobody knows what they would have shown."""
    names = sorted({result.sample_id for result in results if result.quarantined})
    if not names:
        return []
    what = "1 sample was not asked: it" if len(names) == 1 else f"{len(names)} samples were not asked: they"
    text = verdict(f"{what} ended the engine ({listed(names)})", Answer.INCONCLUSIVE)
    return [Check(kind="quarantine", slice=ALL, answer=Answer.INCONCLUSIVE, blocking=True, text=text, n=len(names))]


def baseline_check(suite: Suite, baseline: Values | None, *, run: str | None) -> Check:
    """A comparison needs a baseline that scored this very dataset."""
    if baseline is None:
        return _baseline(Answer.INCONCLUSIVE, f"there is no production baseline for this suite and branch; {PROMOTE}")
    total = len(suite.samples)
    known = sum(sample.id in baseline for sample in suite.samples)
    named = f"baseline run {run}" if run else "the baseline"
    text = f"{named} has scores for {known} of {total} samples"
    if known and total - known <= round(suite.spec.policy.max_unscored * total, 9):
        return _baseline(Answer.PASS, text, n=known)
    return _baseline(Answer.INCONCLUSIVE, f"{text}, which is too few; {PROMOTE}", n=known)


def floor_checks(suite: Suite, values: Values) -> list[Check]:
    return [_floor_check(suite, values, name, floor) for name, floor in sorted(suite.spec.policy.floors.items())]


def _floor_check(suite: Suite, values: Values, name: str, floor: float) -> Check:
    """FAIL by the mean of what was scored; PASS only if the mean holds with the unscored ones taken as wrong."""
    chosen = members(suite.samples, name)
    scored = [mean(values[sample.id]) for sample in chosen if sample.id in values]
    if not scored:
        reason = unknown_slice(name, suite.samples) or f"{name}: nothing was scored"
        return _floor(name, Answer.INCONCLUSIVE, f"{reason}, floor {bare(floor)}", None, 0)
    value = round(mean(scored), 12)  # a sum's last digit must not break a floor that is met exactly
    worst = mean([worst_mean(values.get(sample.id, ()), suite.spec.epochs) for sample in chosen])
    text = f"{name} scored {points(value)}, floor {bare(floor)}"
    if value < floor:
        return _floor(name, Answer.FAIL, text, value, len(scored))
    if round(worst, 12) < floor:
        text += f", but {points(worst)} with the unscored taken as wrong"
        return _floor(name, Answer.INCONCLUSIVE, text, value, len(scored))
    return _floor(name, Answer.PASS, text, value, len(scored))


def _floor(name: str, answer: Answer, text: str, value: float | None, n: int) -> Check:
    return Check(
        kind="floor", slice=name, answer=answer, blocking=True, text=verdict(text, answer), candidate=value, n=n
    )


def _baseline(answer: Answer, text: str, n: int = 0) -> Check:
    return Check(kind="baseline", slice=ALL, answer=answer, blocking=True, text=verdict(text, answer), n=n)
