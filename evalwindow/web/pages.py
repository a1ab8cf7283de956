"""The HTML pages: the list of runs, the login, and what the pages of nights stand on."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from evalwindow.errors import TooManyFailures
from evalwindow.report.document import ReportDocument, report_document
from evalwindow.report.gather import gather
from evalwindow.report.links import Links
from evalwindow.report.listing import runs_page
from evalwindow.report.page import render
from evalwindow.report.view import RunView
from evalwindow.services import Services
from evalwindow.web.access import (
    COOKIE,
    LoginNeeded,
    Reader,
    WithServices,
    check_same_site,
    known_token,
    page_reader,
    services_of,
)
from evalwindow.web.runs import own_run
from evalwindow.web.site import Site, html, problem_page

PAGE_OF_RUNS = 50
COOKIE_DAYS = 30

router = APIRouter(tags=["pages"], include_in_schema=False)


@router.get("/")
def home() -> Response:
    return RedirectResponse("/runs", 303)


@router.get("/runs")
def runs(reader: Reader, services: WithServices, before: str | None = None) -> Response:
    found = services.store.runs(PAGE_OF_RUNS, team=reader, before=before)
    next_id = found[-1].id if len(found) == PAGE_OF_RUNS else None
    return html(runs_page(found, team=reader, next_id=next_id))


@router.get("/runs/{run_id}.json")
def run_json(run_id: str, reader: Reader, services: WithServices) -> ReportDocument:
    return report_document(_view(services, run_id, reader))


@router.get("/login")
def login_form() -> Response:
    return html(render("login.html", problem=""))


async def _posted_token(request: Request) -> str:
    form = parse_qs((await request.body()).decode(errors="replace"))
    return form.get("token", [""])[0].strip()


@router.post("/login")
def login(request: Request, token: Annotated[str, Depends(_posted_token)], services: WithServices) -> Response:
    """The token itself becomes the cookie: revoking it ends the session at once. Lax, so that links in checks work."""
    check_same_site(request)
    try:
        found = known_token(request, services, token)
    except TooManyFailures as error:
        return problem_page(error, framed=False)
    if found is None:
        return html(render("login.html", problem="This is no valid team token."), 401)
    response = RedirectResponse("/runs", 303)
    secure = services.settings.base_url.startswith("https:")
    response.set_cookie(
        COOKIE, token, max_age=COOKIE_DAYS * 86400, httponly=True, samesite="lax", secure=secure, path="/"
    )
    return response


@router.post("/logout")
def logout(request: Request) -> Response:
    check_same_site(request)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/")
    return response


async def to_login(request: Request, error: Exception) -> Response:
    """LoginNeeded of a page; a program that asked for JSON is told so."""
    assert isinstance(error, LoginNeeded)
    return RedirectResponse("/login", 303)


def site(request: Request) -> Site:
    """What the pages of nights and runs stand on here; raises LoginNeeded."""
    services = services_of(request)
    return Site(services=services, links=Links(runs="/runs", pools="/pools"), team=page_reader(request, services))


def _view(services: Services, run_id: str, reader: str | None) -> RunView:
    own_run(services, run_id, reader)
    return gather(services.store, services.config, run_id, base_url=services.settings.base_url)
