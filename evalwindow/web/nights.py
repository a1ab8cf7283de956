"""Nights, trends, runs and comparisons as pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import FileResponse, HTMLResponse, Response

from evalwindow.comparable import own_run
from evalwindow.errors import NotFound
from evalwindow.report.comparison import comparison_page
from evalwindow.report.dataset_page import FOLDER, dataset_page, readable
from evalwindow.report.gather import gather
from evalwindow.report.night_page import night_page
from evalwindow.report.nights import Wish, nights_page
from evalwindow.report.page import page, render
from evalwindow.report.related import related
from evalwindow.report.trends import trends_page
from evalwindow.web.site import PageRoute, Site, WithSite, html

#: Great Expectations writes scripts and styles into its pages, and asks other hosts for more: no script, no request.
DOCS_POLICY = (
    "sandbox allow-same-origin; default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors "
)

Asked = Annotated[Wish, Depends(Wish)]

router = APIRouter(tags=["pages"], include_in_schema=False, route_class=PageRoute)


@router.get("/nights")
def nights(site: WithSite, wish: Asked) -> Response:
    return show_nights(site, wish=wish)


def show_nights(site: Site, *, wish: Wish, notice: str = "") -> Response:
    """The nights and the latest regression runs."""
    services = site.services
    text = nights_page(services.store, services.config, links=site.links, team=site.team, wish=wish, notice=notice)
    return html(text, framed=site.framed)


@router.get("/nights/{night_id}")
def night(night_id: str, site: WithSite) -> Response:
    services = site.services
    text = night_page(
        services.store,
        services.config,
        night_id,
        links=site.links,
        team=site.team,
        home=services.settings.home,
        framed=site.inside,
    )
    return html(text, framed=site.framed)


@router.get("/trends")
def trends(site: WithSite, suite: str | None = None, branch: str | None = None) -> Response:
    text = trends_page(site.services.store, links=site.links, team=site.team, suite=suite, branch=branch)
    return html(text, framed=site.framed)


@router.get("/runs/{run_id}")
def run(run_id: str, site: WithSite) -> Response:
    services, links = site.services, site.links
    found = own_run(services.store, run_id, site.team)
    view = gather(services.store, services.config, run_id, base_url=services.settings.base_url)
    index = ("Runs", links.runs) if links.runs else ("Nights", links.nights())
    return html(page(view, index=index, related=related(services.store, found, links=links)), framed=site.framed)


@router.get("/compare")
def compare(
    site: WithSite,
    run: str = "",
    other: str = "",
    show: str | None = None,
    number: Annotated[int, Query(alias="page", ge=1)] = 1,
) -> Response:
    """Two runs sample by sample; the form that asks for them while one is missing."""
    if not run.strip() or not other.strip():
        return html(render("compare_form.html", links=site.links, run=run, other=other), framed=site.framed)
    text = comparison_page(
        site.services.store,
        site.services.config,
        run=run.strip(),
        other=other.strip(),
        team=site.team,
        links=site.links,
        show=show,
        page=number,
    )
    return html(text, framed=site.framed)


@router.get("/datadocs/{key}/index.html")
def dataset(key: str, site: WithSite) -> Response:
    """In place of Great Expectations' index, which is empty without its scripts."""
    text = dataset_page(site.services.store, key, home=site.services.settings.home, links=site.links)
    return html(text, framed=site.framed)


@router.get("/datadocs/{path:path}")
def datadocs(path: str, site: WithSite) -> Response:
    """A file of the Data Docs; NotFound for whatever does not lie below their folder."""
    file = _within((site.services.settings.home / FOLDER).resolve(), path)
    if file is None:
        raise NotFound(kind="page of the Data Docs", name=path)
    ancestors = "'self'" if site.framed else "'none'"
    headers = {"Content-Security-Policy": DOCS_POLICY + ancestors, "Cache-Control": "no-store"}
    if file.suffix == ".html":
        return HTMLResponse(readable(file.read_text(encoding="utf-8")), headers=headers)
    return FileResponse(file, headers=headers)


def _within(root: Path, path: str) -> Path | None:
    """The file that a path names, if it really lies below the root."""
    try:
        file = (root / path).resolve()
        return file if file.is_relative_to(root) and file.is_file() else None
    except (OSError, ValueError):  # a name that no file can have
        return None
