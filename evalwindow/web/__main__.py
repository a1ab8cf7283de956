"""`python -m evalwindow.web`: serve the web app where the settings say."""

from __future__ import annotations

import asyncio
import logging
import sys

import uvicorn

from evalwindow.errors import EvalwindowError
from evalwindow.services import build
from evalwindow.settings import Settings, read_settings
from evalwindow.web.app import create_app
from evalwindow.web.patience import HEAD_BYTES, PatientProtocol


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
        await uvicorn.Server(options).serve()
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
