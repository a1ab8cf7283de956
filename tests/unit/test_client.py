"""The client against small HTTP servers that answer as told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from evalwindow import client as client_module
from evalwindow.client import Client
from evalwindow.errors import BadInput, Conflict, EvalwindowError, NotFound, ServiceDown, TooLarge, Unauthorized

RUN = {
    "id": "r1",
    "key": "k",
    "team": "search",
    "suite": "echo",
    "suite_digest": "d",
    "tier": "smoke",
    "pool": "warm",
    "model": "demo",
    "answer": None,
    "error": None,
    "candidate": {"model": "demo"},
    "source": {},
    "provenance": [],
    "summary": None,
    "verdict": None,
    "created_at": "2026-01-01T00:00:00Z",
    "started_at": None,
    "concluded_at": None,
    "url": "http://there/runs/r1",
}

Handler = Callable[[web.Request], web.Response]


class Server:
    """Answers everything by one function, and keeps what it was asked."""

    def __init__(self, handler: Handler) -> None:
        self.requests: list[web.Request] = []
        self._handler = handler

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.requests.append(request)
        return self._handler(request)


@asynccontextmanager
async def talking_to(handler: Handler) -> AsyncIterator[tuple[Client, Server]]:
    server, app = Server(handler), web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with Client.open(f"http://127.0.0.1:{port}/", "secret\n") as client:
        yield client, server
    await runner.cleanup()


def run_as(state: str) -> web.Response:
    return web.json_response({**RUN, "state": state})


@pytest.mark.parametrize(
    "status, kind",
    [
        (400, BadInput),
        (401, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (413, TooLarge),
        (422, BadInput),
        (500, EvalwindowError),
        (503, ServiceDown),
    ],
)
async def test_the_servers_error_is_our_error_with_its_words(status, kind):
    def refuse(request: web.Request) -> web.Response:
        return web.json_response({"error": "what {is} wrong", "kind": "x"}, status=status)

    async with talking_to(refuse) as (client, _):
        with pytest.raises(kind) as caught:
            await client.run("r1")
    assert str(caught.value) == "what {is} wrong"


async def test_a_proxys_page_becomes_one_line():
    page = "<html>\n<h1>502</h1>\n</html>"
    async with talking_to(lambda _: web.Response(text=page, status=502)) as (client, _):
        with pytest.raises(ServiceDown, match=r"/v1/suites answered 502: <html> <h1>502</h1> </html>$"):
            await client.suites()


async def test_an_answer_of_something_else_is_said_to_be_no_evalwindow():
    async with talking_to(lambda _: web.Response(text="hello")) as (client, _):
        with pytest.raises(EvalwindowError, match="is it an evalwindow"):
            await client.suites()


async def test_a_server_that_is_not_there_is_named_with_what_to_do():
    async with Client.open("http://127.0.0.1:9", "secret") as client:
        with pytest.raises(
            ServiceDown, match=r"evalwindow at http://127.0.0.1:9 can't be reached .* set EVALWINDOW_URL"
        ):
            await client.suites()


async def test_the_token_travels_and_a_run_id_is_no_path():
    async with talking_to(lambda _: run_as("queued")) as (client, server):
        await client.run("../x?y")
    [request] = server.requests
    assert request.headers["Authorization"] == "Bearer secret"
    assert request.raw_path.startswith("/v1/runs/..%2Fx%3Fy?")


async def test_filters_that_are_not_given_are_not_sent():
    async with talking_to(lambda _: web.json_response({"runs": [], "next": None})) as (client, server):
        await client.runs(suite="echo", state=None, limit=3)
    assert dict(server.requests[0].query) == {"suite": "echo", "limit": "3"}


async def test_keys_that_a_newer_server_adds_are_no_trouble():
    async with talking_to(lambda _: web.json_response({**RUN, "state": "queued", "news": 1})) as (client, _):
        assert (await client.run("r1")).id == "r1"


async def test_waiting_outlasts_a_server_that_is_replaced(monkeypatch):
    monkeypatch.setattr(client_module, "PAUSE_S", 0.01)
    answers = iter([run_as("queued"), web.json_response({"error": "away"}, status=503), run_as("superseded")])
    async with talking_to(lambda _: next(answers)) as (client, _):
        assert (await client.wait("r1", timeout_s=30)).state == "superseded"


async def test_waiting_ends_at_its_timeout_with_the_page_to_look_at():
    async with talking_to(lambda _: run_as("running")) as (client, _):
        with pytest.raises(ServiceDown, match=r"run r1 is still running after 0 s; see http://there/runs/r1"):
            await client.wait("r1", timeout_s=0)


async def test_whoever_watches_is_told_how_far_the_run_is():
    answers = iter([run_as("running"), web.json_response({"done": 3, "total": 9}), run_as("concluded")])
    seen = []
    async with talking_to(lambda _: next(answers)) as (client, _):
        await client.wait("r1", timeout_s=30, seen=lambda run, progress: seen.append((run.state, progress.done)))
    assert seen == [("running", 3)]


async def test_an_adapter_travels_as_base64():
    bodies = []

    async with talking_to(lambda _: web.json_response({"digest": "abc", "size": 3})) as (client, server):
        assert (await client.put_adapter("mine", {"a.bin": b"\xff\x00\x01"})).digest == "abc"
        bodies.append(json.loads(await server.requests[0].text()))
    assert bodies == [{"name": "mine", "files": {"a.bin": "/wAB"}}]


@pytest.mark.parametrize("url", ["", "localhost:8800", "ftp://there"])
async def test_what_is_no_url_is_refused(url):
    with pytest.raises(BadInput, match="it starts with http://"):
        async with Client.open(url, "secret"):
            pass


async def test_without_a_token_it_is_said_where_one_comes_from():
    with pytest.raises(Unauthorized, match="evalwindow token add TEAM"):
        async with Client.open("http://127.0.0.1:9", " "):
            pass
