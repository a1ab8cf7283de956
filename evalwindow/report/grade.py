"""One sample's results -> right, partial, wrong, unscored or pending."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from evalwindow.metrics import mean, value_of
from evalwindow.model import SampleResult
from evalwindow.suites import Suite


class Outcome(StrEnum):
    """What became of a sample over its epochs."""

    RIGHT = "right"
    PARTIAL = "partial"  # above 0, below the policy's pass_at
    WRONG = "wrong"
    UNSCORED = "unscored"
    PENDING = "pending"

    @property
    def failing(self) -> bool:
        return self in (Outcome.PARTIAL, Outcome.WRONG, Outcome.UNSCORED)


def primary_value(results: Sequence[SampleResult], *, primary: str) -> float | None:
    """Mean of the judged scorer's values over the epochs, 0..1; None where nothing was scored. Re-asks don't count."""
    values = (value_of(result, primary) for result in results if not result.reask)
    scored = [value for value in values if value is not None]
    return mean(scored) if scored else None


def outcome(results: Sequence[SampleResult], *, suite: Suite) -> Outcome:
    """A failed assertion makes a sample wrong, whatever the judged scorer says."""
    if not results:
        return Outcome.PENDING
    value = primary_value(results, primary=suite.primary)
    if value is None:
        return Outcome.UNSCORED
    if _assertion_failed(results, suite=suite):
        return Outcome.WRONG
    if value >= suite.spec.policy.pass_at:
        return Outcome.RIGHT
    return Outcome.PARTIAL if value > 0 else Outcome.WRONG


def _assertion_failed(results: Sequence[SampleResult], *, suite: Suite) -> bool:
    labels = [scorer.label for scorer in suite.spec.scorers if scorer.assertion]
    values = (value_of(result, label) for result in results if not result.reask for label in labels)
    return any(value is not None and value < 1 for value in values)
