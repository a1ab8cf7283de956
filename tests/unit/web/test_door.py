"""The door in front of an app whose requests stay inside until the test lets them go."""

import asyncio

import pytest

from evalwindow.web.door import AT_ONCE, WAITING, Door


class Room:
    """An ASGI app: who is inside, in the order of coming in."""

    def __init__(self) -> None:
        self.inside: list[str] = []
        self.leave = asyncio.Event()

    async def __call__(self, scope, receive, send):
        self.inside.append(scope["name"])
        await self.leave.wait()


class Street:
    """Requests on their way through a door, and what those that were refused were answered."""

    def __init__(self) -> None:
        self.room = Room()
        self.door = Door(self.room)
        self.answers: list[dict[str, object]] = []
        self.coming: set[asyncio.Task[None]] = set()

    async def comes(self, name: str, *, token: str, method: str = "POST", path: str = "/v1/runs") -> None:
        """Send a request and see how far it gets before it has to wait."""
        headers = [(b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "name": name}

        async def send(message):
            self.answers.append(message)

        self.coming.add(asyncio.create_task(self.door(scope, None, send)))
        await _settled()

    async def all_leave(self) -> None:
        self.room.leave.set()
        await asyncio.gather(*self.coming)


@pytest.fixture
def street():
    return Street()


async def _settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_caller_s_flood_waits_in_line_and_another_s_request_comes_in_at_once(street):
    flood = [f"flood {number}" for number in range(AT_ONCE + 5)]
    for name in flood:
        await street.comes(name, token="ads")
    await street.comes("search", token="search")
    assert street.room.inside == [*flood[:AT_ONCE], "search"]
    await street.all_leave()
    assert street.room.inside == [*flood[:AT_ONCE], "search", *flood[AT_ONCE:]]


async def test_reading_cancelling_and_webhooks_wait_in_no_line(street):
    for number in range(AT_ONCE + 1):
        await street.comes(f"read {number}", token="ads", method="GET")
        await street.comes(f"cancel {number}", token="ads", path="/v1/runs/x/cancel")
        await street.comes(f"hook {number}", token="ads", path="/webhooks/github")
    assert len(street.room.inside) == 3 * AT_ONCE + 3
    await street.all_leave()


async def test_more_than_a_line_holds_are_refused_unread_and_told_when_to_come_again(street):
    for number in range(AT_ONCE + WAITING + 1):
        await street.comes(str(number), token="ads")
    start, body = street.answers
    assert start["status"] == 429
    assert dict(start["headers"])[b"retry-after"] == b"1"
    assert b"100 requests with this token wait already" in body["body"]
    await street.all_leave()
    assert len(street.room.inside) == AT_ONCE + WAITING


async def test_who_goes_away_leaves_the_line_and_nothing_is_kept_of_callers_who_left(street):
    for number in range(AT_ONCE + 2):
        await street.comes(str(number), token="ads")
    for task in street.coming:
        task.cancel()
    await asyncio.gather(*street.coming, return_exceptions=True)
    assert street.door._lines == {}
