"""The web app: webhook, run API, pages, health."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from evalwindow import __version__
from evalwindow.services import Services
from evalwindow.web import baselines, compare, health, pages, problems, progress, runs, suites, webhooks
from evalwindow.web.access import LoginNeeded
from evalwindow.web.body import BodyLimit

SAFE_HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def create_app(services: Services) -> FastAPI:
    """The app over these services, which it doesn't close."""
    app = FastAPI(title="evalwindow", version=__version__, docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.state.services = services
    app.state.tasks = set()
    problems.install(app)
    app.add_exception_handler(LoginNeeded, pages.to_login)
    app.add_middleware(BodyLimit, limit=services.config.limits.body_bytes)
    app.middleware("http")(_with_safe_headers)
    for module in (webhooks, runs, progress, compare, baselines, suites, pages, health):
        app.include_router(module.router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await asyncio.gather(*app.state.tasks, return_exceptions=True)


async def _with_safe_headers(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
    response = await call(request)
    response.headers.update(SAFE_HEADERS)
    return response
