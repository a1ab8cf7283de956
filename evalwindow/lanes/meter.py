"""Whose GPU-seconds were these? An engine's busy time is shared by the tokens that were computed in it.

Time is busy while a prompt is in the engine. When a prompt leaves, its tokens are known; of those that stay, how far
they have got is estimated. It takes its part of all the time that nobody has paid for yet:

    share = unpaid x own work / (own work + the work so far of those that stay)

The last one to leave pays the rest, so the shares always add up to the busy time. Work is in output tokens; a prompt
token counts `prefill_weight` of one.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
SMOOTHING = 0.1  # weight of the newest prompt in the average pace


@dataclass(frozen=True)
class _Stay:
    since: float
    prompt_tokens: float  # expected
    most: int  # output tokens


class Meter(Generic[Key]):
    """Times are seconds on any one clock, given by the caller."""

    def __init__(self, *, prefill_weight: float = 1.0) -> None:
        self.prefill_weight = prefill_weight
        self.busy_s = 0.0  # up to the last event
        self._paid = 0.0
        self._inside: dict[Key, _Stay] = {}
        self._last = 0.0
        self._stopped = False
        self._pace: float | None = None  # output tokens a second of one prompt

    def enter(self, key: Key, *, prompt_tokens: float, most: int, now: float) -> None:
        """A prompt starts; how many tokens it is expected to have, and how many output tokens it may have."""
        self.touch(now)
        self._inside[key] = _Stay(now, prompt_tokens, most)

    def leave(self, key: Key, *, now: float, tokens: tuple[int, int] | None = None) -> float:
        """A prompt ends; its share in seconds. `tokens`: of its prompt without those from the cache, and of output."""
        self.touch(now)
        stay = self._inside.pop(key)
        own = self._progress(stay, now) if tokens is None else self.prefill_weight * tokens[0] + tokens[1]
        if tokens is not None and tokens[1]:
            self._learn(tokens[1] / max(now - stay.since, 1e-9))
        unpaid = self.busy_s - self._paid
        others = sum(self._progress(other, now) for other in self._inside.values())
        if not self._inside:
            share = unpaid
        elif own + others > 0:
            share = unpaid * own / (own + others)
        else:
            share = unpaid / (1 + len(self._inside))
        self._paid += share
        return share

    def stop(self, now: float) -> None:
        """The engine is away: what stays inside costs nothing."""
        self.touch(now)
        self._stopped = True

    def forgive(self, seconds: float) -> None:
        """So much of the latest time was no work: nobody pays for it."""
        self.busy_s -= min(max(0.0, seconds), self.busy_s - self._paid)

    def go_on(self, now: float) -> None:
        self.touch(now)
        self._stopped = False

    def touch(self, now: float) -> None:
        """Bring `busy_s` up to now."""
        if self._inside and not self._stopped:
            self.busy_s += max(0.0, now - self._last)
        self._last = now

    def _progress(self, stay: _Stay, now: float) -> float:
        """Work of a prompt until now, as far as one can tell from outside."""
        output = min(float(stay.most), (self._pace or 0.0) * (now - stay.since))
        return self.prefill_weight * stay.prompt_tokens + output

    def _learn(self, pace: float) -> None:
        self._pace = pace if self._pace is None else self._pace + SMOOTHING * (pace - self._pace)
