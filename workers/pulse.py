"""Does the engine compute? Its health doesn't tell: the API server answers for a core that stands still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.engines.vllm_metrics import read_figures
from evalwindow.engines.vllm_probe import EngineProbe
from evalwindow.errors import EngineRefused, EngineUnavailable
from workers.enginehost import EngineHost

LOOKS = 8  # in the time that makes a hang
LONGEST_PAUSE_S = 5.0

Counts = tuple[int, int, int]


class Crowd(Protocol):
    """Who knows whether prompts are in the engine: its governor."""

    @property
    def inside(self) -> int: ...


async def standstill(host: EngineHost, crowd: Crowd) -> float:
    """Wait until the engine hangs; since when it has computed nothing, by the monotonic clock.

    It hangs when prompts are inside and no token was computed for the pool's `hang_s`, though in the second half of
    that time it was asked for one more, before all others.
    """
    hang_s = host.plan.pool.hang_s
    async with EngineProbe(host.socket, name=host.plan.name) as probe:
        pulse = _Pulse(VllmHttp(host.socket), probe.beat, patience_s=hang_s / LOOKS)
        try:
            while True:
                await asyncio.sleep(min(hang_s / LOOKS, LONGEST_PAUSE_S))
                if not crowd.inside:
                    pulse.rest()
                    continue
                quiet_s = await pulse.quiet_s()
                if quiet_s >= hang_s:
                    return pulse.since
                if quiet_s >= hang_s / 2:
                    pulse.probe()
        finally:
            await pulse.aclose()


class _Pulse:
    """What an engine has computed, and since when nothing."""

    def __init__(self, http: VllmHttp, beat: Callable[[], Awaitable[None]], *, patience_s: float) -> None:
        self.since = time.monotonic()
        self._http, self._beat, self._patience_s = http, beat, patience_s
        self._counts: Counts | None = None
        self._probing: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        self.rest()
        await self._http.aclose()

    def rest(self) -> None:
        """Nobody wants anything of it."""
        self.since, self._counts = time.monotonic(), None
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    def probe(self) -> None:
        """Ask it for a token, unless that was asked already."""
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(self._ask())

    async def quiet_s(self) -> float:
        """Seconds since the last token that is known of."""
        counts = await self._read()
        if counts is not None and counts != self._counts:
            self.rest()
            self._counts = counts
        return time.monotonic() - self.since

    async def _read(self) -> Counts | None:
        """None: it doesn't tell."""
        try:
            async with asyncio.timeout(self._patience_s):
                figures = await read_figures(self._http)
        except (EngineUnavailable, EngineRefused, TimeoutError):
            return None
        return figures.prompt_tokens, figures.generation_tokens, figures.steps

    async def _ask(self) -> None:
        try:
            await self._beat()
        except (EngineUnavailable, EngineRefused):
            return
        self.since = time.monotonic()
