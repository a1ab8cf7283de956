"""Who asks: a team by its token, as a bearer (API) or in a cookie (pages)."""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from evalwindow.errors import Unauthorized
from evalwindow.services import Services
from evalwindow.settings import Settings

COOKIE = "evalwindow_token"


class LoginNeeded(Unauthorized):
    """Log in with a team token."""


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


WithServices = Annotated[Services, Depends(services_of)]


def bearer_team(request: Request, services: WithServices) -> str:
    """The team whose token the Authorization header carries; raises Unauthorized."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    team = services.store.team_of_token(token.strip()) if scheme.lower() == "bearer" else None
    if team is None:
        raise Unauthorized("a team token is needed: Authorization: Bearer <token>")
    return team


def page_reader(request: Request, services: WithServices) -> str | None:
    """The team that reads pages; None where everybody at this machine may read all. Raises LoginNeeded."""
    if is_open(services.settings) and _is_loopback(request.url.hostname):
        return None
    token = request.cookies.get(COOKIE)
    team = services.store.team_of_token(token) if token else None
    if team is None:
        raise LoginNeeded
    return team


def is_open(settings: Settings) -> bool:
    """Pages are open only where nobody else gets in: bound to this machine, and not published by a proxy.

    The request's own host is checked too: a foreign site may point its name at 127.0.0.1.
    """
    return _is_loopback(settings.host) and _is_loopback(urlsplit(settings.base_url).hostname)


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


Team = Annotated[str, Depends(bearer_team)]
Reader = Annotated[str | None, Depends(page_reader)]
