"""What is left alone, as the page of the pools shows it and as Prometheus reads it."""

from __future__ import annotations

from dataclasses import replace

import aiohttp
from prometheus_client.parser import text_string_to_metric_families as parse

from evalwindow.model import EngineInfo
from evalwindow.store.engine_rows import EngineLoad
from evalwindow.store.rows import Scope
from evalwindow.web.app import create_app
from tests.real.github.serving import serving
from tests.real.web.night_world import get
from tests.real.web.test_pools import words

WHY = "model 'tiny': the API answered 503: <script>alert(1)</script> said a prompt"
INFO = EngineInfo(engine="vllm", version="1", model_digest="x")


def trip(services, breaker_id, why=WHY):
    for _ in range(10):
        services.breakers.failed(breaker_id, why)


async def test_what_is_left_alone_is_shown_with_its_reason_escaped(site, configured):
    assert "Nothing fails: every breaker is closed." in words(await get(site, "/pools"))
    trip(configured, "provider:tiny")
    configured.breakers.failed("pool:warm", "no unit is running")
    html = await get(site, "/pools")
    text = words(html)
    assert "<script>" not in html and "&lt;script&gt;" in html
    assert "open the API of model tiny provider:tiny" in text and "one may try at" in text
    assert "closed the engines of pool warm pool:warm" in text and "1 failure in a row" in text
    configured.breakers.reset("provider:tiny", by="<i>lea", reason="they mended it")
    text = await get(site, "/pools")
    assert "by &lt;i&gt;lea" in text and "they mended it" in text


async def test_a_team_sees_what_all_share_without_foreign_words_and_its_own(as_team, configured):
    trip(configured, "provider:tiny")
    trip(configured, "notifier:github", "GitHub, acme/secret: HTTP 502")
    trip(configured, "team:ads/errors", "run 1: 3 of 3 results are errors")
    trip(configured, "team:search/errors", "run 2: 3 of 3 results are errors")
    status, html = await as_team("ads", "/pools")
    assert status == 200
    assert "the API answered 503" in html and "said a prompt" not in html
    assert "GitHub" in html and "acme/secret" not in html
    assert "team ads: runs that are mostly errors" in html and "team search" not in html


async def scraped(session, **headers):
    """(status, family -> labels -> value)."""
    async with session.get("/metrics", headers=headers) as answer:
        text = await answer.text()
        if answer.status != 200:
            return answer.status, text
    families = {}
    for family in parse(text):
        families |= {f"{one.name} {sorted(one.labels.items())}": one.value for one in family.samples}
    return answer.status, families


def value(families, name, **labels):
    return families.get(f"{name} {sorted(labels.items())}")


async def test_prometheus_reads_breakers_queues_engines_and_usage(site, configured, seeded):
    trip(configured, "provider:tiny")
    configured.store.count_refused("ads")
    configured.store.heartbeat("warm", "host:1", INFO, "ready", load=EngineLoad(busy_s=12.5))
    status, families = await scraped(site)
    assert status == 200
    states = ("closed", "open", "half_open")
    found = [value(families, "evalwindow_breaker_state", breaker="provider:tiny", state=state) for state in states]
    assert found == [0, 1, 0]
    assert value(families, "evalwindow_breaker_openings_total", breaker="provider:tiny") == 1
    assert value(families, "evalwindow_team_refused_total", team="ads") == 1
    assert value(families, "evalwindow_engines", pool="warm", state="ready") == 1
    assert value(families, "evalwindow_engine_busy_seconds_total", pool="warm", worker="host:1") == 12.5
    for backlog in configured.store.backlog():
        labels = {"pool": backlog.pool, "tier": backlog.tier.value, "state": "pending"}
        assert value(families, "evalwindow_shards", **labels) == backlog.pending


async def test_openmetrics_is_given_to_who_asks_for_it(site):
    async with site.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as answer:
        assert answer.content_type == "application/openmetrics-text"
        assert (await answer.text()).endswith("# EOF\n")
    async with site.get("/metrics") as answer:
        assert answer.content_type == "text/plain"


async def test_who_may_scrape(configured):
    for team in ("ads", "search"):
        trip(configured, f"team:{team}/errors")
        configured.store.count_refused(team)
    trip(configured, "pool:warm")
    settings = configured.settings.model_copy(update={"public_url": "https://evals.example"})
    store = configured.store
    async with (
        serving(create_app(replace(configured, settings=settings))) as url,
        aiohttp.ClientSession(url) as session,
    ):
        assert (await scraped(session))[0] == 401
        assert (await scraped(session, Authorization="Bearer wrong"))[0] == 401
        _, own = await scraped(session, Authorization=f"Bearer {store.add_token('ads', scopes=[Scope.READ])}")
        _, whole = await scraped(session, Authorization=f"Bearer {store.add_token('ads', scopes=[Scope.ADMIN])}")
    assert value(own, "evalwindow_team_refused_total", team="ads") == 1
    assert value(own, "evalwindow_breaker_openings_total", breaker="pool:warm") == 1
    assert not [name for name in own if "search" in name]
    assert value(whole, "evalwindow_team_refused_total", team="search") == 1
    assert value(whole, "evalwindow_breaker_openings_total", breaker="team:search/errors") == 1


async def test_an_open_breaker_makes_nothing_unready(services):
    """Whoever restarts what is not ready would end web processes for an outage of somebody else."""
    trip(services, "provider:tiny")
    trip(services, "notifier:github")
    async with (
        serving(create_app(services)) as url,
        aiohttp.ClientSession(url) as session,
        session.get("/readyz") as answer,
    ):
        assert (answer.status, (await answer.json())["missing"]) == (200, {})
