"""Does an engine hang? Asked of an HTTP server that counts and answers as vLLM does, or does not."""

import asyncio
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from evalwindow.config import Config, Pool, WarmModel
from workers.enginehost import EngineHost, EnginePlan
from workers.pulse import standstill

NAMES = (
    *("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"),
    *("num_preemptions_total", "prefix_cache_queries_total", "prefix_cache_hits_total"),
    *("prompt_tokens_total", "generation_tokens_total"),
)
HANG_S = 0.4
HISTOGRAMS = ("iteration_tokens_total", "inter_token_latency_seconds", "request_inference_time_seconds")


@dataclass
class Engine:
    """Its counters move with each look if it `works`; it answers if it `answers`."""

    works: bool = False
    answers: bool = False
    tokens: int = 7
    looks: int = 0
    asked: list[int] = field(default_factory=list)  # priorities

    async def metrics(self, request):
        self.looks += 1
        self.tokens += self.works
        lines = [f"# TYPE vllm:{name} {kind(name)}\nvllm:{name} {self.tokens}" for name in NAMES]
        lines += [
            f"# TYPE vllm:{name} histogram\nvllm:{name}_count {self.tokens}\nvllm:{name}_sum 1" for name in HISTOGRAMS
        ]
        lines += ["# TYPE http_requests_total counter\nhttp_requests_total 1"]
        lines += ["# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info 1"]
        return web.Response(text="\n".join(lines) + "\n")

    async def complete(self, request):
        self.asked.append((await request.json())["priority"])
        if not self.answers:
            await asyncio.sleep(3600)
        choice = {"index": 0, "message": {"role": "assistant", "content": "I"}, "finish_reason": "length"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


def kind(name):
    return "counter" if name.endswith("_total") else "gauge"


@dataclass
class Crowd:
    inside: int = 1


@asynccontextmanager
async def watched(engine, crowd, *, hang_s=HANG_S):
    """The task that ends when the engine hangs."""
    pool = Pool(model="m", hang_s=hang_s)
    config = Config(pools={"p": pool}, models={"m": WarmModel(engine="vllm", pool="p")})
    app = web.Application()
    app.router.add_get("/metrics", engine.metrics)
    app.router.add_post("/v1/chat/completions", engine.complete)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    with tempfile.TemporaryDirectory(prefix="ew-") as home:
        plan = EnginePlan.of("p", config=config, home=Path(home), read_at=0.0)
        plan.paths.make()
        host = EngineHost(plan, generation=1, process=None)
        await web.UnixSite(runner, str(host.socket)).start()
        watching = asyncio.create_task(standstill(host, crowd))
        try:
            yield watching
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await runner.cleanup()


async def until(condition):
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_one_that_computes_nothing_and_does_not_answer_hangs_since_it_last_did():
    engine = Engine(works=True)
    async with watched(engine, Crowd()) as watching:
        await until(lambda: engine.looks > 3)
        engine.works = False
        since = await asyncio.wait_for(watching, 20)
        assert time.monotonic() - since >= HANG_S
        assert len(engine.asked) >= 1 and max(engine.asked) < -1000  # before all prompts


async def test_one_that_computes_nothing_because_nobody_asks_it_answers_and_lives():
    engine = Engine(answers=True)
    async with watched(engine, Crowd()) as watching:  # a consumer stands still with its place
        await until(lambda: len(engine.asked) >= 4)
        assert not watching.done()


async def test_one_that_works_is_asked_nothing():
    engine = Engine(works=True)
    async with watched(engine, Crowd(), hang_s=2.0) as watching:
        await until(lambda: engine.looks > 12)
        assert engine.asked == []
        assert not watching.done()


async def test_one_with_nobody_inside_is_left_alone():
    engine, crowd = Engine(), Crowd(inside=0)
    async with watched(engine, crowd, hang_s=0.1) as watching:
        other = Engine()
        async with watched(other, Crowd(), hang_s=0.1) as proof:
            await asyncio.wait_for(proof, 20)  # time enough for one that hangs
        assert (engine.looks, watching.done()) == (0, False)
        crowd.inside = 1
        await asyncio.wait_for(watching, 20)


@pytest.mark.parametrize("answers", [True, False])
async def test_one_that_does_not_tell_its_counters_is_judged_by_its_answer(answers):
    engine = Engine(answers=answers)
    engine.metrics = _silent
    async with watched(engine, Crowd()) as watching:
        if answers:
            await until(lambda: len(engine.asked) >= 3)
            assert not watching.done()
        else:
            await asyncio.wait_for(watching, 20)


async def _silent(request):
    raise web.HTTPNotFound
