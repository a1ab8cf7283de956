"""Bodies that come slowly, or never."""

import asyncio

import pytest
from starlette.exceptions import HTTPException

from evalwindow.web.body import BodyLimit

SCOPE = {"type": "http", "path": "/", "headers": []}


async def _read(scope, receive, send):
    """An app that wants its whole body."""
    while (await receive()).get("more_body"):
        pass


def _client(*messages):
    """What a client sends before it falls silent."""
    left = [{"type": "http.request", **message} for message in messages]

    async def receive():
        if not left:
            await asyncio.Event().wait()
        return left.pop(0)

    return receive


async def _send(message):
    pass


@pytest.mark.parametrize("said", [(), ({"body": b"x", "more_body": True},)])
async def test_a_body_that_stalls_is_given_up(said):
    app = BodyLimit(_read, 100, patience_s=0.01)
    with pytest.raises(HTTPException) as refused:
        await app(SCOPE, _client(*said), _send)
    assert refused.value.status_code == 408
    assert refused.value.headers == {"Connection": "close"}


async def test_whoever_waits_for_the_answer_is_not_hurried():
    async def slow(scope, receive, send):
        await _read(scope, receive, send)
        waiting = asyncio.create_task(receive())
        done, _ = await asyncio.wait({waiting}, timeout=0.1)
        waiting.cancel()
        assert not done

    await BodyLimit(slow, 100, patience_s=0.01)(SCOPE, _client({"body": b"x"}), _send)


async def test_a_large_body_that_keeps_coming_may_take_its_time():
    chunk = b"x" * 50_000  # a second each
    app = BodyLimit(_read, 10_000_000, patience_s=0.05)

    async def paced():
        await asyncio.sleep(0.01)
        return {"type": "http.request", "body": chunk, "more_body": paced.left.pop()}

    paced.left = [False, *[True] * 20]
    await app(SCOPE, paced, _send)


async def test_too_much_is_refused_while_it_comes():
    app = BodyLimit(_read, 100)
    with pytest.raises(HTTPException) as refused:
        await app(SCOPE, _client(*[{"body": b"x" * 60, "more_body": True}] * 3), _send)
    assert refused.value.status_code == 413
