"""The web app: webhook, run API, pages, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from evalwindow import __version__
from evalwindow.services import Services
from evalwindow.web import (
    adapters,
    baselines,
    compare,
    health,
    metrics,
    nights,
    noise,
    pages,
    pools,
    problems,
    progress,
    quotas,
    runs,
    suites,
    webhooks,
)
from evalwindow.web.access import LoginNeeded
from evalwindow.web.body import BodyLimit
from evalwindow.web.door import Door
from evalwindow.web.failures import Failures
from evalwindow.web.headers import SafeHeaders
from evalwindow.web.uploads import Uploads
from evalwindow.web.waiting import Waiting

ROUTED = (
    webhooks,
    runs,
    progress,
    compare,
    baselines,
    noise,
    quotas,
    suites,
    adapters,
    pages,
    pools,
    nights,
    health,
    metrics,
)


def create_app(services: Services) -> FastAPI:
    """The app over these services, which it doesn't close."""
    app = FastAPI(title="evalwindow", version=__version__, docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.state.services = services
    app.state.failures = Failures()
    app.state.tasks = set()
    app.state.waiting = Waiting(services.store)
    app.state.site = pages.site
    problems.install(app)
    app.add_exception_handler(LoginNeeded, pages.to_login)
    limits = services.config.limits
    larger = {adapters.PATH: adapters.body_limit(limits.adapter_bytes)}
    app.state.uploads = Uploads(adapters.body_limit(limits.adapter_bytes))
    app.add_middleware(Door)
    app.add_middleware(BodyLimit, limit=limits.body_bytes, larger=larger)
    app.add_middleware(SafeHeaders, https=services.settings.base_url.startswith("https:"))
    for module in ROUTED:
        app.include_router(module.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.waiting.aclose()
    await asyncio.gather(*app.state.tasks, return_exceptions=True)
