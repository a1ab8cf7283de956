"""A pattern finds the answer, or its presence is the answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.patterns import Pattern, find_aside, group_of
from evalwindow.scorers.text import targets


class Regex(Scorer):
    """1 if the pattern's first group equals the target, or if the pattern occurs or is absent; else 0."""

    type: Literal["regex"] = "regex"
    pattern: Pattern = Field(description="its first group, or all of the match, is the answer")
    expect: Literal["target", "match", "no_match"] = Field(
        "target", description="the group equals the target; the pattern occurs; the pattern does not occur"
    )
    which: Literal["first", "last"] = "first"
    ignore_case: bool = False

    def objection(self, sample: Sample) -> str | None:
        return super().objection(sample) if self.expect == "target" else None

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        try:
            last = self.which == "last"
            match = await find_aside(self.pattern, completion.text, ignore_case=self.ignore_case, last=last)
        except TimeoutError:
            return Score.unscored(f"pattern {self.pattern!r} took too long on this answer")
        answer = group_of(match).strip() if match else None
        if self.expect != "target":
            return Score(value=float((match is not None) == (self.expect == "match")), answer=answer)
        if answer is None:
            return Score(value=0.0, reason="the pattern does not occur in the answer")
        return Score(value=float(any(self._same(answer, target) for target in targets(sample.target))), answer=answer)

    def _same(self, answer: str, target: str) -> bool:
        target = target.strip()
        return answer.casefold() == target.casefold() if self.ignore_case else answer == target
