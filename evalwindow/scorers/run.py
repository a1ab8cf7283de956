"""All scorers of a suite on one completion; a scorer that fails costs its own score and nothing else."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Sequence

from evalwindow.errors import EngineUnavailable
from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer

MAX_TEXT = 1_000  # characters kept of a reason or an extracted answer


async def score_all(scorers: Sequence[Scorer], sample: Sample, completion: Completion, ask: Ask) -> dict[str, Score]:
    """Score by label. A scorer that raises, or gives a value that is not in 0..1, leaves the sample unscored.

    What is no Exception (work is to end) is raised, after all scorers are done; so is EngineUnavailable: a judge that
    is away is asked later.
    """
    scoring = (_score(scorer, sample, completion, ask) for scorer in scorers)
    scores = await asyncio.gather(*scoring, return_exceptions=True)
    return {scorer.label: _unless_raised(score) for scorer, score in zip(scorers, scores, strict=True)}


def _unless_raised(score: Score | BaseException) -> Score:
    if isinstance(score, BaseException):
        raise score
    return score


async def _score(scorer: Scorer, sample: Sample, completion: Completion, ask: Ask) -> Score:
    try:
        score = await scorer.score(sample, completion, ask)
        return _checked(score)
    except EngineUnavailable:
        raise
    except Exception as failure:  # noqa: BLE001 - whatever it is, the run goes on without this score
        return Score.unscored(_short(f"{scorer.type} failed: {type(failure).__name__}: {failure}"))


def _checked(score: Score) -> Score:
    if score.value is not None and not (math.isfinite(score.value) and 0 <= score.value <= 1):
        return Score.unscored(f"the value {score.value} is not in 0..1")
    answer = None if score.answer is None else _short(score.answer)
    return dataclasses.replace(score, reason=_short(score.reason), answer=answer)


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."
