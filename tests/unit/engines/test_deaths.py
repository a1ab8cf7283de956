"""What a broken connection means: an engine that broke off may have died of the prompt; one that is away has not."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from evalwindow.config import Config, Pool, WarmModel
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.retry import Backoff
from evalwindow.engines.vllm import VllmEngine
from evalwindow.engines.vllm_http import CORE_DIED, EngineFault, VllmHttp, _judged
from evalwindow.errors import EngineDied, EngineUnavailable
from evalwindow.model import CompletionRequest, Message, Sampling

CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"


@asynccontextmanager
async def engine(said: bytes | None, *, timeout_s: float = 60.0) -> AsyncIterator[VllmHttp]:
    """It says so much after it was asked, and breaks off; None: it never does."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if said is None:
            await over.wait()
        else:
            writer.write(said)
        writer.close()

    with tempfile.TemporaryDirectory(prefix="ew-") as folder:
        socket = Path(folder) / "engine"
        server = await asyncio.start_unix_server(serve, socket)
        http = VllmHttp(socket, timeout_s=timeout_s)
        try:
            yield http
        finally:
            over.set()
            await http.aclose()
            server.close()


@pytest.mark.parametrize("said", [b"", CUT])
async def test_one_that_breaks_off_with_a_prompt_may_have_died_of_it(said: bytes) -> None:
    async with engine(said) as http:
        with pytest.raises(EngineDied) as caught:
            await http.post("/v1/chat/completions", {})
        assert caught.value.had == "prompt"
        with pytest.raises(EngineUnavailable) as asked:
            await http.get("/health")
        assert not isinstance(asked.value, EngineDied)


async def test_one_that_is_slow_has_not_died() -> None:
    async with engine(None, timeout_s=0.1) as http:
        with pytest.raises(EngineUnavailable) as caught:
            await http.post("/v1/chat/completions", {})
        assert not isinstance(caught.value, EngineDied)


async def test_one_that_is_away_never_had_the_prompt() -> None:
    with tempfile.TemporaryDirectory(prefix="ew-") as folder:
        socket = Path(folder) / "engine"
        for make in (lambda: None, socket.touch):
            make()
            http = VllmHttp(socket)
            with pytest.raises(EngineUnavailable) as caught:
                await http.post("/v1/chat/completions", {})
            assert not isinstance(caught.value, EngineDied)
            await http.aclose()


def test_a_server_whose_core_has_died_says_so_to_all_whose_prompts_it_had() -> None:
    words = f"{CORE_DIED}. See stack trace (above) for the root cause."
    with pytest.raises(EngineDied):
        _judged(500, json.dumps({"error": {"message": words, "code": 500}}))
    with pytest.raises(EngineFault):
        _judged(500, json.dumps({"error": {"message": "out of luck", "code": 500}}))


def ask(text: str) -> CompletionRequest:
    return CompletionRequest(model="m", messages=(Message(role="user", content=text),), sampling=Sampling())


async def test_when_an_engine_dies_those_that_only_waited_in_it_come_out_too_and_blame_nothing() -> None:
    dies, seen = asyncio.Event(), set()
    busy = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
        deadly = b"deadly" in await reader.readexactly(int(length.split(b":")[1]))
        seen.add(deadly)
        if deadly:
            await dies.wait()
        else:
            writer.write(busy)
        writer.close()

    config = Config(pools={"p": Pool(model="m")}, models={"m": WarmModel(engine="vllm", pool="p")})
    with tempfile.TemporaryDirectory(prefix="ew-") as home:
        paths = EnginePaths(home=Path(home), pool="p")
        paths.make()
        server = await asyncio.start_unix_server(serve, paths.socket)
        backoff = Backoff(base_s=0.01, patience_s=60.0)
        mine = VllmEngine(home=Path(home), pool="p", config=config, artifact=lambda _: {}, backoff=backoff)
        deadly, waits = asyncio.create_task(mine.complete(ask("deadly"))), asyncio.create_task(mine.complete(ask("hi")))
        async with asyncio.timeout(20):
            while seen != {True, False}:
                await asyncio.sleep(0.01)
        assert not deadly.done() and not waits.done()
        dies.set()
        found = await asyncio.gather(deadly, waits, return_exceptions=True)
        assert [(type(each), getattr(each, "had", None)) for each in found] == [
            (EngineDied, "prompt"),
            (EngineDied, ""),
        ]
        await mine.aclose()
        server.close()
