"""Overlap of words with the target."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.text import squad_tokens, targets


class F1(Scorer):
    """SQuAD's token F1 (Rajpurkar et al., 2016): harmonic mean of precision and recall, best of several targets."""

    type: Literal["f1"] = "f1"

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        answer = squad_tokens(completion.text)
        return Score(value=max((f1(answer, squad_tokens(target)) for target in targets(sample.target)), default=0.0))


def f1(answer: list[str], target: list[str]) -> float:
    """0..1; two empty texts agree."""
    if not answer or not target:
        return float(answer == target)
    shared = (Counter(answer) & Counter(target)).total()
    return 2 * shared / (len(answer) + len(target))
