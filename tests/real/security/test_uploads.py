"""Adapters that come in at once: what a process has in memory of them is bounded, and no team takes another's room."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import aiohttp
import pytest

from evalwindow.errors import TryLater
from evalwindow.store.rows import Scope
from evalwindow.web.adapters import body_limit
from evalwindow.web.app import create_app
from evalwindow.web.uploads import ALL, TEAM, Uploads
from tests.real.github.serving import serving

LARGEST = 300_000  # bytes of an adapter
TEAMS = [f"team{number}" for number in range(ALL + 1)]


def _body(size: int, *, fill: bytes = b"x") -> bytes:
    files = {"adapter_config.json": b"{}", "adapter_model.safetensors": fill * (size - 2)}
    return json.dumps(
        {"name": "a", "files": {name: base64.b64encode(each).decode() for name, each in files.items()}}
    ).encode()


@dataclass
class Here:
    app: object
    url: str
    tokens: dict[str, str]

    @property
    def held(self) -> dict[str, int]:
        return dict(self.app.state.uploads._held)

    @asynccontextmanager
    async def on_its_way(self, team: str, body: bytes) -> AsyncIterator[asyncio.Future[int]]:
        """An upload of which half has come; its status, once the block has ended."""
        more = asyncio.Event()

        async def parts():
            yield body[: len(body) // 2]
            await more.wait()
            yield body[len(body) // 2 :]

        before = self.held.get(team, 0)
        task = asyncio.create_task(self.put(team, parts(), {"Content-Length": str(len(body))}))
        while self.held.get(team, 0) == before:
            assert not task.done(), task.result()
            await asyncio.sleep(0.01)
        status: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            yield status
        finally:
            more.set()
            status.set_result((await task)[0])

    async def put(self, team: str, body: object, headers: dict[str, str] | None = None) -> tuple[int, str, str]:
        """Status, Retry-After, text."""
        headers = {
            "Authorization": f"Bearer {self.tokens[team]}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        async with (
            aiohttp.ClientSession(self.url) as web,
            web.post("/v1/adapters", data=body, headers=headers) as answer,
        ):
            return answer.status, answer.headers.get("Retry-After", ""), await answer.text()


@pytest.fixture
async def here(services) -> AsyncIterator[Here]:
    limits = services.config.limits.model_copy(update={"adapter_bytes": LARGEST})
    small = replace(services, config=services.config.model_copy(update={"limits": limits}))
    app = create_app(small)
    async with serving(app) as url:
        yield Here(app, url, {team: services.store.add_token(team, scopes=[Scope.SUBMIT]) for team in TEAMS})


async def test_a_team_s_second_large_adapter_waits_and_another_team_s_does_not(here):
    async with here.on_its_way(TEAMS[0], _body(LARGEST)) as first:
        status, retry_after, text = await here.put(TEAMS[0], _body(LARGEST, fill=b"y"))
        assert (status, int(retry_after) >= 1) == (429, True), text
        assert f"team '{TEAMS[0]}'" in json.loads(text)["error"]
        assert (await here.put(TEAMS[1], _body(LARGEST)))[0] == 201
    assert first.result() == 201
    assert (await here.put(TEAMS[0], _body(LARGEST, fill=b"y")))[0] == 201
    assert here.held == {}


async def test_small_ones_fit_many_at_once(here):
    bodies = [_body(LARGEST // 20, fill=bytes([65 + number])) for number in range(10)]
    answers = await asyncio.gather(*(here.put(TEAMS[0], body) for body in bodies))
    assert [status for status, _, _ in answers] == [201] * len(bodies)


async def test_all_teams_together_have_a_limit_too(here):
    async with here.on_its_way(TEAMS[0], _body(LARGEST)), here.on_its_way(TEAMS[1], _body(LARGEST)):
        async with here.on_its_way(TEAMS[2], _body(LARGEST)) as third:
            assert len(here.held) == ALL
            status, _, text = await here.put(TEAMS[3], _body(LARGEST))
            assert (status, "all teams" in text) == (429, True)
        assert third.result() == 201
        assert (await here.put(TEAMS[3], _body(LARGEST)))[0] == 201


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"name": "a", "files": {}}', b'{"name": "a", "files": {"x": "%"}}', b"x" * 600_000]
)
async def test_what_is_refused_holds_nothing(here, body):
    assert 400 <= (await here.put(TEAMS[0], body))[0] < 500
    assert here.held == {}


async def test_who_goes_away_in_the_middle_holds_nothing(here):
    async def endless():
        yield b'{"name": "'
        await asyncio.sleep(600)

    task = asyncio.create_task(here.put(TEAMS[0], endless()))
    while not here.held:
        await asyncio.sleep(0.01)
    assert here.held == {TEAMS[0]: body_limit(LARGEST)}  # it doesn't say how large it will be
    task.cancel()
    while here.held:
        await asyncio.sleep(0.01)


def test_the_sums_are_right() -> None:
    uploads = Uploads(100)
    with uploads.place("a", 60), uploads.place("a", 40), uploads.place("b", None), uploads.place("c", 10**12):
        for team in ("a", "b", "d"):
            with pytest.raises(TryLater, match="limit of one server"), uploads.place(team, 1):
                pass
        with uploads.place("d", 0):
            pass
    assert uploads._held == {}
    with uploads.place("a", 100 * TEAM):
        pass
