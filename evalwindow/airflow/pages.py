"""The "Evals" pages: an app behind Airflow's login and permissions, that only reads."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view
from fastapi import Depends, FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from evalwindow.errors import EvalwindowError, ServiceDown
from evalwindow.report.links import Links
from evalwindow.services import Services, build
from evalwindow.settings import read_settings
from evalwindow.web.headers import SafeHeaders
from evalwindow.web.nights import Asked, router, show_nights
from evalwindow.web.site import PageRoute, Site, WithSite, problem_page

log = logging.getLogger(__name__)


class NotConfigured(EvalwindowError):
    """evalwindow can't start inside Airflow's API server as it is configured; the server's log says why."""


class Backend:
    """This process's services, made by the first request that needs them; one that failed is tried again."""

    def __init__(self) -> None:
        self._services: Services | None = None
        self._lock = threading.Lock()

    def services(self) -> Services:
        """Raises ServiceDown, or NotConfigured after it has logged the reason."""
        with self._lock:
            if self._services is None:
                self._services = self._built()
            return self._services

    def site(self, request: Request) -> Site:
        """Airflow's users see the nights of every team: its permissions decide who gets here."""
        return Site(
            services=self.services(),
            links=Links(base=request.scope.get("root_path", "").rstrip("/"), home="/"),
            team=None,
            framed=True,
            inside=request.headers.get("sec-fetch-dest") == "iframe",
        )

    async def aclose(self) -> None:
        if self._services is not None:
            await self._services.aclose()
            self._services = None

    def _built(self) -> Services:
        try:
            return build(read_settings())
        except ServiceDown:
            raise
        except EvalwindowError as error:
            log.exception("the Evals pages have no services")
            raise NotConfigured from error


def create_app(backend: Backend | None = None) -> FastAPI:
    """The app; everything that it serves needs a login that may see Airflow's website."""
    backend = backend or Backend()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await backend.aclose()

    app = FastAPI(
        title="evalwindow",
        openapi_url=None,
        lifespan=lifespan,
        dependencies=[Depends(requires_access_view(AccessView.WEBSITE))],
    )
    app.router.route_class = PageRoute
    app.state.site, app.state.framed = backend.site, True
    app.add_exception_handler(HTTPException, _unrouted)
    app.add_middleware(SafeHeaders)
    app.include_router(router)
    app.get("/")(home)
    return app


def home(site: WithSite, wish: Asked, dag: str | None = None, run: str | None = None) -> Response:
    """The nights; with `dag` and `run` the night of that DAG run, where it has one."""
    if run is None:
        return show_nights(site, wish=wish)
    found = site.services.store.nights(1, key=f"{dag}/{run}")
    if found:
        return RedirectResponse(site.links.night(found[0].id), 303)
    notice = f"The DAG run {run} has opened no night: it is of another DAG, or its first task has not run yet."
    return show_nights(site, wish=wish, notice=notice)


async def _unrouted(request: Request, error: Exception) -> Response:
    """A path or method that there is none of."""
    return problem_page(error, framed=True)
