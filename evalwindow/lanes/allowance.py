"""How long smoke may go on holding regression back."""

from __future__ import annotations

BURST_S = 20.0  # in one go, after a long peace
AGAIN_S = 5.0  # once used up, so much is saved up first: regression gets whole stretches, not blinks


class Allowance:
    """Earns `share` of a second each second and spends one each second that regression is held back.

    So smoke that never ends holds regression back for `share` of the time, and the night gets on.
    """

    def __init__(self, share: float, *, now: float) -> None:
        self.share, self._level, self._last = share, BURST_S, now
        self._spent, self._holding = share == 0, False
        self.held_s = 0.0

    def may_hold(self, wanted: bool, now: float) -> bool:
        """Shall regression be held back from now on, as somebody wants (or doesn't)?"""
        self._advance(now)
        if self._level <= 0:
            self._spent = True
        elif self._level >= AGAIN_S and self.share > 0:
            self._spent = False
        self._holding = wanted and not self._spent
        return self._holding

    def left_s(self) -> float | None:
        """Until it is used up; None while nothing is spent, or for ever."""
        if not self._holding or self.share >= 1:
            return None
        return max(0.0, self._level) / (1 - self.share)

    def _advance(self, now: float) -> None:
        passed, self._last = max(0.0, now - self._last), now
        if self._holding:
            self.held_s += passed
        self._level = min(BURST_S, self._level + passed * (self.share - self._holding))
        if self._level < 1e-6:  # rounding must not put the end off
            self._level = 0.0
