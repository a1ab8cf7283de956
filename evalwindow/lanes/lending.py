"""Smoke's free slots, lent to regression when no smoke has come for a while."""

from __future__ import annotations

import math


class Lending:
    """After `after_s` seconds without smoke, and before the first one, they are lent; None: never."""

    def __init__(self, after_s: float | None) -> None:
        self.after_s = after_s
        self._smoke_at = -math.inf
        self._left_s = math.inf

    def are_lent(self, smoke: bool, now: float) -> bool:
        """From now on, given whether smoke is here."""
        if smoke:
            self._smoke_at = now
        never = smoke or self.after_s is None
        self._left_s = math.inf if never else max(0.0, self._smoke_at + (self.after_s or 0.0) - now)
        return self._left_s == 0

    def left_s(self) -> float | None:
        """Until they are lent if nothing happens; None: they are, or it takes something else."""
        return self._left_s if 0 < self._left_s < math.inf else None
