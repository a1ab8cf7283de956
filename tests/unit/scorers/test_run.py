import asyncio
from typing import Literal

import pytest

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers import Scorer, score_all
from evalwindow.scorers.exact import Exact

SAMPLE = Sample(id="s", input="q", target="x")


class Told(Scorer):
    """Gives back what it is told to."""

    type: Literal["told"] = "told"
    value: float | None = None
    reason: str = ""
    failure: str | None = None

    async def score(self, sample, completion, ask):
        if self.failure:
            raise ZeroDivisionError(self.failure)
        return Score(value=self.value, reason=self.reason, answer=completion.text)


def judged(*scorers, text="x"):
    return asyncio.run(score_all(scorers, SAMPLE, Completion(text=text), None))


def test_every_scorer_gives_its_score_under_its_label():
    scores = judged(Exact(), Exact(name="loose", ignore_case=True), text="X")
    assert {label: score.value for label, score in scores.items()} == {"exact": 0, "loose": 1}


def test_a_scorer_that_crashes_costs_its_own_score_only():
    scores = judged(Told(failure="by zero"), Exact())
    assert scores["told"] == Score.unscored("told failed: ZeroDivisionError: by zero")
    assert scores["exact"].value == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.01, 1.01])
def test_a_value_out_of_range_is_unscored(value):
    score = judged(Told(value=value))["told"]
    assert score.value is None
    assert score.reason == f"the value {value} is not in 0..1"


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0, None])
def test_values_in_range_and_unscored_pass_through(value):
    assert judged(Told(value=value, reason="why"))["told"] == Score(value=value, reason="why", answer="x")


def test_long_reasons_and_answers_are_cut():
    score = judged(Told(value=1, reason="r" * 5_000), text="a" * 5_000)["told"]
    assert len(score.reason) == len(score.answer) == 1_000


async def test_what_ends_the_work_is_no_score_and_waits_for_the_other_scorers():
    class End(BaseException):
        pass

    class Ending(Told):
        async def score(self, sample, completion, ask):
            raise End

    class Slow(Told):
        async def score(self, sample, completion, ask):
            await asyncio.sleep(0.01)
            done.append(True)
            return Score(value=1.0)

    done = []
    with pytest.raises(End):
        await score_all([Ending(), Slow(name="slow")], SAMPLE, Completion(text="x"), None)
    assert done == [True]


async def test_cancelling_a_run_is_no_score():
    class Slow(Told):
        async def score(self, sample, completion, ask):
            await asyncio.Event().wait()

    task = asyncio.create_task(score_all([Slow()], SAMPLE, Completion(text="x"), None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
