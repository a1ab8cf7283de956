"""What the pages about nights and runs stand on: the web app and Airflow's both serve them, each in its way."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from evalwindow.errors import EvalwindowError
from evalwindow.report.links import Links
from evalwindow.report.page import content_security_policy, render
from evalwindow.services import Services
from evalwindow.web.access import LoginNeeded
from evalwindow.web.problems import headers_of, status_of

log = logging.getLogger(__name__)

_WORDS = {
    401: "Log in first",
    403: "Not allowed",
    404: "Not found",
    422: "Not possible",
    429: "Too fast",
    503: "Not available now",
}
_TEXTS = {  # where a framework says no
    401: "These pages are for who is logged in. Log in, then open this page again.",
    403: "Your role may not see these pages; an administrator can change that.",
    404: "There is no such page.",
    405: "These pages can only be read.",
}


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where a request's pages come from, and who reads them."""

    services: Services
    links: Links
    team: str | None  # None: sees all
    framed: bool = False  # served to be shown in a frame of the same origin
    inside: bool = False  # this very request is for a frame


def site_of(request: Request) -> Site:
    """The app's own way of making one: `app.state.site`."""
    make: Callable[[Request], Site] = request.app.state.site
    return make(request)


WithSite = Annotated[Site, Depends(site_of)]


class PageRoute(APIRoute):
    """A route whose errors are pages, too."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def with_pages(request: Request) -> Response:
            try:
                return await handle(request)
            except LoginNeeded:
                raise
            except (EvalwindowError, RequestValidationError, HTTPException) as error:
                return problem_page(error, framed=getattr(request.app.state, "framed", False))

        return with_pages


def problem_page(error: Exception, *, framed: bool) -> Response:
    """What went wrong, in a sentence; what only an operator can mend is logged too."""
    status, text, headers = _told(error)
    if status >= 500:
        log.error("%s: %s", type(error).__name__, error)
    answer = html(
        render("message.html", word=_WORDS.get(status, "Something is wrong"), text=text), status, framed=framed
    )
    answer.headers.update(headers)
    return answer


def html(text: str, status: int = 200, *, framed: bool = False) -> HTMLResponse:
    headers = {"Content-Security-Policy": content_security_policy(framed=framed), "Cache-Control": "no-store"}
    return HTMLResponse(text, status, headers)


def _told(error: Exception) -> tuple[int, str, dict[str, str]]:
    """(status, sentence, headers)."""
    if isinstance(error, HTTPException):
        return error.status_code, _TEXTS.get(error.status_code, str(error.detail)), dict(error.headers or {})
    if isinstance(error, RequestValidationError):
        found = error.errors()[0]
        return 422, f"{'.'.join(map(str, found['loc'][1:]))}: {found['msg']}", {}
    assert isinstance(error, EvalwindowError)
    return status_of(error), str(error), headers_of(error)
