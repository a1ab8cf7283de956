"""The OpenAI-compatible engine, against a real HTTP server that misbehaves on demand."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from evalwindow.config import ApiModel, Config
from evalwindow.engines.openai import OpenAIEngine
from evalwindow.engines.retry import Backoff
from evalwindow.errors import ConfigInvalid, EngineRefused, EngineUnavailable
from evalwindow.model import CompletionRequest, Sampling
from tests.real.engines.requests import ask

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ENVIRON = {"ACME_KEY": "secret"}


def answer(text: str = "hello", *, finish: str = "stop", logprobs: dict[str, float] | None = None) -> web.Response:
    """A chat completion; `logprobs` are the first token's alternatives."""
    choice: dict[str, Any] = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, "refusal": None},
    }
    if logprobs is not None:
        tops = [{"token": token, "logprob": value, "bytes": None} for token, value in logprobs.items()]
        choice["logprobs"] = {"content": [{**tops[0], "top_logprobs": tops}], "refusal": None}
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "total_tokens": 1050,
        "prompt_tokens_details": {"cached_tokens": 128},
    }
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
    return web.json_response(body)


def failure(status: int, message: str, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


class Api:
    """Answers with the responses that a test lines up, then with "hello"; keeps what it was asked."""

    def __init__(self) -> None:
        self.line: list[web.Response] = []
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.times: list[dt.datetime] = []
        self.engines: list[OpenAIEngine] = []
        self.pause_s = 0.0
        self.url = ""

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.times.append(dt.datetime.now(dt.UTC))
        self.asked.append(await request.json())
        self.keys.append(request.headers["authorization"])
        await asyncio.sleep(self.pause_s)
        return self.line.pop(0) if self.line else answer()

    def engine(self, *, patience_s: float = 5.0, **settings: Any) -> OpenAIEngine:
        fields = {"engine": "openai", "base_url": self.url, "model": "big-1", "api_key_env": "ACME_KEY", **settings}
        config = Config(models={"big": ApiModel(**fields)})
        backoff = Backoff(base_s=0.01, patience_s=patience_s)
        self.engines.append(OpenAIEngine(config=config, environ=ENVIRON, backoff=backoff))
        return self.engines[-1]


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", api.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    api.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield api
    for engine in api.engines:
        await engine.aclose()
    await runner.cleanup()


def prompt(**fields: Any) -> CompletionRequest:
    return ask("hi", model="big", **fields)


async def test_a_prompt_is_sent_with_its_sampling_and_the_key(api: Api) -> None:
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=7, seed=3, stop=("\n",))
    done = await api.engine().complete(prompt(sampling=sampling, schema={"type": "object"}))
    body = api.asked[0]
    assert done.text == "hello"
    assert {key: body[key] for key in ("temperature", "top_p", "max_tokens", "seed", "stop")} == {
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 7,
        "seed": 3,
        "stop": ["\n"],
    }
    assert body["model"] == "big-1"
    assert body["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert api.keys == ["Bearer secret"]
    assert "priority" not in body


async def test_a_price_makes_a_cost(api: Api) -> None:
    usage = (await api.engine(price_input=2.0, price_output=10.0).complete(prompt())).usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.output_tokens) == (1000, 128, 50)
    assert usage.cost == pytest.approx(1000 * 2e-6 + 50 * 10e-6)
    assert usage.gpu_s == 0


@pytest.mark.parametrize("status", [429, 500, 502, 503, 408])
async def test_a_passing_failure_is_tried_again(api: Api, status: int) -> None:
    api.line = [failure(status, "busy"), failure(status, "busy")]
    assert (await api.engine().complete(prompt())).text == "hello"
    assert len(api.asked) == 3


async def test_retry_after_is_honoured_in_seconds(api: Api) -> None:
    api.line = [failure(429, "slow down", **{"Retry-After": "1"})]
    await api.engine(patience_s=60).complete(prompt())
    first, second = api.times
    assert second - first >= dt.timedelta(seconds=1)


async def test_retry_after_is_honoured_as_a_date(api: Api) -> None:
    until = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=2)
    api.line = [failure(429, "slow down", **{"Retry-After": format_datetime(until, usegmt=True)})]
    await api.engine(patience_s=60).complete(prompt())
    assert api.times[1] >= until


async def test_a_wish_to_wait_beyond_our_patience_is_told_at_once(api: Api) -> None:
    api.line = [failure(429, "quota used up", **{"Retry-After": "3600"})]
    with pytest.raises(EngineUnavailable, match="429: quota used up"):
        await api.engine().complete(prompt())
    assert len(api.asked) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_what_can_never_work_is_refused_in_the_apis_words(api: Api, status: int) -> None:
    api.line = [failure(status, "no such thing")]
    with pytest.raises(EngineRefused, match=f"'big': the API answered {status}: no such thing"):
        await api.engine().complete(prompt())
    assert len(api.asked) == 1


async def test_a_slow_answer_is_unavailable(api: Api) -> None:
    api.pause_s = 30
    with pytest.raises(EngineUnavailable, match="APITimeoutError"):
        await api.engine(timeout_s=0.2, patience_s=0.0).complete(prompt())


async def test_a_server_that_is_not_there_is_unavailable(api: Api) -> None:
    with pytest.raises(EngineUnavailable, match="APIConnectionError"):
        await api.engine(base_url="http://127.0.0.1:9/v1", patience_s=0.0).complete(prompt())


async def test_throttling_halves_the_concurrency(api: Api) -> None:
    engine = api.engine(max_concurrency=8)
    api.line, api.pause_s = [failure(429, "slow down")], 0.05
    await asyncio.gather(*(engine.complete(prompt()) for _ in range(8)))
    assert engine._api("big").limit.limit < 8


async def test_a_filtered_answer_is_kept_as_what_it_is(api: Api) -> None:
    api.line = [answer("I can", finish="content_filter")]
    done = await api.engine().complete(prompt())
    assert (done.text, done.finish_reason) == ("I can", "content_filter")


async def test_an_answer_without_a_choice_is_no_answer(api: Api) -> None:
    api.line = [web.json_response({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": []})]
    assert (await api.engine().complete(prompt())).text == "hello"
    assert len(api.asked) == 2


async def test_letters_are_scored_by_the_first_tokens_alternatives(api: Api) -> None:
    api.line = [answer("A", logprobs={"A": -1.0, " A": -1.0, "B": -2.0, "C": -9999.0})]
    done = await api.engine().complete(prompt(choices=("A", "B", "C")))
    assert done.choice_logprobs == pytest.approx((-1 + 0.6931, -2.0, -9999.0), abs=1e-3)
    assert (done.text, done.choice_tokens) == ("A", (1, 1, 1))
    assert (api.asked[0]["max_tokens"], api.asked[0]["top_logprobs"]) == (1, 20)


@pytest.mark.parametrize("logprobs", [None, {"A": -1.0}])
async def test_a_choice_without_a_log_probability_is_refused(api: Api, logprobs: dict[str, float] | None) -> None:
    api.line = [answer("A", logprobs=logprobs)]
    with pytest.raises(EngineRefused, match="use letters as choices, or a warm model"):
        await api.engine().complete(prompt(choices=("A", "a whole sentence")))


async def test_a_missing_key_names_its_variable(api: Api) -> None:
    with pytest.raises(ConfigInvalid, match=r"models\.big\.api_key_env: environment variable NO_KEY is not set"):
        await api.engine(api_key_env="NO_KEY").complete(prompt())


async def test_an_adapter_is_refused(api: Api) -> None:
    with pytest.raises(EngineRefused, match="takes no LoRA adapter"):
        await api.engine().complete(prompt(adapter="0" * 64))


async def test_the_url_is_part_of_what_answers(api: Api) -> None:
    info = await api.engine().info("big")
    assert (info.engine, info.model_digest, info.details) == ("openai", "big-1", {"base_url": api.url})
