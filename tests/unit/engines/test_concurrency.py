"""Concurrency that adapts, and retries that are patient."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.engines.concurrency import AdaptiveLimit
from evalwindow.engines.retry import Backoff, RetryLater, patiently
from evalwindow.errors import EngineRefused, EngineUnavailable


async def test_no_more_requests_are_in_flight_than_the_limit_says() -> None:
    limit, now, most = AdaptiveLimit(3), 0, 0

    async def one() -> None:
        nonlocal now, most
        async with limit.slot():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            now -= 1

    await asyncio.gather(*(one() for _ in range(20)))
    assert most == 3


async def test_a_throttled_request_halves_the_limit_once_for_all_that_left_with_it() -> None:
    limit = AdaptiveLimit(16)
    async with AsyncExitStack() as stack:
        tickets = [await stack.enter_async_context(limit.slot()) for _ in range(16)]
    for ticket in tickets:
        limit.throttled(ticket)
    assert limit.limit == 8
    async with limit.slot() as later:
        limit.throttled(later)
    assert limit.limit == 4


async def test_the_limit_grows_by_one_after_as_many_successes_as_it_is_wide() -> None:
    limit = AdaptiveLimit(8)
    async with limit.slot() as ticket:
        limit.throttled(ticket)
    widths = []
    for _ in range(4 + 5 + 6):
        limit.succeeded()
        widths.append(limit.limit)
    assert widths == [4, 4, 4, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 7]


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 20))
def test_the_limit_stays_between_one_and_its_ceiling(outcomes: list[bool], ceiling: int) -> None:
    async def play() -> None:
        limit = AdaptiveLimit(ceiling)
        for well in outcomes:
            async with limit.slot() as ticket:
                limit.succeeded() if well else limit.throttled(ticket)
            assert 1 <= limit.limit <= ceiling

    asyncio.run(play())


async def test_a_waiter_that_gives_up_passes_its_turn_on() -> None:
    limit = AdaptiveLimit(1)

    async def enter() -> None:
        async with limit.slot():
            pass

    async with limit.slot():
        first, second = asyncio.create_task(enter()), asyncio.create_task(enter())
        await asyncio.sleep(0)
    first.cancel()  # its turn has come, and it does not take it
    await asyncio.wait_for(second, 1)


@given(st.integers(1, 60))
def test_a_pause_is_never_longer_than_its_cap(tries: int) -> None:
    backoff = Backoff(base_s=0.1, cap_s=2.0)
    assert 0 <= backoff.pause(tries) <= min(2.0, 0.1 * 2 ** (tries - 1))


async def test_what_is_unavailable_is_tried_again_and_what_is_refused_is_not() -> None:
    failures: list[Exception] = [EngineUnavailable("away"), EngineUnavailable("away"), EngineRefused("never")]
    left = list(reversed(failures))

    async def call() -> str:
        raise left.pop()

    with pytest.raises(EngineRefused):
        await patiently(call, Backoff(base_s=0.001))
    assert not left


async def test_the_last_failure_is_told_when_patience_ends() -> None:
    async def call() -> str:
        raise EngineUnavailable("still away")

    with pytest.raises(EngineUnavailable, match="still away"):
        await patiently(call, Backoff(base_s=0.001, patience_s=0.02))


async def test_a_wish_to_wait_beyond_our_patience_is_not_waited_for() -> None:
    calls = 0

    async def call() -> str:
        nonlocal calls
        calls += 1
        raise RetryLater("in an hour", after_s=3600)

    with pytest.raises(RetryLater):
        await patiently(call, Backoff(patience_s=5))
    assert calls == 1
