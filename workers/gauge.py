"""What an engine does: the governor's figures and the engine's own, as counts and as rates of the last interval."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any

from evalwindow.engines.residents import resident_adapters
from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.engines.vllm_metrics import EngineFigures, read_figures
from evalwindow.errors import EngineRefused, EngineUnavailable
from evalwindow.store.engine_rows import EngineLoad, LaneLoad
from workers.serving import Serving

log = logging.getLogger("workers.gpu")

PATIENCE_S = 3.0  # for an engine to tell: a sign of life must not wait for it


@dataclass(frozen=True, kw_only=True)
class _Reading:
    at: float  # by the monotonic clock
    busy_s: float
    generation: int
    figures: EngineFigures | None


class Gauge:
    """Of one unit."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._before: _Reading | None = None

    async def read(self) -> EngineLoad:
        """Now, with rates since the last call; what nobody can tell is None."""
        counted = self._serving.governor.figures()
        figures, adapters = await self._ask()
        sign = self._serving.sign
        now = _Reading(at=time.monotonic(), busy_s=counted["busy_s"], generation=sign.generation, figures=figures)
        before, self._before = self._before, now
        return EngineLoad(
            busy_s=counted["busy_s"],
            lost_s=counted["lost_s"],
            held_back_s=counted["held_back_s"],
            lanes={tier: LaneLoad(**lane) for tier, lane in counted["lanes"].items()},
            adapters=adapters,
            **_own(figures),
            **_rates(before, now),
        )

    async def _ask(self) -> tuple[EngineFigures | None, tuple[str, ...]]:
        host = self._serving.host
        if host is None or self._serving.resting:
            return None, ()
        http = VllmHttp(host.socket)
        try:
            async with asyncio.timeout(PATIENCE_S):
                adapters = await resident_adapters(http) if host.plan.pool.lora else []
                return await read_figures(http), tuple(sorted(adapters))
        except (EngineUnavailable, EngineRefused, TimeoutError) as error:
            log.debug("the engine does not tell its figures: %s", error)
            return None, ()
        finally:
            await http.aclose()


def _own(figures: EngineFigures | None) -> dict[str, Any]:
    """What the engine itself tells."""
    names = ("preemptions", "prefix_queries", "prefix_hits", "running", "waiting", "kv_usage")
    return {name: getattr(figures, name) for name in names} if figures else {}


def _rates(before: _Reading | None, now: _Reading) -> dict[str, Any]:
    """Over the time between two readings; the engine's own only where it is the same engine."""
    if before is None or now.at <= before.at:
        return {}
    seconds = now.at - before.at
    rates: dict[str, Any] = {
        "interval_s": seconds,
        "busy_share": min(1.0, (now.busy_s - before.busy_s) / seconds),
    }
    then, figures = before.figures, now.figures
    if then is None or figures is None or before.generation != now.generation:
        return rates
    queries = figures.prefix_queries - then.prefix_queries
    return rates | {
        "prompt_tokens_s": (figures.prompt_tokens - then.prompt_tokens) / seconds,
        "output_tokens_s": (figures.generation_tokens - then.generation_tokens) / seconds,
        "preempted": figures.preemptions - then.preemptions,
        "prefix_hit_rate": (figures.prefix_hits - then.prefix_hits) / queries if queries else None,
    }
