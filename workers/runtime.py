"""What the threads of one consumer share: an asyncio loop, and the services that live on it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

from evalwindow.services import Services, build
from evalwindow.settings import Settings

log = logging.getLogger(__name__)

START_S = 60.0
CLOSE_S = 10.0


class Runtime:
    """One loop in a thread of its own; pool threads hand it coroutines and wait."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._services: Services | None = None

    def start(self) -> None:
        """Build the services; raises ConfigInvalid or ServiceDown with what to do."""
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="loop", daemon=True).start()
        self._services = asyncio.run_coroutine_threadsafe(self._build(), self._loop).result(START_S)

    def call(self, use: Callable[[Services], Awaitable[None]], *, timeout_s: float) -> None:
        """Run a use-case on the loop and wait for it; TimeoutError, with the work cancelled, after `timeout_s`."""
        if self._loop is None or self._services is None:
            raise RuntimeError("the runtime was not started")
        asyncio.run_coroutine_threadsafe(_within(use(self._services), timeout_s), self._loop).result()

    def drain(self) -> None:
        """Tell the use-cases to hand their work back at the next prompt."""
        if self._loop is not None and self._services is not None:
            self._loop.call_soon_threadsafe(self._services.stopping.set)

    def stop(self) -> None:
        """Close the services; again is harmless."""
        loop, services = self._loop, self._services
        self._loop = self._services = None
        if loop is None or services is None:
            return
        asyncio.run_coroutine_threadsafe(services.aclose(), loop).result(CLOSE_S)
        loop.call_soon_threadsafe(loop.stop)

    async def _build(self) -> Services:
        services = build(self._settings)
        await asyncio.to_thread(services.store.check)
        return services


async def _within(work: Awaitable[None], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        await work
