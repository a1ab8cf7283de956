"""The likeliest choice is the right one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer


class MultipleChoice(Scorer):
    """1 if the right choice has the highest log-likelihood of all, alone; else 0. Nothing is generated."""

    needs_choices: ClassVar[bool] = True

    type: Literal["multiple_choice"] = "multiple_choice"
    normalise: Literal["none", "tokens", "chars"] = Field(
        "none", description="divide each log-likelihood by the choice's length"
    )

    def objection(self, sample: Sample) -> str | None:
        if len(sample.choices) < 2:
            return f"has {len(sample.choices)} choices; scorer {self.label!r} needs 2 or more"
        if right_choice(sample) is None:
            return f"has target {sample.target!r}, which is no choice: write its text, its letter or its index from 0"
        return None

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        right, likelihoods = right_choice(sample), completion.choice_logprobs
        if right is None or len(likelihoods) != len(sample.choices):
            return Score.unscored(f"the engine scored {len(likelihoods)} of {len(sample.choices)} choices")
        lengths = self._lengths(sample, completion)
        if len(lengths) != len(likelihoods):
            return Score.unscored("the engine did not count the choices' tokens")
        values = [value / length for value, length in zip(likelihoods, lengths, strict=True)]
        if any(math.isnan(value) for value in values):
            return Score.unscored("the engine gave a log-likelihood that is not a number")
        return _score(values, right=right, choices=sample.choices)

    def _lengths(self, sample: Sample, completion: Completion) -> list[int]:
        if self.normalise == "tokens":
            return [max(count, 1) for count in completion.choice_tokens]
        if self.normalise == "chars":
            return [max(len(choice), 1) for choice in sample.choices]
        return [1] * len(sample.choices)


def right_choice(sample: Sample) -> int | None:
    """Index of the right choice: the target is a choice's text, its letter (A is the first) or its index."""
    target, choices = sample.target, sample.choices
    if isinstance(target, bool):
        return None
    if isinstance(target, int):
        return target if 0 <= target < len(choices) else None
    if not isinstance(target, str):
        return None
    if target in choices:
        return choices.index(target)
    index = ord(target) - ord("A") if len(target) == 1 else -1
    return index if 0 <= index < len(choices) else None


def _score(values: Sequence[float], *, right: int, choices: Sequence[str]) -> Score:
    best = max(values)
    if values.count(best) > 1 and values[right] == best:
        return Score(value=0.0, reason="a tie with the right choice", answer=None)
    return Score(value=float(values[right] == best), answer=choices[values.index(best)])
