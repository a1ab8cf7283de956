"""Who asks, and what they may do: a team by its token, as a bearer (API) or in a cookie (pages)."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from evalwindow.errors import Forbidden, TooManyFailures, Unauthorized
from evalwindow.services import Services
from evalwindow.settings import Settings
from evalwindow.store.rows import Scope, TokenRow
from evalwindow.web.failures import Failures

COOKIE = "evalwindow_token"
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class LoginNeeded(Unauthorized):
    """Log in with a team token."""


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


WithServices = Annotated[Services, Depends(services_of)]


def known_token(request: Request, services: Services, token: str) -> TokenRow | None:
    """The valid token that this is, or None. Raises TooManyFailures, unasked, where this address guessed too often."""
    failures: Failures = request.app.state.failures
    address = request.client.host if request.client else None
    wait_s = failures.wait_s(address, token)
    if wait_s:
        raise too_many(address, wait_s)
    found = services.store.bearer(token)
    if found is None:
        failures.failed(address, token)
    else:
        failures.succeeded(token)
    return found


def too_many(address: str | None, wait_s: float) -> TooManyFailures:
    return TooManyFailures(address=address, seconds=math.ceil(wait_s))


def bearer(request: Request, services: WithServices) -> TokenRow:
    """The token that the Authorization header carries; raises Unauthorized."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    found = known_token(request, services, token.strip()) if scheme.lower() == "bearer" and token.strip() else None
    if found is None:
        raise Unauthorized("a team token is needed: Authorization: Bearer <token>")
    return found


Bearer = Annotated[TokenRow, Depends(bearer)]


def bearer_team(found: Bearer) -> str:
    """The team whose token it is: every token may read."""
    return found.team


def _may(*scopes: Scope) -> Callable[[Bearer], str]:
    def team(found: Bearer) -> str:
        """The team of a token with one of these scopes; raises Forbidden."""
        if found.scopes.isdisjoint(scopes):
            needed = " or ".join(scopes)
            raise Forbidden(f"this token may {', '.join(sorted(found.scopes))}; that needs the scope {needed}")
        return found.team

    return team


def check_owner(found: TokenRow, services: Services, *, suite: str) -> None:
    """Raises Forbidden where another team owns the suite's baselines and the token is no admin's."""
    owners = [name for name, team in services.config.teams.items() if suite in team.owns]
    if owners and found.team not in owners and Scope.ADMIN not in found.scopes:
        raise Forbidden(
            f"the baselines of suite {suite!r} are team {owners[0]!r}'s; that needs a token of it, or admin"
        )


def check_same_site(request: Request) -> None:
    """Raises Forbidden for a form that another site's page sends: nobody is logged in, or out, by somebody else."""
    if request.headers.get("sec-fetch-site", "same-origin") in ("cross-site", "same-site"):
        raise Forbidden("this form is for this site's own pages")


def page_reader(request: Request, services: WithServices) -> str | None:
    """The team that reads pages; None where everybody at this machine may read all. Raises LoginNeeded."""
    if at_home(request, services):
        return None
    token = request.cookies.get(COOKIE)
    found = known_token(request, services, token) if token else None
    if found is None:
        raise LoginNeeded
    return found.team


def at_home(request: Request, services: Services) -> bool:
    """Whether only this machine is served, and the request is of it."""
    return is_open(services.settings) and _from_here(request)


def is_open(settings: Settings) -> bool:
    """Pages are open only where nobody else gets in: bound to this machine, and not published by a proxy.

    The request is looked at too: a foreign site may point its name at 127.0.0.1, and a proxy that nobody told us of
    says that it forwards.
    """
    return _is_loopback(settings.host) and _is_loopback(urlsplit(settings.base_url).hostname)


def _from_here(request: Request) -> bool:
    return _is_loopback(request.url.hostname) and not any(name in request.headers for name in FORWARDED)


def _is_loopback(host: str | None) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


Team = Annotated[str, Depends(bearer_team)]
Submitter = Annotated[str, Depends(_may(Scope.SUBMIT))]
Promoter = Annotated[str, Depends(_may(Scope.PROMOTE, Scope.ADMIN))]
Reader = Annotated[str | None, Depends(page_reader)]
