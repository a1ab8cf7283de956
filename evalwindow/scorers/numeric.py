"""The last number of the answer is near the target."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from pydantic import Field

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.numbers import last_number, parse_number
from evalwindow.scorers.text import as_text


class Numeric(Scorer):
    """1 if |answer - target| <= tolerance + relative * |target|, for the last number of the answer; else 0.

    No number in the answer is a wrong answer: the model was asked for one.
    """

    type: Literal["numeric"] = "numeric"
    tolerance: float = Field(0.0, ge=0, description="absolute")
    relative: float = Field(0.0, ge=0, description="share of the target's size")

    def objection(self, sample: Sample) -> str | None:
        missing = super().objection(sample)
        if missing is None and _target(sample) is None:
            return f"has target {sample.target!r}, which is not a number"
        return missing

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        target, found = _target(sample), last_number(completion.text)
        if target is None:
            return Score.unscored(f"the target {sample.target!r} is not a number")
        if found is None:
            return Score(value=0.0, reason="no number in the answer")
        room = Fraction(self.tolerance) + Fraction(self.relative) * abs(target)
        return Score(value=float(abs(found[1] - target) <= room), answer=found[0])


def _target(sample: Sample) -> Fraction | None:
    return parse_number(as_text(sample.target))
