"""Prompts in the order that admission gives them find what they share in a real engine's prefix cache."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

import pytest

from evalwindow.config import Lane
from evalwindow.engines.vllm import VllmEngine
from evalwindow.model import CompletionRequest
from evalwindow.sharding import Prompt, cut
from tests.real.engines.requests import ask
from tests.real.engines.unit import GpuUnit

pytestmark = pytest.mark.timeout(600)  # with the start of the engine

BLOCK = 128  # tokens; the tiny model has about one for a character


def about_documents(count: int, *, chars: int, seed: int) -> dict[str, CompletionRequest]:
    """Two questions about each document: first one about each, then the other."""
    draw = random.Random(seed)
    documents = ["".join(draw.choices("defghijk", k=chars)) for _ in range(count)]
    asked = [f"{document} {question}" for question in ("who?", "why?") for document in documents]
    return {f"s{number}": ask(text, max_tokens=1) for number, text in enumerate(asked)}


async def cached(engine: VllmEngine, requests: Mapping[str, CompletionRequest], order: Sequence[str]) -> float:
    """Share of the prompt tokens that were in the cache; few at once, in this order."""
    slots = asyncio.Semaphore(4)

    async def one(name: str) -> tuple[int, int]:
        async with slots:
            usage = (await engine.complete(requests[name])).usage
        return usage.cached_tokens, usage.prompt_tokens

    found = await asyncio.gather(*map(one, order))
    return sum(hit for hit, _ in found) / sum(tokens for _, tokens in found)


async def test_documents_that_the_cache_cannot_hold_together_are_read_once(unit: GpuUnit, engine: VllmEngine) -> None:
    assert unit.record is not None and unit.record.calibration is not None
    assert unit.record.calibration.kv_tokens is not None
    count = unit.record.calibration.kv_tokens // (3 * BLOCK) + 10  # documents of three blocks
    first, second = (about_documents(count, chars=3 * BLOCK + 16, seed=seed) for seed in (1, 2))
    as_it_is = await cached(engine, first, list(first))
    prompts = [Prompt.of(name, request.messages, counter=None) for name, request in second.items()]
    shards = cut(prompts, lane=Lane(slots=4))
    in_order = await cached(engine, second, [name for shard in shards for name in shard])
    assert as_it_is < 0.05  # each was pushed out before it was asked about again
    assert in_order > 0.4  # half of the prompts, but for what follows the last whole block
