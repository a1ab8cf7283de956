"""Judging one answer without an engine."""

import asyncio
from typing import Any

import pytest
from pydantic import TypeAdapter

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers import AnyScorer, Scorer

ADAPTER: TypeAdapter[Scorer] = TypeAdapter(AnyScorer)


async def nobody_asks(*_: Any) -> Completion:
    raise AssertionError("this scorer asks no other model")


class Bench:
    """Makes scorers from what a suite's YAML would say, and lets them judge."""

    def make(self, scorer: Any) -> Scorer:
        return ADAPTER.validate_python(scorer)

    def score(self, scorer: Any, text: str, target: Any = None, **sample: Any) -> Score:
        asked = Sample(id="s", input="q", target=target, **sample)
        return asyncio.run(self.make(scorer).score(asked, Completion(text=text), nobody_asks))

    def value(self, scorer: Any, text: str, target: Any = None, **sample: Any) -> float | None:
        return self.score(scorer, text, target, **sample).value

    def objection(self, scorer: Any, target: Any = None, **sample: Any) -> str | None:
        return self.make(scorer).objection(Sample(id="s", input="q", target=target, **sample))


@pytest.fixture
def bench() -> Bench:
    return Bench()
