from dataclasses import replace

import aiohttp

from evalwindow.config import Pool
from evalwindow.model import EngineInfo
from evalwindow.queue import Queue
from evalwindow.store import Store
from evalwindow.web.app import create_app
from tests.real.github.serving import serving


async def _ready(services):
    async with (
        serving(create_app(services)) as url,
        aiohttp.ClientSession(url) as session,
        session.get("/healthz") as alive,
        session.get("/readyz") as answer,
    ):
        assert alive.status == 200
        return answer.status, (await answer.json())["missing"]


async def test_ready_when_everything_answers(services):
    assert await _ready(services) == (200, {})


async def test_a_pool_without_a_ready_engine_is_missing(services):
    pools = {name: Pool(model="x") for name in ("asleep", "fast", "slow", "warm")}
    info = EngineInfo(engine="vllm", version="1", model_digest="x")
    services.store.heartbeat("slow", "w", None, "starting")
    services.store.heartbeat("warm", "w", info, "ready")
    services.store.heartbeat("asleep", "w", info, "resting")  # the first prompt wakes it
    config = services.config.model_copy(update={"pools": pools})
    status, missing = await _ready(replace(services, config=config))
    assert status == 503
    assert missing == {"engine of pool fast": "no worker serves it", "engine of pool slow": "its engine is starting"}


async def test_a_database_or_broker_that_is_down_is_named_with_its_host(services):
    store = Store("postgresql+psycopg://nobody@127.0.0.1:9/none")
    status, missing = await _ready(replace(services, store=store, queue=Queue("redis://127.0.0.1:9/0")))
    assert status == 503
    assert sorted(missing) == ["postgresql", "redis"]
    assert "127.0.0.1:9" in missing["postgresql"]
    assert "EVALWINDOW_REDIS_URL" in missing["redis"]


async def test_a_database_that_is_down_is_503_everywhere_never_a_stack_trace(services):
    store = Store("postgresql+psycopg://nobody@127.0.0.1:9/none")
    async with (
        serving(create_app(replace(services, store=store))) as url,
        aiohttp.ClientSession(url) as session,
        session.get("/v1/runs", headers={"Authorization": "Bearer ew_a_b"}) as answer,
    ):
        problem = await answer.json(content_type=None)
    assert answer.status == 503
    assert problem["kind"] == "ServiceDown"
    assert "Traceback" not in problem["error"]


async def test_who_is_not_at_this_machine_hears_what_is_missing_and_not_where_it_is(services, caplog):
    settings = services.settings.model_copy(update={"public_url": "https://evals.example"})
    store = Store("postgresql+psycopg://nobody@127.0.0.1:9/none")
    async with (
        serving(create_app(replace(services, settings=settings, store=store))) as url,
        aiohttp.ClientSession(url) as session,
        session.get("/readyz") as ready,
        session.get("/v1/runs", headers={"Authorization": "Bearer ew_a_b"}) as answer,
    ):
        texts = [await ready.text(), await answer.text()]
        assert (ready.status, answer.status, answer.headers["Retry-After"]) == (503, 503, "5")
    assert '"postgresql"' in texts[0]
    assert not any("127.0.0.1" in text or "nobody" in text for text in texts)
    assert caplog.text.count("127.0.0.1:9") >= 2
