"""What the governor says of an engine that broke off with prompts: only its keeper knows whether it died."""

import asyncio

import pytest

from evalwindow.lanes.hold import Ticket
from evalwindow.model import Tier
from tests.unit.lanes.test_server import LIMITS, NIGHT, SMOKE, Prompt, client_of, governed, settled, socket

__all__ = ["socket"]  # a fixture


async def broken(client, ticket=NIGHT):
    """A prompt whose engine breaks off, and the task that tells it."""
    prompt = Breaking(client, ticket)
    await asyncio.wait_for(prompt.inside.wait(), 5)
    return prompt, asyncio.create_task(prompt.finish())


class Breaking(Prompt):
    async def _run(self, client, ticket, usage):
        async with client.hold("m", ticket) as hold:
            self.inside.set()
            await self._end.wait()
            hold.broke_off = True
        return hold


async def test_nobody_starts_until_its_keeper_has_looked_and_then_it_is_judged(socket):
    async with governed(socket) as server, client_of(socket) as client:
        _, told = await broken(client)
        await asyncio.wait_for(server.doubted.wait(), 5)
        waits = Prompt(client, SMOKE)
        await settled(server, inside=1, waiting=1)
        assert not told.done()
        server.mourn()
        hold = await told
        assert (hold.died, hold.gpu_s) == (True, None)
        await settled(server, inside=0, waiting=1)
        server.open(LIMITS, engine="e2")
        assert (await waits.finish()).engine == "e2"


async def test_an_engine_that_lives_goes_on_and_nobody_is_blamed(socket):
    async with governed(socket) as server, client_of(socket) as client:
        _, told = await broken(client)
        await asyncio.wait_for(server.doubted.wait(), 5)
        waits = Prompt(client, SMOKE)
        await settled(server, inside=1, waiting=1)
        server.trust()
        assert not (await told).died
        assert not server.doubted.is_set()
        await asyncio.wait_for(waits.inside.wait(), 5)
        await waits.finish()


@pytest.mark.parametrize("first", ["shut", "broke"])
async def test_who_is_cut_off_by_an_end_that_was_planned_is_not_blamed(socket, first):
    async with governed(socket) as server, client_of(socket) as client:
        prompt = Breaking(client, NIGHT)
        await asyncio.wait_for(prompt.inside.wait(), 5)
        if first == "shut":
            server.shut()
            told = asyncio.create_task(prompt.finish())
        else:
            told = asyncio.create_task(prompt.finish())
            await asyncio.wait_for(server.doubted.wait(), 5)
            server.shut()
        assert not (await told).died
        assert await server.drained(5)


async def test_who_is_cut_off_after_its_keeper_has_ended_the_engine_for_hanging_is_told_so(socket):
    async with governed(socket) as server, client_of(socket) as client:
        prompt = Breaking(client, NIGHT)
        await asyncio.wait_for(prompt.inside.wait(), 5)
        server.mourn(since=0.0)
        assert (await prompt.finish()).died
        assert server.figures()["busy_s"] == 0.0


async def test_an_engine_that_ends_with_its_unit_blames_nobody(socket):
    async with client_of(socket) as client:
        async with governed(socket) as server:
            _, told = await broken(client)
            await asyncio.wait_for(server.doubted.wait(), 5)
        assert not (await told).died
        async with governed(socket):
            _, told = await broken(client)
        assert not (await told).died


async def test_a_consumer_that_dies_before_it_is_judged_leaves_nothing_behind(socket):
    async with governed(socket) as server, client_of(socket) as living:
        async with client_of(socket) as dying:
            _, told = await broken(dying)
            await asyncio.wait_for(server.doubted.wait(), 5)
        await settled(server, inside=0, waiting=0)
        server.trust()
        other = Prompt(living, NIGHT)
        await asyncio.wait_for(other.inside.wait(), 5)
        await other.finish()
        assert not (await told).died


async def test_a_prompt_that_is_to_be_alone_is(socket):
    alone = Ticket(tier=Tier.REGRESSION, team="a", chars=1, max_tokens=1, alone=True)
    async with governed(socket) as server, client_of(socket) as client, client_of(socket) as other:
        running = Prompt(other, NIGHT)
        await asyncio.wait_for(running.inside.wait(), 5)
        suspect = Prompt(client, alone)
        await settled(server, inside=1, waiting=1)
        late = Prompt(other, SMOKE)
        await settled(server, inside=1, waiting=2)
        await running.finish()
        await asyncio.wait_for(suspect.inside.wait(), 5)
        await settled(server, inside=1, waiting=1)
        await suspect.finish()
        await asyncio.wait_for(late.inside.wait(), 5)
        await late.finish()
