"""The page of the pools: what is served by whom, how busy it is, how far a change of the model has got."""

import re

from evalwindow.model import EngineInfo
from evalwindow.store.engine_rows import EngineLoad, LaneLoad
from tests.real.web.night_world import get

OLD = EngineInfo(engine="vllm", version="0.32.0", model_digest="a" * 64)
NEW = EngineInfo(engine="vllm", version="0.32.0", model_digest="b" * 64)
LOAD = EngineLoad(
    busy_s=100.0,
    lost_s=10.0,
    held_back_s=3.0,
    lanes={
        "smoke": LaneLoad(prompts=10, prompt_tokens=100, cached_tokens=50, gpu_s=30.0, waiting=2),
        "regression": LaneLoad(prompts=500, prompt_tokens=900, cached_tokens=200, gpu_s=60.0, in_flight=54),
    },
    preemptions=7,
    kv_usage=0.5,
    busy_share=0.875,
    output_tokens_s=1234.4,
)


def words(html: str) -> str:
    """The text of a page in one line."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).split())


def roll(store) -> str:
    """Host 1 has the new model, host 2's engine answered wrongly."""
    store.heartbeat("warm", "host:1", NEW, "ready", generation=2, load=LOAD)
    store.heartbeat("warm", "host:2", OLD, "ready", generation=1, load=LOAD)
    rollout = store.request_rollout("warm", by="lea", reason="release <4>").id
    for worker, error in (("host:1", None), ("host:2", "wrong answer to the canary")):
        store.take_turn("warm", worker, config_age_s=3600, model_digest="", lease_s=60)
        if error is None:
            store.end_turn(rollout, "warm", worker, model_digest=NEW.model_digest)
        else:
            store.halt_rollout(rollout, "warm", worker, error=error)
    return rollout


async def test_a_pool_nobody_serves_says_what_to_start(site):
    html = words(await get(site, "/pools"))
    assert "No unit serves it. Start one: python -m workers.gpu --pool warm" in html


async def test_engines_their_load_and_their_rollouts_are_told(site, configured):
    roll(configured.store)
    html = await get(site, "/pools")
    text = words(html)
    assert "2 engines" in text
    assert "3 min 20 s 60.0 s smoke, 2 min regression, 20.0 s lost" in text
    assert "1020 20 smoke, 1000 regression" in text
    assert "25.0 % of 2000 prompt tokens" in text
    assert "108 4 smoke and 0 regression wait" in text
    assert text.count("87.5 %") == 2
    assert text.count("1234 – read") == 2
    assert "a" * 12 in text and "b" * 12 in text and "a" * 13 not in text
    assert "halted" in text and "host:2: failed wrong answer to the canary" in text
    assert "release &lt;4&gt;" in html


async def test_what_rests_is_there_and_what_stopped_is_gone(site, configured):
    configured.store.heartbeat("warm", "host:1", OLD, "resting", generation=1)
    configured.store.heartbeat("warm", "host:2", None, "stopped")
    text = words(await get(site, "/pools"))
    assert "1 engine" in text and "resting" in text and "host:2" not in text


async def test_who_is_not_logged_in_is_sent_to_log_in(as_team):
    assert (await as_team(None, "/pools"))[0] == 303
    status, html = await as_team("ads", "/pools")
    assert status == 200 and 'href="/pools" aria-current="page"' in html
    assert 'href="/pools"' in (await as_team("ads", "/runs"))[1]


async def test_the_worst_breakers_come_first(site, configured):
    for _ in range(10):
        configured.breakers.failed("provider:tiny", "it answered 503")
    configured.breakers.failed("pool:warm", "no unit is running")
    text = words(await get(site, "/pools"))
    assert text.index("open the API of model tiny") < text.index("closed the engines of pool warm")
    assert "Runs that ask it, also as a judge, wait." in text
