"""What the arms of benchmarks.peers took, side by side, once it is sure that all did the same work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.table import table

TOLERANCE = 0.02  # of output tokens and, in points, of exact matches
HEAD = (
    "arm",
    "wall of the work",
    "ratio to offline",
    "wall of the command",
    "CPU beside the engine, ms a sample",
    "CPU in all, ms a sample",
    "CPU of the command in all, ms a sample",
    "output tokens",
    "exact match",
)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to the same answers. Seconds are of the whole run, not of a sample."""

    name: str
    work_s: float  # generation and scoring, from a ready engine to the figures
    command_s: float  # the process that a person starts, from its start to its end
    beside_cpu_s: float | None  # CPU of the work beside the engine; None where both are one process
    work_cpu_s: float  # CPU of the work, engine included
    command_cpu_s: float  # CPU of the command, engine included while it worked
    prompt_tokens: int
    output_tokens: int
    exact: float


class ArmsDiffer(RuntimeError):
    """The arms did not do the same work: their times mean nothing."""


def check_same_work(arms: Sequence[Arm]) -> None:
    """Raises ArmsDiffer unless all had the prompts of the first and gave about its answers."""
    limit = arms[0]
    for arm in arms[1:]:
        if arm.prompt_tokens != limit.prompt_tokens:
            raise ArmsDiffer(f"{arm.name}: {arm.prompt_tokens} prompt tokens, {limit.name} {limit.prompt_tokens}")
        if abs(arm.output_tokens - limit.output_tokens) > TOLERANCE * limit.output_tokens:
            raise ArmsDiffer(f"{arm.name}: {arm.output_tokens} output tokens, {limit.name} {limit.output_tokens}")
        if abs(arm.exact - limit.exact) > TOLERANCE:
            raise ArmsDiffer(f"{arm.name}: exact match {arm.exact:.3f}, {limit.name} {limit.exact:.3f}")


def report(title: str, arms: Sequence[Arm], *, samples: int) -> str:
    """A Markdown table; the ratio is of tokens a second, as in benchmarks.throughput."""
    return table(title, HEAD, [_row(arm, limit=arms[0], samples=samples) for arm in arms])


def ratio(arm: Arm, limit: Arm) -> float:
    """Output tokens a second against the limit's: 1 is as fast."""
    return (arm.output_tokens / arm.work_s) / (limit.output_tokens / limit.work_s)


def _row(arm: Arm, *, limit: Arm, samples: int) -> list[str]:
    beside = "one process" if arm.beside_cpu_s is None else f"{1e3 * arm.beside_cpu_s / samples:.1f}"
    return [
        arm.name,
        f"{arm.work_s:.2f} s",
        f"{ratio(arm, limit):.2f}",
        f"{arm.command_s:.2f} s",
        beside,
        f"{1e3 * arm.work_cpu_s / samples:.1f}",
        f"{1e3 * arm.command_cpu_s / samples:.1f}",
        str(arm.output_tokens),
        f"{arm.exact:.3f}",
    ]
