"""A provider that answers anything at all: what comes out is a completion or an error of ours that can be shown."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalwindow.config import ApiModel, Config
from evalwindow.engines.openai import OpenAIEngine
from evalwindow.engines.retry import Backoff
from evalwindow.errors import EngineRefused, EngineUnavailable
from evalwindow.model import Completion
from tests.real.engines.requests import ask
from tests.unit.security.strategies import changed

TOPS = [{"token": "A", "logprob": -0.1, "bytes": None}, {"token": "B", "logprob": -2.5, "bytes": None}]
ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "4", "refusal": None},
            "logprobs": {"content": [{**TOPS[0], "top_logprobs": TOPS}], "refusal": None},
        }
    ],
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 1,
        "total_tokens": 4,
        "prompt_tokens_details": {"cached_tokens": 1},
    },
}


class Provider:
    """Answers every request with `status` and `body`."""

    def __init__(self) -> None:
        self.status, self.body, self.headers = 200, b"", {"Content-Type": "application/json"}
        self.paths: list[str] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._answer()

            def do_GET(self) -> None:
                self._answer()

            def _answer(self) -> None:
                provider.paths.append(f"{self.command} {self.path}")
                self.send_response(provider.status)
                for name, value in (provider.headers | {"Content-Length": str(len(provider.body))}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(provider.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def provider():
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def asked(provider) -> Iterator[Callable[..., Completion]]:
    """Ask the provider."""
    config = Config(models={"m": ApiModel(engine="openai", base_url=f"{provider.url}/v1", model="m")})
    engine = OpenAIEngine(config=config, environ={}, backoff=Backoff(base_s=0.001, cap_s=0.001, patience_s=0.001))
    with asyncio.Runner() as runner:
        yield lambda **request: runner.run(engine.complete(ask("2 + 2", model="m", **request)))
        runner.run(engine.aclose())


@pytest.mark.parametrize("request_", [{}, {"choices": ("A", "B")}], ids=["text", "choices"])
def test_whatever_a_provider_answers(provider, asked, request_) -> None:
    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from([200, 200, 200, 201, 400, 401, 404, 429, 500]),
        changed(ANSWER).map(json.dumps) | st.text(max_size=30),
    )
    @example(200, "[" * 100_000)
    @example(200, "null")
    @example(200, '{"choices": "x"}')
    @example(200, '{"choices": [{"message": null}]}')
    @example(200, '{"choices": [{"message": {"content": ["x"]}, "finish_reason": 7}]}')
    @example(200, '{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many"}}')
    @example(200, '{"choices": [{"message": {"content": "a\\u0000b"}, "finish_reason": "stop"}]}')
    def answer(status: int, body: str) -> None:
        provider.status, provider.body = status, body.encode(errors="surrogatepass")
        with suppress(EngineRefused, EngineUnavailable):
            completion = asked(**request_)
            assert isinstance(completion.text, str)
            assert isinstance(completion.finish_reason, str)
            assert completion.usage.prompt_tokens >= 0
            assert completion.usage.cost >= 0

    answer()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_provider_sends_us_nowhere_else(provider, asked, status: int) -> None:
    elsewhere = Provider()
    provider.status, provider.headers = status, {"Location": f"{elsewhere.url}/latest/meta-data"}
    elsewhere.body = json.dumps(ANSWER).encode()
    try:
        with pytest.raises((EngineRefused, EngineUnavailable)):
            asked()
        assert elsewhere.paths == []
    finally:
        elsewhere.close()
