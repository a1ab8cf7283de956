"""Wald's sequential probability ratio test: is a prompt that failed once broken, or was it chance?"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from evalwindow.model import Answer
from evalwindow.policy import SmokePolicy


@dataclass(frozen=True, kw_only=True)
class Reasked:
    """Where the test stands. The failure that started it is not counted: it chose the prompt."""

    answer: Answer  # PASS: healthy; FAIL: broken; INCONCLUSIVE: not decided
    calls: int  # unscored ones too
    passed: int
    failed: int


def steps(policy: SmokePolicy) -> tuple[float, float]:
    """What a pass and a failure add to the log likelihood ratio of broken against healthy."""
    return math.log(policy.p1 / policy.p0), math.log((1 - policy.p1) / (1 - policy.p0))


def limits(policy: SmokePolicy) -> tuple[float, float]:
    """At or below the first the prompt is healthy, at or above the second broken (Wald 1945)."""
    return math.log(policy.beta / (1 - policy.alpha)), math.log((1 - policy.beta) / policy.alpha)


def sprt(outcomes: Iterable[bool | None], policy: SmokePolicy) -> Reasked:
    """The test over the re-asks in their order (None: unscored), up to the one that decides or the last allowed."""
    pass_step, fail_step = steps(policy)
    calls = passed = failed = 0
    for outcome in outcomes:
        if calls == policy.max_calls:
            break
        calls, passed, failed = calls + 1, passed + (outcome is True), failed + (outcome is False)
        answer = _answer(passed * pass_step + failed * fail_step, policy)
        if answer is not Answer.INCONCLUSIVE:
            return Reasked(answer=answer, calls=calls, passed=passed, failed=failed)
    return Reasked(answer=Answer.INCONCLUSIVE, calls=calls, passed=passed, failed=failed)


def _answer(ratio: float, policy: SmokePolicy) -> Answer:
    healthy, broken = limits(policy)
    if ratio >= broken:
        return Answer.FAIL
    return Answer.PASS if ratio <= healthy else Answer.INCONCLUSIVE
