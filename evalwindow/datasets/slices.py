"""Slices that the policy names: are they there, and are they large enough for what is asked of them?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from evalwindow.gate.power import samples_to_see
from evalwindow.gate.slices import questions
from evalwindow.metrics import ALL
from evalwindow.model import Sample, Tier
from evalwindow.suites import SuiteSpec


@dataclass(frozen=True, kw_only=True)
class SliceCount:
    """One slice."""

    name: str
    samples: int
    needed: int  # below this no outcome can be a pass; 1: nothing but its presence is asked
    margin: float | None = None  # largest tolerated drop, 0..1; None: the gate doesn't compare it


def slice_counts(spec: SuiteSpec, samples: Iterable[Sample]) -> tuple[SliceCount, ...]:
    """Every slice of the policy in the gate's order, all samples first.

    A pass rules a drop of the margin out. Where no answer changed, that takes as many samples as would have shown one
    change with the policy's confidence.
    """
    counted: Counter[str] = Counter()
    for sample in samples:
        counted.update({ALL, *sample.slices})
    asked = questions(spec.policy) if spec.tier is Tier.REGRESSION else []
    margins = {question.slice: question.margin for question in asked}
    named = dict.fromkeys([*margins, *spec.policy.blocking, *spec.policy.advisory, *spec.policy.floors])
    return tuple(
        SliceCount(name=name, samples=counted[name], needed=_needed(spec, margin), margin=margin)
        for name, margin in ((name, margins.get(name)) for name in named)
    )


def _needed(spec: SuiteSpec, margin: float | None) -> int:
    return 1 if margin is None else samples_to_see(share=margin, confidence=spec.policy.confidence)
