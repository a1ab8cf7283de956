"""Whose GPU seconds were these? Elapsed time is shared equally by the requests in flight."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class BusyMeter:
    """Attributes an engine's busy time to its requests; the sum of all shares is the busy time, exactly.

    Virtual time V grows by dt / n while n requests are in flight, so a request's share is V(exit) - V(enter): one
    subtraction, however many others came and went. Times are seconds on any one clock, given by the caller.
    """

    def __init__(self) -> None:
        self._in_flight = 0
        self._virtual: float = 0  # whole zeros: on a clock of exact numbers the shares are exact
        self._busy: float = 0
        self._last: float = 0

    @property
    def busy_s(self) -> float:
        """Seconds with at least one request in flight, up to the last event."""
        return self._busy

    def enter(self, now: float) -> float:
        """A request starts; keep the answer for `exit`."""
        self._advance(now)
        self._in_flight += 1
        return self._virtual

    def exit(self, entered: float, now: float) -> float:
        """A request ends; its share in seconds."""
        self._advance(now)
        self._in_flight -= 1
        return self._virtual - entered

    def _advance(self, now: float) -> None:
        if self._in_flight:
            self._virtual += (now - self._last) / self._in_flight
            self._busy += now - self._last
        self._last = now


@dataclass
class Share:
    """What one block of `metered` used; final after the block."""

    gpu_s: float = 0.0


@contextmanager
def metered(meter: BusyMeter) -> Iterator[Share]:
    """Count the block as one request in flight."""
    share = Share()
    entered = meter.enter(time.perf_counter())
    try:
        yield share
    finally:
        share.gpu_s = meter.exit(entered, time.perf_counter())
