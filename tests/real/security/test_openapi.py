"""Every operation of our own OpenAPI document, asked for with whatever it lets somebody say, and more."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from evalwindow.store.rows import Scope
from evalwindow.web.app import create_app
from tests.real.web.conftest import SECRET
from tests.real.web.helpers import signed
from tests.unit.github.examples import pull_request
from tests.unit.security.strategies import ODD, changed

QUICK = settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
RUN = {
    "suite": "sums-smoke",
    "candidate": {"model": "tiny", "system": "s", "template": "{{ input }}", "sampling": {"temperature": 0, "seed": 1}},
    "source": {
        "repo": "acme/bot",
        "pull_request": 7,
        "head_sha": "c0ffee",
        "branch": "main",
        "url": "https://x.example",
    },
    "key": "k",
    "use_cache": True,
}
PROMOTION = {"run": "x", "reason": "r", "by": "lea", "expected": None, "branch": "main"}
ADAPTER = {"name": "a", "files": {"adapter_config.json": "e30=", "adapter_model.safetensors": "e30="}}
BODIES = {"/v1/runs": RUN, "/v1/baselines": PROMOTION, "/v1/adapters": ADAPTER}


@pytest.fixture
def url(services) -> Iterator[str]:
    """The app on a thread of its own: the fuzzer blocks."""
    server = uvicorn.Server(uvicorn.Config(create_app(services), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def token(services) -> str:
    return services.store.add_token("search", scopes=[Scope.SUBMIT, Scope.PROMOTE, Scope.ADMIN])


def test_no_request_is_answered_by_an_error_of_ours(url, token):
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    checks = [not_a_server_error, response_schema_conformance]
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path == "/readyz":
            continue  # it says 503 where no engine is, as here

        @settings(QUICK, max_examples=25)
        @given(case=operation.as_strategy())
        def ask(case):
            nonlocal asked
            asked += 1
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=checks, timeout=40)

        ask()
    assert asked > 100


def _answered(url: str, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request(method, path, body=body, headers=headers)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    finally:
        connection.close()
    assert answer.status < 500, (method, path, body, text)
    assert "Traceback" not in text
    return answer.status


@pytest.mark.parametrize("path", sorted(BODIES))
def test_bodies_that_are_almost_right(url, token, path):
    @QUICK
    @given(changed(BODIES[path]).map(json.dumps) | st.text(max_size=20))
    def send(body):
        data = body.encode(errors="surrogatepass")
        _answered(url, "POST", path, body=data, headers={"Authorization": f"Bearer {token}"})

    send()


def test_webhooks_that_are_signed_and_odd(url):
    @QUICK
    @given(changed(pull_request(repo="acme/other")).map(json.dumps) | st.text(max_size=20))
    def send(body):
        request = signed(body.encode(errors="surrogatepass"), SECRET)
        _answered(url, "POST", "/webhooks/github", body=request["data"], headers=request["headers"])

    send()


PLACES = [
    "/v1/runs/{}",
    "/v1/runs/{}/samples",
    "/v1/runs/{}/progress",
    "/v1/runs/{}/noise",
    "/runs/{}",
    "/runs/{}.json",
]
PLACES += ["/v1/runs?{}", "/v1/compare?run={}&baseline={}", "/nights/{}", "/trends?{}", "/compare?run={}&baseline={}"]
PLACES += [
    "/runs?before={}",
    "/v1/runs?before={}&suite={}&limit=1",
    "/v1/runs?pull_request={}",
    "/nights?{}",
    "/datadocs/{}",
    "/datadocs/x/{}",
    "/{}",
]


def test_places_that_nobody_should_ask_for(url, token):
    words = st.sampled_from([str(odd) for odd in ODD if odd != "\ud800"]) | st.text(max_size=10)

    @settings(QUICK, max_examples=250)
    @given(st.sampled_from(PLACES), words)
    def ask(place, word):
        path = place.format(*[quote(word[:2_000], safe="")] * place.count("{}"))
        _answered(url, "GET", path, headers={"Authorization": f"Bearer {token}", "Host": "127.0.0.1"})

    ask()
