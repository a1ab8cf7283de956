"""Clients that never say what they want, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from evalwindow.web.app import create_app
from evalwindow.web.patience import HEAD_BYTES, PatientProtocol


class Hasty(PatientProtocol):
    head_s = 0.3


@asynccontextmanager
async def _listening(app, protocol) -> AsyncIterator[int]:
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", http=protocol, h11_max_incomplete_event_size=HEAD_BYTES
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def _answer(port: int, *sent: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in sent:
        writer.write(part)
        await writer.drain()
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_connection_that_asks_nothing_is_closed(services):
    async with _listening(create_app(services), Hasty) as port:
        assert await _answer(port) == b""
        assert await _answer(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ") == b""


async def test_a_second_request_that_never_ends_is_closed_too(services):
    async with _listening(create_app(services), Hasty) as port:
        asked = await _answer(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /he")
    assert asked.count(b"200 OK") == 1


async def test_a_request_in_time_is_answered_and_its_connection_serves_the_next(services):
    ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with _listening(create_app(services), PatientProtocol) as port:
        assert (await _answer(port, ask, ask, last)).count(b"200 OK") == 3


async def test_a_head_without_an_end_is_refused(services):
    async with _listening(create_app(services), PatientProtocol) as port:
        answer = await _answer(port, b"GET / HTTP/1.1\r\n", b"X: " + b"y" * (HEAD_BYTES + 1))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400")


async def test_every_answer_says_that_it_is_not_to_be_framed_guessed_or_kept(web):
    for path in ("/healthz", "/openapi.json", "/v1/runs", "/nowhere", "/login"):
        async with web.get(path) as answer:
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"], path
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
