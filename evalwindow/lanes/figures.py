"""What went through an engine, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from evalwindow.lanes.hold import Used
from evalwindow.model import Tier


@dataclass
class LaneFigures:
    """Of one tier, since the start."""

    prompts: int = 0  # answered
    prompt_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    gpu_s: float = 0.0


@dataclass
class Figures:
    lost_s: float = 0.0  # of prompts that got no answer: cancelled, failed, of a consumer that died
    lanes: dict[Tier, LaneFigures] = field(default_factory=lambda: {tier: LaneFigures() for tier in Tier})

    def left(self, tier: Tier, used: Used | None, share: float) -> None:
        if used is None:
            self.lost_s += share
            return
        lane = self.lanes[tier]
        lane.prompts += 1
        lane.prompt_tokens += used.prompt
        lane.cached_tokens += used.cached
        lane.output_tokens += used.output
        lane.gpu_s += share

    def document(self, now: Mapping[str, Mapping[str, int]], *, busy_s: float, held_back_s: float) -> dict[str, Any]:
        """`now`: what is in flight and waits, by tier."""
        lanes = {str(tier): {**asdict(figures), **now[str(tier)]} for tier, figures in self.lanes.items()}
        return {"busy_s": busy_s, "lost_s": self.lost_s, "held_back_s": held_back_s, "lanes": lanes}
