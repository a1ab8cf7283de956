"""The web app over a real store, Redis and the stand-in for GitHub, on a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
import yaml
from pydantic import SecretStr

from demo.github_standin import Standin
from demo.github_standin import create_app as create_standin
from evalwindow.config import ApiModel, Config, Limits, Pool, Team, Window
from evalwindow.embedded import Server
from evalwindow.services import Services, build
from evalwindow.settings import Settings
from evalwindow.web.access import COOKIE
from evalwindow.web.app import create_app
from tests.airflow.seed import Seed, Seeded
from tests.real.github.serving import serving
from tests.real.web.night_world import SAMPLES, STORY

SECRET = "tell nobody"


@pytest.fixture
def suites(tmp_path: Path) -> Path:
    """A smoke and a regression suite of four samples each."""
    folder = tmp_path / "suites"
    (folder / "data").mkdir(parents=True)
    samples = [{"id": f"sum-{n}", "input": f"{n} + {n}", "target": str(2 * n), "slices": ["sum"]} for n in range(4)]
    (folder / "data" / "sums.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    for tier in ("smoke", "regression"):
        document = {"suite": f"sums-{tier}", "tier": tier, "dataset": {"path": "data/sums.jsonl"}, "scorers": ["exact"]}
        extra = {"must_pass": [sample["id"] for sample in samples]} if tier == "smoke" else {}
        (folder / f"{tier}.yaml").write_text(yaml.safe_dump(document | extra))
    return folder


@pytest_asyncio.fixture
async def services(
    database_url: str, redis: Server, suites: Path, standin: Standin, tmp_path: Path
) -> AsyncIterator[Services]:
    config = Config(
        suites=suites,
        limits=Limits(body_bytes=20_000),
        models={"tiny": ApiModel(engine="openai", base_url="http://127.0.0.1:9", model="tiny")},
        teams={"search": Team(repos=("acme/bot",)), "ads": Team()},
    )
    async with serving(create_standin(standin)) as github_url:
        settings = Settings(
            database_url=database_url,
            redis_url=redis.url,
            home=tmp_path / "home",
            webhook_secret=SecretStr(SECRET),
            github_api_url=github_url,
            github_token=SecretStr("ghs_installed"),
        )
        services = build(settings, config=config)
        yield services
        await services.aclose()


@pytest_asyncio.fixture
async def web(services: Services) -> AsyncIterator[aiohttp.ClientSession]:
    """A client without credentials, based at the app."""
    async with serving(create_app(services)) as url, aiohttp.ClientSession(url) as session:
        yield session


@pytest.fixture
def bearer(services: Services) -> Callable[[str], dict[str, str]]:
    """Headers of a team."""
    return lambda team: {"Authorization": f"Bearer {services.store.add_token(team)}"}


@pytest.fixture
def search(bearer: Callable[[str], dict[str, str]]) -> dict[str, str]:
    return bearer("search")


@pytest.fixture
def seed(services: Services) -> Seed:
    return Seed(services.store, nights=5, samples=SAMPLES, story=STORY)


@pytest.fixture
def seeded(seed: Seed) -> Seeded:
    return seed.sow()


@pytest.fixture
def configured(services: Services) -> Services:
    """The services with the window that the seed is of, and its pool."""
    window = Window(
        cron="0 22 * * *",
        duration_minutes=480,
        timezone="Europe/Berlin",
        team="search",
        suites=("demo-regression", "gsm8k"),
        models=("tiny",),
    )
    pools = {"warm": Pool(model="m", cold_start_s=60, gpu_price_per_hour=3.6)}
    return replace(services, config=services.config.model_copy(update={"windows": {"nightly": window}, "pools": pools}))


@pytest_asyncio.fixture
async def site(configured: Services) -> AsyncIterator[aiohttp.ClientSession]:
    """A reader on this machine, who sees all."""
    async with serving(create_app(configured)) as url, aiohttp.ClientSession(url) as session:
        yield session


@pytest_asyncio.fixture
async def as_team(configured: Services) -> AsyncIterator[Callable[[str | None, str], Awaitable[tuple[int, str]]]]:
    """get(team, path) -> (status, text) of the app as a proxy publishes it."""
    settings = configured.settings.model_copy(update={"public_url": "https://evals.example"})
    app, jar = create_app(replace(configured, settings=settings)), aiohttp.DummyCookieJar()
    async with serving(app) as url, aiohttp.ClientSession(url, cookie_jar=jar) as session:

        async def get(team: str | None, path: str) -> tuple[int, str]:
            headers = {"Cookie": f"{COOKIE}={configured.store.add_token(team)}"} if team else {}
            async with session.get(path, headers=headers, allow_redirects=False) as answer:
                return answer.status, await answer.text()

        yield get
