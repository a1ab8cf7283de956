"""Paired comparison of one slice: what was seen, and which of the three answers it allows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalwindow.gate.distributions import mcnemar
from evalwindow.gate.interval import Interval, error_of, independent, interval
from evalwindow.gate.noise import Noise, noise_of, seen_by
from evalwindow.gate.power import power_line, samples_to_decide
from evalwindow.gate.words import bare, points, signed, verdict
from evalwindow.metrics import clusters_of, mean
from evalwindow.model import Answer, Check, NoiseFloor, Sample


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One sample that the baseline scored; scores are means over epochs, 0..1."""

    sample: Sample
    baseline: float
    candidate: float | None  # None: no epoch was scored
    worst: float  # the candidate's mean if every epoch that was not scored were wrong


@dataclass(frozen=True, kw_only=True)
class Question:
    """One slice that the policy asks about."""

    slice: str
    blocking: bool
    margin: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a slice's pairs say. Differences are candidate - baseline."""

    question: Question
    n: int  # pairs scored on both sides
    unscored: int  # pairs in which it matters that the candidate was not, or not fully, scored
    candidate: float
    baseline: float
    delta: float
    low: float  # the worst case: what the candidate left unscored counts as wrong
    low_scored: float  # from what was scored alone
    high: float
    p_value: float
    p_worse: float
    test: str
    flips_down: int
    flips_up: int
    variance: float  # of one difference, clustering included
    independent: float  # samples that count as independent
    discordant: float  # mean squared difference; of binary scores the share of flips
    noise: Noise | None  # what the baseline does by itself; None: not known
    p_noise: float | None  # chance that it falls as far by itself

    @property
    def p_fail(self) -> float:
        """Before adjustment. A fail has to rule out two explanations: a drop within the margin, and noise."""
        return self.p_value if self.p_noise is None else max(self.p_value, self.p_noise)

    @property
    def may_be_noise(self) -> bool:
        return self.p_noise is not None and self.p_noise > 1 - self.question.confidence

    @property
    def reach(self) -> float:
        """How far noise alone lets the mean fall, 0..1; 0 where it is not known."""
        return self.noise.reach(self.question.confidence) if self.noise else 0.0


def pair_up(
    samples: Sequence[Sample],
    *,
    candidate: Mapping[str, Sequence[float]],
    baseline: Mapping[str, Sequence[float]],
    epochs: int,
) -> list[Pair]:
    """The samples that the baseline scored, with both sides' values by sample id."""
    return [
        Pair(
            sample=sample,
            baseline=mean(baseline[sample.id]),
            candidate=mean(candidate[sample.id]) if sample.id in candidate else None,
            worst=worst_mean(candidate.get(sample.id, ()), epochs),
        )
        for sample in samples
        if sample.id in baseline
    ]


def worst_mean(values: Sequence[float], epochs: int) -> float:
    """The mean over all epochs if those that were not scored were wrong."""
    return math.fsum(values) / max(epochs, len(values))


def weigh(pairs: Sequence[Pair], question: Question, floor: NoiseFloor | None = None) -> Evidence | None:
    """What the pairs say; None when the candidate scored none of them."""
    scored = [(pair, pair.candidate) for pair in pairs if pair.candidate is not None]
    if not scored:
        return None
    differences = [candidate - pair.baseline for pair, candidate in scored]
    clusters = clusters_of(pair.sample for pair, _ in scored)
    seen = interval(differences, clusters)
    down, up = sum(d < 0 for d in differences), sum(d > 0 for d in differences)
    binary = clusters is None and set(differences) <= {-1.0, 0.0, 1.0}
    alone = independent(differences, clusters)
    noise = noise_of(floor, question.slice, samples=len(scored), independent=alone)
    return Evidence(
        question=question,
        n=len(scored),
        unscored=sum(pair.worst != pair.candidate for pair in pairs),
        candidate=mean([candidate for _, candidate in scored]),
        baseline=mean([pair.baseline for pair, _ in scored]),
        delta=mean(differences),
        low=_low(pairs, seen, question.confidence),
        low_scored=seen.lower(question.confidence),
        high=seen.upper(question.confidence),
        p_value=seen.p_below(-question.margin),
        p_worse=mcnemar(down, up) if binary else seen.p_below(0.0),
        test=seen.name,
        flips_down=down,
        flips_up=up,
        variance=error_of(differences, clusters) ** 2 * len(scored),
        independent=alone,
        discordant=mean([d * d for d in differences]),
        noise=noise,
        p_noise=noise.p_fall(-mean(differences)) if noise else None,
    )


def _low(pairs: Sequence[Pair], seen: Interval, confidence: float) -> float:
    """From below even if everything that the candidate left unscored is wrong: an error never helps to pass."""
    low = seen.lower(confidence)
    if all(pair.worst == pair.candidate for pair in pairs):
        return low
    worst = interval([pair.worst - pair.baseline for pair in pairs], clusters_of(pair.sample for pair in pairs))
    return min(low, worst.lower(confidence))


def decide(evidence: Evidence, p_adjusted: float) -> Answer:
    """FAIL: the drop is beyond the margin and no noise, after adjustment. PASS: a drop beyond the margin is ruled out.

    Noise can only make a FAIL inconclusive: `p_adjusted` is no smaller for it, and a PASS doesn't ask. A PASS needs no
    adjustment either, because a run passes only if every blocking slice does.
    """
    question = evidence.question
    if evidence.high < -question.margin and p_adjusted <= 1 - question.confidence:
        return Answer.FAIL
    return Answer.PASS if evidence.low > -question.margin else Answer.INCONCLUSIVE


def check_of(evidence: Evidence, p_adjusted: float, *, family: int) -> Check:
    """The answer with its numbers; `family` is how many slices were tested together."""
    question, answer = evidence.question, decide(evidence, p_adjusted)
    needed = _needed(evidence, family) if answer is Answer.INCONCLUSIVE else None
    return Check(
        kind="paired",
        slice=question.slice,
        answer=answer,
        blocking=question.blocking,
        text=_text(evidence, answer, p_adjusted, needed),
        n=evidence.n,
        candidate=evidence.candidate,
        baseline=evidence.baseline,
        delta=evidence.delta,
        low=evidence.low,
        high=evidence.high,
        margin=question.margin,
        p_value=evidence.p_value,
        p_worse=evidence.p_worse,
        p_noise=evidence.p_noise,
        p_adjusted=p_adjusted,
        test=evidence.test,
        flips_down=evidence.flips_down,
        flips_up=evidence.flips_up,
        needed=needed,
    )


def power_of(evidence: Evidence) -> str:
    return power_line(
        n=evidence.n,
        independent=evidence.independent,
        discordant=evidence.discordant,
        confidence=evidence.question.confidence,
        margin=evidence.question.margin,
    )


def _needed(evidence: Evidence, family: int) -> int | None:
    """A FAIL has to hold against the strictest level of the family, a PASS only against the plain one."""
    question = evidence.question
    if evidence.low_scored > -question.margin:  # only what is unscored leaves it open
        return None
    if evidence.may_be_noise and evidence.high < -question.margin:  # more samples fall as far
        return None
    falling = evidence.delta < -question.margin
    needed = samples_to_decide(
        delta=evidence.delta,
        variance=evidence.variance,
        margin=question.margin,
        n=evidence.n,
        independent=evidence.independent,
        confidence=1 - (1 - question.confidence) / family if falling else question.confidence,
    )
    if needed is None or evidence.noise is None or evidence.reach <= question.margin:
        return needed
    beyond = evidence.noise.samples_within(question.margin, question.confidence)
    return None if beyond is None else max(needed, math.ceil(beyond * evidence.n / evidence.independent))


def _text(evidence: Evidence, answer: Answer, p_adjusted: float, needed: int | None) -> str:
    question = evidence.question
    text = f"{question.slice} {_movement(evidence.delta)} ({_bound(evidence, answer)}), margin {bare(question.margin)}"
    if evidence.unscored and answer is not Answer.FAIL:
        text += f", {evidence.unscored} unscored taken as wrong"
    if answer is not Answer.INCONCLUSIVE:
        return verdict(text, answer)
    if evidence.high < -question.margin:
        text += f", {_why_no_fail(evidence, p_adjusted)}"
    elif evidence.reach > question.margin:
        text += f", noise alone takes up to {points(evidence.reach)} points from {evidence.n} samples"
    return verdict(text, answer, then=_advice(evidence, needed))


def _why_no_fail(evidence: Evidence, p_adjusted: float) -> str:
    """Of a drop that is certain by itself."""
    if evidence.noise is not None and evidence.may_be_noise:
        return (
            f"but noise alone takes up to {points(evidence.reach)} points from {evidence.n} samples "
            f"({seen_by(evidence.noise)})"
        )
    return f"p {evidence.p_fail:.2g} but {p_adjusted:.2g} among all slices"


def _advice(evidence: Evidence, needed: int | None) -> str:
    if evidence.may_be_noise and evidence.high < -evidence.question.margin:
        return "a baseline that holds its score, or more A/A runs of this one, would decide"
    if evidence.low_scored > -evidence.question.margin:
        return "scoring the unscored would decide"
    if needed is None and evidence.reach > evidence.question.margin:
        return "a larger margin, or a baseline that holds its score, would decide"
    if needed is None:
        return f"too near the margin for any number of samples ({evidence.n} here)"
    return f"about {needed} samples would decide ({evidence.n} here)"


def _movement(delta: float) -> str:
    if round(delta, 3) == 0:
        return "did not move"
    return f"{'fell' if delta < 0 else 'rose'} by {points(abs(delta))} points"


def _bound(evidence: Evidence, answer: Answer) -> str:
    level = f"{100 * evidence.question.confidence:g} %"
    if answer is Answer.FAIL:
        return f"{level} bound: at least {points(-evidence.high)}"
    if answer is Answer.INCONCLUSIVE:
        return f"{level} bounds: {signed(evidence.low)} to {signed(evidence.high)}"
    worst = "a rise of at least" if evidence.low > 0 else "a fall of at most"
    return f"{level} bound: {worst} {points(abs(evidence.low))}"
