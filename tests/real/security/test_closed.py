"""Whatever the app has: nobody gets in without a token where it is published, whichever page is added next."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
import pytest_asyncio
from fastapi.routing import APIRoute

from evalwindow.services import Services
from evalwindow.store.rows import Scope
from evalwindow.web.access import COOKIE
from evalwindow.web.app import create_app
from evalwindow.web.failures import BURST
from tests.real.github.serving import serving

#: The first only leads to /runs.
OPEN = {"/", "/healthz", "/readyz", "/openapi.json", "/login", "/logout", "/webhooks/github"}


def _published(services: Services) -> Services:
    settings = services.settings.model_copy(update={"public_url": "https://evals.example"})
    return replace(services, settings=settings)


def _routes(services: Services) -> list[tuple[str, str]]:
    """(method, path with its parts filled in) of everything that the app answers."""
    documented = create_app(services).openapi()["paths"]
    found = {(method.upper(), path) for path, methods in documented.items() for method in methods}
    found |= {(method, route.path) for route in _all_routes(services) for method in route.methods}
    return sorted((method, path) for method, path in found if method in ("GET", "POST", "PUT", "DELETE", "PATCH"))


def _all_routes(services: Services) -> list[APIRoute]:
    """Those that the document leaves out, too."""
    found, left = [], list(create_app(services).routes)
    while left:
        route = left.pop()
        left += getattr(route, "routes", None) or getattr(getattr(route, "original_router", None), "routes", None) or []
        found += [route] if getattr(route, "methods", None) else []
    return found


def _filled(path: str) -> str:
    return "/".join("x" if part.startswith("{") else part for part in path.split("/"))


@pytest_asyncio.fixture
async def outside(services) -> AsyncIterator[aiohttp.ClientSession]:
    """A client without a token, from somewhere else."""
    async with serving(create_app(_published(services))) as url, aiohttp.ClientSession(url) as session:
        yield session


async def test_every_route_asks_who_is_there(services, outside) -> None:
    routes = [(method, path) for method, path in _routes(services) if path not in OPEN]
    assert {"/runs", "/v1/runs", "/pools", "/nights", "/metrics"} <= {path for _, path in routes}
    for method, path in routes:
        async with outside.request(method, _filled(path), json={}, allow_redirects=False) as answer:
            text = await answer.text()
            at_login = answer.status == 303 and answer.headers["Location"].startswith("/login")
            assert at_login or answer.status in (401, 403), (method, path, answer.status, text[:200])


async def test_what_is_open_tells_nothing_of_runs(services, outside) -> None:
    run = {"suite": "sums-smoke", "candidate": {"model": "tiny"}}
    token = services.store.add_token("search", scopes=[Scope.SUBMIT])
    async with outside.post("/v1/runs", json=run, headers={"Authorization": f"Bearer {token}"}) as answer:
        run_id = (await answer.json())["id"]
    for path in ("/healthz", "/readyz", "/openapi.json", "/login"):
        async with outside.get(path) as answer:
            text = await answer.text()
        assert [word for word in (run_id, "sums-smoke", "search", "127.0.0.1", "acme") if word in text] == [], path


async def test_each_process_counts_failures_and_none_believes_what_was_revoked(services) -> None:
    """Two behind a balancer: a guesser has twice as many tries, and a token that one knows as good ends with both."""
    token = services.store.add_token("search", scopes=[Scope.READ])
    good = {"Authorization": f"Bearer {token}"}
    wrong = {"Authorization": "Bearer " + token[:-4] + "0000"}
    async with (
        serving(create_app(services)) as one_url,
        serving(create_app(services)) as other_url,
        aiohttp.ClientSession(one_url) as one,
        aiohttp.ClientSession(other_url) as other,
    ):

        async def status(web: aiohttp.ClientSession, headers: dict[str, str]) -> int:
            async with web.get("/v1/runs", headers=headers) as answer:
                return answer.status

        assert [await status(web, good) for web in (one, other)] == [200, 200]
        assert [await status(one, wrong) for _ in range(BURST + 1)] == [401] * BURST + [429]
        assert await status(other, wrong) == 401
        assert [await status(web, good) for web in (one, other)] == [200, 200]
        services.store.revoke_token(token.split("_")[1])
        assert await status(one, good) in (401, 429)
        assert await status(other, good) == 401


@pytest.mark.parametrize("path", ["/runs", "/pools", "/nights", "/metrics"])
async def test_a_token_in_the_url_opens_nothing(services, outside, path: str) -> None:
    """It would be in every log."""
    token = services.store.add_token("search")
    async with outside.get(path, params={"token": token, COOKIE: token}, allow_redirects=False) as answer:
        assert answer.status in (303, 401, 404)
