"""Wall clock, CPU and tokens of a span of work; every arm's process reads it, so it needs psutil alone."""

from __future__ import annotations

import resource
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import psutil

COUNTERS = ("vllm:prompt_tokens_total", "vllm:generation_tokens_total")


class Counting(Protocol):
    """Whoever knows what an engine has done so far."""

    def figures(self) -> dict[str, float]: ...


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A vLLM server beside this process."""

    url: str
    pid: int

    def figures(self) -> dict[str, float]:
        """Tokens by its own count and CPU seconds of its processes, since its start."""
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:  # noqa: S310
            prompt, output = counted(answer.read().decode())
        used = tree_cpu_s(psutil.Process(self.pid))
        return {"prompt_tokens": prompt, "output_tokens": output, "engine_cpu_s": used}

    def as_job(self) -> dict[str, object]:
        return asdict(self)


class Clock:
    """Runs from its making."""

    def __init__(self, engine: Counting | None = None) -> None:
        self._engine = engine
        self._before = engine.figures() if engine else {}
        self._seconds, self._cpu_s = time.perf_counter(), cpu_s()

    def spent(self) -> dict[str, float]:
        """Since then: seconds and CPU of this process, and what the engine beside it did."""
        spent = {"seconds": time.perf_counter() - self._seconds, "cpu_s": cpu_s() - self._cpu_s}
        after = self._engine.figures() if self._engine else {}
        return spent | {name: after[name] - before for name, before in self._before.items()}


def fastest(rounds: int, once: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The fastest of so many; what the others took is "spare_s" and "spare_cpu_s"."""
    spans = [once() for _ in range(rounds)]
    best = min(spans, key=lambda span: span["seconds"])
    others = [span for span in spans if span is not best]
    spare = {"spare_s": sum(one["seconds"] for one in others), "spare_cpu_s": sum(one["cpu_s"] for one in others)}
    return best | spare


def counted(metrics: str) -> tuple[float, ...]:
    """Prompt and output tokens in the text of /metrics, over all labels."""
    lines = metrics.splitlines()
    return tuple(sum(_value(line) for line in lines if line.startswith(name + "{")) for name in COUNTERS)


def cpu_s() -> float:
    """Of this process, all its threads, and its children that have ended."""
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def tree_cpu_s(*roots: psutil.Process) -> float:
    """CPU seconds of processes and of everything under them, ended or not."""
    return sum(one_cpu_s(process) for root in roots for process in (root, *root.children(recursive=True)))


def one_cpu_s(process: psutil.Process) -> float:
    """Its own and of its children that have ended; 0 where it has ended itself: its parent counts it now."""
    try:
        return float(sum(process.cpu_times()[:4]))
    except psutil.NoSuchProcess:
        return 0.0


def _value(line: str) -> float:
    return float(line.rsplit(" ", 1)[1])
