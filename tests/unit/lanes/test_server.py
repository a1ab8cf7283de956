"""The governor behind its socket, with real connections."""

import asyncio
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evalwindow.config import Config, Pool, WarmModel
from evalwindow.engines.retry import Backoff, patiently
from evalwindow.errors import EngineUnavailable
from evalwindow.lanes.client import GovernorClient, RoutedLanes
from evalwindow.lanes.hold import Ticket
from evalwindow.lanes.limits import LaneLimits
from evalwindow.lanes.server import GovernorServer
from evalwindow.lanes.wire import Lines
from evalwindow.model import Tier, Usage

LIMITS = LaneLimits(
    sequences=3, regression=2, beside_smoke=0, held_back=1.0, team_share={Tier.SMOKE: 1.0, Tier.REGRESSION: 1.0}
)
SMOKE = Ticket(tier=Tier.SMOKE, team="a", chars=10, max_tokens=5)
NIGHT = Ticket(tier=Tier.REGRESSION, team="a", chars=10, max_tokens=5)
ANSWER = Usage(prompt_tokens=3, output_tokens=5)


def retry(ask):
    return patiently(ask, Backoff(base_s=0.01, cap_s=0.05, patience_s=0.5))


@pytest.fixture
def socket():
    with tempfile.TemporaryDirectory(prefix="ew-") as folder:
        yield Path(folder) / "warm.lanes"


@asynccontextmanager
async def governed(socket, *, ready=True, patience_s=60.0):
    server = GovernorServer(socket, LIMITS, patience_s=patience_s)
    await server.start()
    if ready:
        server.open(LIMITS, engine="e1")
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def client_of(socket):
    client = GovernorClient(socket, pool="warm", retry=retry)
    try:
        yield client
    finally:
        client.close()


class Prompt:
    """One prompt: `inside` once it has its turn, ended by `finish`."""

    def __init__(self, client, ticket, *, usage=ANSWER):
        self.inside, self._end = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._run(client, ticket, usage))

    async def _run(self, client, ticket, usage):
        async with client.hold("m", ticket) as hold:
            self.inside.set()
            await self._end.wait()
            if usage is not None:
                hold.used(usage)
        return hold

    async def finish(self):
        self._end.set()
        return await asyncio.wait_for(self.task, 5)


async def settled(server, *, inside, waiting):
    async with asyncio.timeout(5):
        while (server._governor.inside, server._governor.waiting) != (inside, waiting):
            await asyncio.sleep(0.005)


async def test_a_prompt_gets_its_turn_its_engine_and_its_bill(socket):
    async with governed(socket) as server, client_of(socket) as client:
        async with client.hold("m", SMOKE) as hold:
            assert hold.engine == "e1"
            hold.used(ANSWER)
        assert hold.gpu_s == pytest.approx(server.figures()["busy_s"]) and hold.gpu_s > 0
        assert hold.charged(ANSWER).gpu_s == hold.gpu_s
        assert server.figures()["lanes"]["smoke"]["output_tokens"] == 5


async def test_two_consumers_share_one_engine(socket):
    async with governed(socket) as server, client_of(socket) as smoke, client_of(socket) as night:
        running = [Prompt(night, NIGHT) for _ in range(3)]
        await settled(server, inside=2, waiting=1)
        urgent = Prompt(smoke, SMOKE)
        await asyncio.wait_for(urgent.inside.wait(), 5)
        await running[0].finish()
        await settled(server, inside=2, waiting=1)  # smoke is there: nothing new starts
        await urgent.finish()
        await asyncio.wait_for(running[2].inside.wait(), 5)
        holds = [await prompt.finish() for prompt in running[1:]]
        assert all(hold.gpu_s > 0 for hold in holds)


async def test_a_consumer_that_dies_gives_its_places_back(socket):
    async with governed(socket) as server, client_of(socket) as living:
        async with client_of(socket) as dying:
            prompts = [Prompt(dying, NIGHT) for _ in range(4)]
            await settled(server, inside=2, waiting=2)
            other = Prompt(living, NIGHT)
            await settled(server, inside=2, waiting=3)
        await asyncio.wait_for(other.inside.wait(), 5)
        await settled(server, inside=1, waiting=0)
        for prompt in prompts:
            prompt.task.cancel()
        assert server.figures()["lost_s"] > 0
        await other.finish()


async def test_who_stops_waiting_leaves_the_queue(socket):
    async with governed(socket) as server, client_of(socket) as client:
        running = [Prompt(client, NIGHT) for _ in range(3)]
        await settled(server, inside=2, waiting=1)
        running[2].task.cancel()
        await settled(server, inside=2, waiting=0)
        for prompt in running[:2]:
            await prompt.finish()
        await settled(server, inside=0, waiting=0)


async def test_without_an_engine_prompts_wait_and_say_that_one_is_wanted(socket):
    async with governed(socket, ready=False) as server, client_of(socket) as client:
        prompt = Prompt(client, NIGHT)
        await asyncio.wait_for(server.wanted.wait(), 5)
        server.open(LIMITS, engine="e2")
        await asyncio.wait_for(prompt.inside.wait(), 5)
        server.shut()
        assert not await server.drained(0.02)
        hold = await prompt.finish()
        assert hold.engine == "e2"
        assert await server.drained(5)
        assert not server.wanted.is_set()


async def test_who_waited_for_an_engine_for_too_long_is_sent_away(socket):
    async with governed(socket, ready=False, patience_s=0.05) as server, client_of(socket) as client:
        with pytest.raises(EngineUnavailable, match="pool 'warm' has no engine that is ready"):
            async with client.hold("m", NIGHT):
                pass
        assert server._governor.waiting == 0


async def test_who_gives_up_as_it_is_sent_away_costs_others_of_its_connection_nothing(socket):
    async with governed(socket) as server, client_of(socket) as client:
        inside = Prompt(client, NIGHT)
        await inside.inside.wait()
        server.shut()
        waits = Prompt(client, NIGHT)
        await settled(server, inside=1, waiting=1)
        server._send_away()  # its word is on the way when the prompt is cancelled
        waits.task.cancel()
        server.open(LIMITS, engine="e1")
        other = Prompt(client, NIGHT)
        await asyncio.wait_for(other.inside.wait(), 5)
        await settled(server, inside=2, waiting=0)
        assert (await inside.finish()).gpu_s > 0
        assert (await other.finish()).gpu_s > 0


async def test_a_prompt_outlasts_a_unit_that_is_started_again(socket):
    async with client_of(socket) as client:
        async with governed(socket):
            stays = Prompt(client, NIGHT)
            await stays.inside.wait()
        assert (await stays.finish()).gpu_s is None  # whoever metered it is gone
        waits = Prompt(client, NIGHT)
        async with governed(socket):
            await asyncio.wait_for(waits.inside.wait(), 5)
            await waits.finish()


async def test_a_unit_that_never_comes_is_an_engine_that_is_away(socket):
    async with client_of(socket) as client:
        with pytest.raises(EngineUnavailable, match="the GPU unit of pool 'warm' is not running"):
            async with client.hold("m", NIGHT):
                pass


async def test_nonsense_costs_its_speaker_the_connection_and_nobody_else_anything(socket, caplog):
    async with governed(socket) as server, client_of(socket) as client:
        reader, writer = await asyncio.open_unix_connection(str(socket))
        writer.write(b'["ask", 1, "afternoon", "a", 1, 1]\n')
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        assert "what nobody understands" in caplog.text
        prompt = Prompt(client, SMOKE)
        await asyncio.wait_for(prompt.inside.wait(), 5)
        await prompt.finish()
        await settled(server, inside=0, waiting=0)


def test_messages_may_come_in_pieces():
    lines = Lines()
    assert list(lines.feed(b'["turn", 1')) == []
    assert list(lines.feed(b', "e"]\n["paid", 2, 0.5]\n')) == [["turn", 1, "e"], ["paid", 2, 0.5]]
    with pytest.raises(ValueError, match="without an end"):
        list(lines.feed(b"x" * 5000))


async def test_prompts_of_an_api_ask_no_governor(socket):
    config = Config(
        pools={"warm": Pool(model="m")},
        models={
            "warm-one": WarmModel(engine="vllm", pool="warm"),
            "far": {"engine": "openai", "base_url": "http://x", "model": "y"},
        },
    )
    lanes = RoutedLanes(config, socket_of=lambda pool: socket, retry=retry)
    async with lanes.hold("far", NIGHT) as hold:
        pass
    assert hold.gpu_s is None
    with pytest.raises(EngineUnavailable):
        async with lanes.hold("warm-one", NIGHT):
            pass
    await lanes.aclose()
