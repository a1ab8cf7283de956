"""Wall clock and CPU of a span of this process; standard library only, as every arm's process reads it."""

from __future__ import annotations

import resource
import time


class Clock:
    """Runs from its making."""

    def __init__(self) -> None:
        self._seconds, self._cpu_s = time.perf_counter(), cpu_s()

    def spent(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self._seconds, "cpu_s": cpu_s() - self._cpu_s}


def cpu_s() -> float:
    """Of this process, all its threads, and its children that have ended."""
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
