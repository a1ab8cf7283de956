"""What a lane may do on one engine: from the configuration and from what its steps were measured to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalwindow.config import Lanes, Pool
from evalwindow.lanes.calibration import Calibration
from evalwindow.model import Tier

REGRESSIONS_KV = 0.9  # of the KV cache: the rest is for smoke, which must not push anybody out


@dataclass(frozen=True, kw_only=True)
class LaneLimits:
    """Prompts and tokens in flight."""

    sequences: int  # of both lanes together
    regression: int  # without smoke
    beside_smoke: int  # regression's while smoke is there: no further prompt starts above it
    held_back: float  # share of the time in which that may be so
    lend_after_s: float | None = None  # without smoke, until regression has all sequences; None: never
    team_share: Mapping[Tier, float]  # of the KV cache
    smoke_of_team: int | None = None  # one team's prompts of smoke in flight; None: no limit
    kv_tokens: int | None = None
    prefill_weight: float = 1.0  # work of a prompt token, in output tokens

    @classmethod
    def of(cls, lanes: Lanes, pool: Pool, calibration: Calibration | None) -> LaneLimits:
        """Without a calibration nothing starts beside smoke: the safe end of the scale."""
        smoke, regression = lanes.smoke.slots, lanes.regression.slots
        beside, weight, kv_tokens = 0, 1.0, None
        if calibration is not None:
            beside = calibration.beside(smoke, limit=lanes.beside_smoke, most=regression)
            weight, kv_tokens = calibration.prefill_s / calibration.token_s, calibration.kv_tokens
        return cls(
            sequences=pool.max_num_seqs,
            regression=min(regression, pool.max_num_seqs - smoke),
            beside_smoke=beside,
            held_back=lanes.held_back,
            lend_after_s=lanes.lend_after_s,
            team_share={tier: lanes.of(tier).team_tokens for tier in Tier},
            smoke_of_team=smoke + beside,
            kv_tokens=kv_tokens,
            prefill_weight=weight,
        )

    def tokens_of(self, tier: Tier) -> float:
        """What all prompts in flight may have when one more of this tier starts."""
        if self.kv_tokens is None:
            return float("inf")
        return self.kv_tokens * (1.0 if tier is Tier.SMOKE else REGRESSIONS_KV)

    def tokens_of_team(self, tier: Tier) -> float:
        return float("inf") if self.kv_tokens is None else self.kv_tokens * self.team_share[tier]
