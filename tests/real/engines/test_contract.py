"""What every engine owes its callers, whatever is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evalwindow.cache import cache_key
from evalwindow.config import ApiModel, Config
from evalwindow.engines.base import Engine
from evalwindow.engines.openai import OpenAIEngine
from evalwindow.engines.replay import ReplayEngine
from evalwindow.errors import EngineRefused
from evalwindow.model import CompletionRequest
from tests.real.engines.requests import ask
from tests.real.engines.unit import MODEL, POOL, GpuUnit

pytestmark = pytest.mark.timeout(600)  # with the start of the engine


@asynccontextmanager
async def forwarded(socket: Path) -> AsyncIterator[int]:
    """A TCP port that leads to a Unix socket."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(str(socket))
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture(params=["vllm", "openai", "replay"])
async def any_engine(request: pytest.FixtureRequest, unit: GpuUnit, tmp_path: Path) -> AsyncIterator[Engine]:
    if request.param == "vllm":
        engine = unit.engine()
        yield engine
        await engine.aclose()
    elif request.param == "replay":
        (tmp_path / "outputs.jsonl").write_text('{"id": "s-1", "output": "recorded"}')
        yield ReplayEngine.load(tmp_path / "outputs.jsonl")
    else:
        async with forwarded(unit.paths.socket) as port:
            api = ApiModel(engine="openai", base_url=f"http://127.0.0.1:{port}/v1", model=POOL)
            openai = OpenAIEngine(config=Config(models={MODEL: api}), environ={})
            yield openai
            await openai.aclose()


def prompt() -> CompletionRequest:
    return ask("tell me", sample_id="s-1")


async def test_an_engine_answers_and_says_what_it_is(any_engine: Engine) -> None:
    info = await any_engine.info(MODEL)
    done = await any_engine.complete(prompt())
    assert done.text
    assert done.finish_reason in ("stop", "length")
    assert info.model_digest
    assert info.version


async def test_the_same_prompt_has_the_same_answer_and_the_same_key(any_engine: Engine) -> None:
    one, two = await any_engine.complete(prompt()), await any_engine.complete(prompt())
    assert one.text == two.text
    assert cache_key(await any_engine.info(MODEL), prompt()) == cache_key(await any_engine.info(MODEL), prompt())


async def test_what_can_never_work_is_refused(any_engine: Engine) -> None:
    with pytest.raises(EngineRefused):
        await any_engine.complete(ask("x" * 600, sample_id="s-unknown"))


async def test_many_prompts_at_once_are_all_answered(any_engine: Engine) -> None:
    done = await asyncio.gather(*(any_engine.complete(prompt()) for _ in range(40)))
    assert len({one.text for one in done}) == 1


async def test_closing_twice_is_fine(any_engine: Engine) -> None:
    await any_engine.complete(prompt())
    await any_engine.aclose()
    await any_engine.aclose()


async def test_the_api_and_the_socket_of_one_server_give_one_answer(unit: GpuUnit) -> None:
    async with forwarded(unit.paths.socket) as port:
        api = ApiModel(engine="openai", base_url=f"http://127.0.0.1:{port}/v1", model=POOL)
        openai, vllm = OpenAIEngine(config=Config(models={MODEL: api}), environ={}), unit.engine()
        assert (await openai.complete(prompt())).text == (await vllm.complete(prompt())).text
        await openai.aclose()
        await vllm.aclose()
