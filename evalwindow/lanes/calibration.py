"""What an engine's steps cost on its machine, as measured when it started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Seconds of decode steps by how many sequences they have, and of reading a prompt."""

    steps: tuple[tuple[int, float], ...]  # (sequences, seconds a step), by sequences
    prefill_s: float  # of one prompt token
    kv_tokens: int | None = None  # what the KV cache holds

    def step_s(self, rows: int) -> float:
        """Of a step with so many sequences: linear between measurements, and beyond them along the last ones."""
        if len(self.steps) == 1:
            return self.steps[0][1]
        pairs = list(pairwise(self.steps))
        (low, low_s), (high, high_s) = next((pair for pair in pairs if rows <= pair[1][0]), pairs[-1])
        if rows <= low:
            return low_s
        return low_s + (high_s - low_s) * (rows - low) / (high - low)

    def beside(self, rows: int, *, limit: float, most: int) -> int:
        """How many further sequences a step with `rows` bears before it takes `limit` times as long; `most` at most."""
        alone = self.step_s(rows)
        return next((more for more in range(most, 0, -1) if self.step_s(rows + more) <= limit * alone), 0)

    @property
    def token_s(self) -> float:
        """Of one output token, in the widest step that was measured."""
        rows, seconds = self.steps[-1]
        return seconds / rows

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Calibration:
        steps = tuple((int(rows), float(seconds)) for rows, seconds in document["steps"])
        return cls(**{**document, "steps": steps})
