"""The answer contains the target."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.text import targets


class Includes(Scorer):
    """1 if the target stands somewhere in the answer; else 0."""

    type: Literal["includes"] = "includes"
    match: Literal["any", "all"] = Field("any", description="of a list of targets")
    ignore_case: bool = False

    def objection(self, sample: Sample) -> str | None:
        missing = super().objection(sample)
        if missing:
            return missing
        wanted = targets(sample.target)
        return None if wanted and all(wanted) else "has an empty target, which every answer includes"

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        text = self._key(completion.text)
        missing = [target for target in targets(sample.target) if self._key(target) not in text]
        right = not missing if self.match == "all" else len(missing) < len(targets(sample.target))
        return Score(value=float(right), reason="" if right else f"not found: {', '.join(missing)}")

    def _key(self, text: str) -> str:
        return text.casefold() if self.ignore_case else text
