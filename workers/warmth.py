"""When a pool's engine has to be awake, and when it may rest. Pure; moments are aware."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from evalwindow.config import Config, WarmModel
from evalwindow.windows import Hours, next_occurrence, occurrence_at


@dataclass(frozen=True, kw_only=True)
class Warmth:
    """What of evalwindow.yaml decides it for one pool."""

    rest: Literal["sleep", "stop"]
    idle_s: float  # without a prompt, before it rests
    hours: tuple[Hours, ...]  # in which it is awake: the pool's own, and the nights' that use one of its models
    lead: dt.timedelta  # so long before them it wakes up

    @classmethod
    def of(cls, config: Config, pool: str) -> Warmth | None:
        """None for a pool whose engine never rests.

        A window counts by the models that it names. What else it may ask (a suite's judge, say) wakes its engine by
        the first prompt.
        """
        entry = config.pools[pool]
        if entry.keep_warm is None:
            return None
        served = {name for name, model in config.models.items() if isinstance(model, WarmModel) and model.pool == pool}
        windows = tuple(window for window in config.windows.values() if served & set(window.models))
        return cls(
            rest=entry.keep_warm.rest,
            idle_s=entry.keep_warm.idle_minutes * 60,
            hours=(*entry.keep_warm.hours, *windows),
            lead=dt.timedelta(seconds=entry.cold_start_s),
        )

    def wanted(self, now: dt.datetime) -> bool:
        """Whether the calendar wants it awake: it is within some hours, or they begin before it could be awake."""
        return any(self._wanted_by(hours, now) for hours in self.hours)

    def may_rest(self, *, idle_s: float, now: dt.datetime) -> bool:
        """`idle_s`: since its last prompt, or since it got ready."""
        return idle_s >= self.idle_s and not self.wanted(now)

    def _wanted_by(self, hours: Hours, now: dt.datetime) -> bool:
        if occurrence_at(hours, now) is not None:
            return True
        coming = next_occurrence(hours, now)
        return coming is not None and coming.start - self.lead <= now
