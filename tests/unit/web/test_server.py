"""The web app's server sleeps until it is told to end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
import uvicorn

from evalwindow.web import __main__ as web


@pytest.fixture(params=[signal.SIGTERM, signal.SIGINT])
def number(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that uvicorn may raise again when it is done."""
    before = signal.signal(request.param, lambda *_: None)
    yield request.param
    signal.signal(request.param, before)


async def test_a_signal_ends_it_between_two_looks(number: signal.Signals, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TICK_S", 3600.0)
    server = web.Server(uvicorn.Config(lambda: None, port=0, lifespan="off", log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    assert server.server_state.default_headers[0][0] == b"date"
    os.kill(os.getpid(), number)
    await asyncio.wait_for(serving, 60)
    assert server.should_exit
