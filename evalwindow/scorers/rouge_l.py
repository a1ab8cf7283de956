"""Longest common subsequence with the target."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from rapidfuzz.distance import LCSseq

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.text import targets, words


class RougeL(Scorer):
    """ROUGE-L of a summary as one sequence of words (Lin, 2004), best of several targets."""

    type: Literal["rouge_l"] = "rouge_l"
    beta: float = Field(1.0, gt=0, description="weight of recall against precision in the F-measure")

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        answer = words(completion.text)
        values = (rouge_l(answer, words(target), beta=self.beta) for target in targets(sample.target))
        return Score(value=max(values, default=0.0))


def rouge_l(answer: list[str], target: list[str], *, beta: float = 1.0) -> float:
    """F = (1 + b^2) P R / (R + b^2 P), with P and R the LCS over the words of the answer and of the target; 0..1."""
    if not answer or not target:
        return float(answer == target)
    common = LCSseq.similarity(answer, target)
    precision, recall = common / len(answer), common / len(target)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision) if common else 0.0
