"""How quick a smoke can be beside a full engine at best: where nothing that runs is thrown out."""

from __future__ import annotations

from dataclasses import dataclass

from evalwindow.lanes.calibration import Calibration


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sequences that run together."""

    rows: int
    tokens: int  # of each one's answer


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Seconds of the smoke's decode steps."""

    alone_s: float
    beside_s: float

    @property
    def added_s(self) -> float:
        return self.beside_s - self.alone_s


def floor(steps: Calibration, *, smoke: Batch, night: Batch) -> Floor:
    """The smoke starts at once, beside `night.rows` that are anywhere in their answers, and nothing else starts.

    The night's answers are of one length, so its rows end evenly over one answer's steps. What the smoke's own prompts
    cost to read is the same on an idle engine, and left out.
    """
    left = [night.rows * max(0.0, 1 - step / night.tokens) for step in range(smoke.tokens)]
    return Floor(
        alone_s=smoke.tokens * steps.step_s(smoke.rows),
        beside_s=sum(steps.step_s(smoke.rows + round(rows)) for rows in left),
    )
