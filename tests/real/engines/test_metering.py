"""GPU-seconds of two consumers that share a real engine: each prompt's share, and what they add up to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from evalwindow.engines.retry import Backoff, patiently
from evalwindow.engines.vllm import VllmEngine
from evalwindow.lanes.client import GovernorClient
from evalwindow.lanes.hold import Hold, Ticket
from evalwindow.lanes.limits import LaneLimits
from evalwindow.lanes.server import GovernorServer
from evalwindow.model import Tier
from tests.real.engines.requests import ask
from tests.real.engines.unit import POOL, GpuUnit

pytestmark = pytest.mark.timeout(600)  # with the start of the engine

PROMPTS = {Tier.SMOKE: 8, Tier.REGRESSION: 24}


@pytest.fixture
async def governor(unit: GpuUnit) -> AsyncIterator[GovernorServer]:
    """A governor of this test's own in front of the real engine, with what the engine was measured to cost."""
    assert unit.record is not None
    limits = LaneLimits.of(unit.config.lanes, unit.config.pools[POOL], unit.record.calibration)
    server = GovernorServer(unit.paths.governor.with_suffix(".test"), limits, patience_s=60)
    await server.start()
    server.open(limits, engine=unit.record.info.model_digest)
    yield server
    await server.stop()


@dataclass
class Consumer:
    """One process's way to the engine, as the governor sees it."""

    engine: VllmEngine
    client: GovernorClient
    holds: list[Hold] = field(default_factory=list)
    spans: list[tuple[float, float]] = field(default_factory=list)  # in the engine, by the engine's own measure

    async def prompt(self, number: int, tier: Tier) -> None:
        request = ask(f"prompt {tier} {number} " + "word " * (number % 7), max_tokens=40, tier=tier)
        async with self.client.hold("m", Ticket.of(request, team="a")) as hold:
            completion = await self.engine.complete(request)
            self.spans.append((time.monotonic() - completion.usage.engine_s, time.monotonic()))
            hold.used(completion.usage)
        self.holds.append(hold)


def covered(spans: list[tuple[float, float]]) -> float:
    """Seconds in at least one of them."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(spans):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


async def test_the_shares_of_two_consumers_add_up_to_the_engines_time(unit: GpuUnit, governor: GovernorServer) -> None:
    def consumer() -> Consumer:
        socket = unit.paths.governor.with_suffix(".test")
        client = GovernorClient(socket, pool=POOL, retry=lambda call: patiently(call, Backoff()))
        return Consumer(unit.engine(), client)

    consumers = {tier: consumer() for tier in Tier}
    work = [consumers[tier].prompt(number, tier) for tier, count in PROMPTS.items() for number in range(count)]
    try:
        await asyncio.gather(*work)
    finally:
        for each in consumers.values():
            each.client.close()
            await each.engine.aclose()
    figures = governor.figures()
    for tier, each in consumers.items():
        shares = [hold.gpu_s for hold in each.holds if hold.gpu_s is not None]
        assert len(shares) == PROMPTS[tier] and min(shares) > 0
        assert sum(shares) == pytest.approx(figures["lanes"][tier]["gpu_s"])
    assert sum(lane["gpu_s"] for lane in figures["lanes"].values()) == pytest.approx(figures["busy_s"])
    # The engine's own measure leaves out the way there and back. Two meters, one for each consumer, would say twice it.
    own = covered([span for each in consumers.values() for span in each.spans])
    assert own * 0.98 <= figures["busy_s"] < own * 1.5


async def test_a_prompt_of_many_tokens_pays_more_than_a_short_one_beside_it(
    unit: GpuUnit, governor: GovernorServer
) -> None:
    client = GovernorClient(
        unit.paths.governor.with_suffix(".test"), pool=POOL, retry=lambda call: patiently(call, Backoff())
    )
    engine = unit.engine()

    async def paid(tokens: int) -> tuple[float, int]:
        request = ask(f"{tokens} tokens", max_tokens=tokens)
        async with client.hold("m", Ticket.of(request, team="a")) as hold:
            completion = await engine.complete(request)
            hold.used(completion.usage)
        assert hold.gpu_s is not None
        return hold.gpu_s, completion.usage.output_tokens

    try:
        long, *short = await asyncio.gather(paid(200), *(paid(10) for _ in range(4)))
    finally:
        client.close()
        await engine.aclose()
    assert long[1] > 4 * max(tokens for _, tokens in short)
    assert long[0] > 2 * max(gpu_s for gpu_s, _ in short)
