"""The answer is the target."""

from __future__ import annotations

import unicodedata
from typing import Literal

from pydantic import Field

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.text import collapse, drop_punctuation, targets


class Exact(Scorer):
    """1 if the answer equals the target, or one of them where the target is a list; else 0."""

    type: Literal["exact"] = "exact"
    strip: bool = Field(True, description="ignore whitespace at both ends")
    ignore_case: bool = False
    ignore_whitespace: bool = Field(False, description="a run of whitespace counts as one space")
    ignore_punctuation: bool = Field(False, description="punctuation and symbols don't count")

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        answer = self._key(completion.text)
        right = any(answer == self._key(target) for target in targets(sample.target))
        return Score(value=float(right), answer=completion.text.strip())

    def _key(self, text: str) -> str:
        key = unicodedata.normalize("NFC", text)
        if self.ignore_case:
            key = key.casefold()
        if self.ignore_punctuation:
            key = drop_punctuation(key)
        if self.ignore_whitespace:
            key = collapse(key)
        return key.strip() if self.strip else key
