"""Where the marks of the interval plots stand: all checks of a run share one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalwindow.model import Check

WIDTH = 240
EDGE = 0.08  # of the span, left free at each side


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Differences of the mean score (0..1) -> x, 0..WIDTH."""

    start: float
    end: float

    def x(self, value: float) -> float:
        share = (value - self.start) / (self.end - self.start)
        return round(WIDTH * min(max(share, 0.0), 1.0), 1)


def axis_of(checks: Sequence[Check]) -> Axis | None:
    """An axis with room for zero and every bound; None where no check compares with a baseline."""
    values = [value for check in checks if check.delta is not None for value in _values(check)]
    if not values:
        return None
    start, end = min(values), max(values)
    room = (end - start or 0.02) * EDGE
    return Axis(start=start - room, end=end + room)


def _values(check: Check) -> list[float]:
    margin = None if check.margin is None else -check.margin
    return [0.0, *(value for value in (check.delta, check.low, check.high, margin) if value is not None)]
