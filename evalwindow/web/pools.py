"""The page of the pools."""

from __future__ import annotations

import datetime as dt

from fastapi import APIRouter, Response

from evalwindow.report.pools import pools_page
from evalwindow.web.site import PageRoute, WithSite, html

router = APIRouter(tags=["pages"], include_in_schema=False, route_class=PageRoute)


@router.get("/pools")
def pools(site: WithSite) -> Response:
    """Every team may see how busy the engines are that all share, and what of that is left alone for a while."""
    services = site.services
    now = dt.datetime.now(dt.UTC)
    text = pools_page(services.store, services.config, links=site.links, now=now, team=site.team)
    return html(text, framed=site.framed)
