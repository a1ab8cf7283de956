"""The final answer of a text that reasons first is the target."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.extraction import Take, take_answer
from evalwindow.scorers.numbers import parse_number
from evalwindow.scorers.text import same_text_key, targets


class Extract(Scorer):
    """1 if the extracted answer is the target: as numbers where both are numbers, else as normalised text."""

    type: Literal["extract"] = "extract"
    take: Take = Field(description="last number; choice letter A..Z; the last \\boxed{}; the line after `marker`")
    marker: str = Field("", description="with take: after, what announces the answer")

    @model_validator(mode="after")
    def _marker_goes_with_after(self) -> Self:
        if (self.take == "after") != bool(self.marker):
            raise ValueError("`marker` goes with `take: after`, and with nothing else")
        return self

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        answer = take_answer(completion.text, take=self.take, marker=self.marker)
        if answer is None:
            return Score(value=0.0, reason=f"no {self.take.replace('_', ' ')} in the answer")
        return Score(value=float(any(_same(answer, target) for target in targets(sample.target))), answer=answer)


def _same(answer: str, target: str) -> bool:
    numbers = parse_number(answer), parse_number(target)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return same_text_key(answer) == same_text_key(target)
