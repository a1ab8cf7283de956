"""`python -m evalwindow.web`: serve the web app where the settings say."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from types import FrameType

import uvicorn

from evalwindow.errors import EvalwindowError
from evalwindow.services import build
from evalwindow.settings import Settings, read_settings
from evalwindow.web.app import create_app
from evalwindow.web.patience import HEAD_BYTES, PatientProtocol

TICK_S = 1.0  # the date in answers


class Server(uvicorn.Server):
    """uvicorn looks ten times a second whether it should end, and once at the date. This one is told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._told = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), TICK_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._loop.call_soon_threadsafe(self._told.set)


async def serve(settings: Settings) -> None:
    """Until SIGINT or SIGTERM; what was taken is handled first."""
    services = build(settings)
    app = create_app(services)
    options = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        server_header=False,
        http=PatientProtocol,
        ws="none",
        h11_max_incomplete_event_size=HEAD_BYTES,
    )
    try:
        await Server(options).serve()
    finally:
        await services.aclose()


def main() -> None:
    try:
        settings = read_settings()
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        asyncio.run(serve(settings))
    except EvalwindowError as error:
        sys.exit(f"evalwindow.web: {error}")


if __name__ == "__main__":
    main()
