"""Many slices, one gate: what is asked, and what it takes to fail when many are asked at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from evalwindow.gate.paired import Evidence, Pair, Question, check_of, weigh
from evalwindow.gate.words import nearest, verdict
from evalwindow.metrics import ALL, members
from evalwindow.model import Answer, Check, NoiseFloor, Sample
from evalwindow.policy import Policy

Adjust = Callable[[Sequence[float]], list[float]]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that the chance of any false alarm keeps its level (Holm 1979)."""
    return _adjusted(p_values, lambda rank, count: count - rank, rising=True)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted so that the share of false alarms among the alarms keeps its level (Benjamini and Hochberg 1995)."""
    return _adjusted(p_values, lambda rank, count: count / (rank + 1), rising=False)


def _adjusted(p_values: Sequence[float], factor: Callable[[int, int], float], *, rising: bool) -> list[float]:
    """Each p times its rank's factor, kept monotone: running maximum from the smallest, or minimum from the largest."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted = [1.0] * len(p_values)
    running = 0.0 if rising else 1.0
    for rank in range(len(order)) if rising else reversed(range(len(order))):
        scaled = min(1.0, p_values[order[rank]] * factor(rank, len(order)))
        running = max(running, scaled) if rising else min(running, scaled)
        adjusted[order[rank]] = running
    return adjusted


def questions(policy: Policy) -> list[Question]:
    """All samples first, then the blocking slices, then the advisory ones; a slice is asked about once."""
    slice_margin = policy.margin if policy.slice_margin is None else policy.slice_margin
    blocking = [name for name in dict.fromkeys(policy.blocking) if name != ALL]
    advisory = [name for name in dict.fromkeys(policy.advisory) if name not in {ALL, *blocking}]
    asked = [(ALL, True, policy.margin)]
    asked += [(name, True, slice_margin) for name in blocking]
    asked += [(name, False, slice_margin) for name in advisory]
    return [
        Question(slice=name, blocking=blocks, margin=margin, confidence=policy.confidence)
        for name, blocks, margin in asked
    ]


def paired_checks(
    samples: Sequence[Sample], pairs: Sequence[Pair], policy: Policy, floor: NoiseFloor | None = None
) -> tuple[list[Check], Evidence | None]:
    """A check for every question, and the evidence on all samples (None when nothing could be paired)."""
    asked = questions(policy)
    weighed = [weigh(_pairs_of(pairs, question.slice), question, floor) for question in asked]
    found = [seen for seen in weighed if seen is not None]
    checks = {
        **_family([seen for seen in found if seen.question.blocking], holm),
        **_family([seen for seen in found if not seen.question.blocking], benjamini_hochberg),
    }
    whole = next((seen for seen in found if seen.question.slice == ALL), None)
    return [checks.get(question.slice) or _untested(question, samples) for question in asked], whole


def unknown_slice(name: str, samples: Sequence[Sample]) -> str | None:
    """What to say of a slice that no sample carries; None if one does."""
    if members(samples, name):
        return None
    return f"no sample has the slice {name!r}{nearest(name, {tag for sample in samples for tag in sample.slices})}"


def _family(evidence: Sequence[Evidence], adjust: Adjust) -> dict[str, Check]:
    adjusted = adjust([seen.p_fail for seen in evidence])
    return {
        seen.question.slice: check_of(seen, p_adjusted, family=len(evidence))
        for seen, p_adjusted in zip(evidence, adjusted, strict=True)
    }


def _pairs_of(pairs: Sequence[Pair], name: str) -> list[Pair]:
    return [pair for pair in pairs if members([pair.sample], name)]


def _untested(question: Question, samples: Sequence[Sample]) -> Check:
    """Nothing was measured, which is never a pass."""
    reason = unknown_slice(question.slice, samples)
    answer = Answer.INCONCLUSIVE
    return Check(
        kind="paired",
        slice=question.slice,
        answer=answer,
        blocking=question.blocking,
        text=verdict(reason or f"{question.slice}: no sample was scored on both sides", answer),
        margin=question.margin,
    )
