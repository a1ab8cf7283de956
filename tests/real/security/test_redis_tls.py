"""rediss:// as docs/security.md writes it. The embedded Redis speaks no TLS, so a door that does stands before it."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator

import pytest
from redis import Redis
from sqlalchemy import make_url

from evalwindow.errors import ConfigInvalid, ServiceDown
from evalwindow.model import Tier
from evalwindow.queue import Queue, queue_name
from tests.real.mail.test_transport import certificate

__all__ = ["certificate"]


@pytest.fixture
def door(redis, certificate) -> Iterator[int]:
    """Port of a TLS server that hands everything on to Redis."""
    ready, box = threading.Event(), {}

    async def pipe(reader, writer):
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def client(reader, writer):
        inside = await asyncio.open_connection("127.0.0.1", make_url(redis.url).port)
        await asyncio.gather(pipe(reader, inside[1]), pipe(inside[0], writer))

    async def serve():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server = await asyncio.start_server(client, "127.0.0.1", 0, ssl=context)
        box.update(port=server.sockets[0].getsockname()[1], loop=asyncio.get_running_loop(), stop=asyncio.Event())
        ready.set()
        await box["stop"].wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    yield box["port"]
    box["loop"].call_soon_threadsafe(box["stop"].set)
    thread.join(60)


def _url(redis, port: int, options: str, scheme: str = "rediss") -> str:
    return f"{scheme}://:{make_url(redis.url).password}@127.0.0.1:{port}/0{options}"


def test_hints_go_through_tls(redis, door, certificate) -> None:
    Redis.from_url(redis.url).flushall()
    queue = Queue(_url(redis, door, f"?ssl_cert_reqs=required&ssl_ca_certs={certificate}"))
    queue.check()
    assert queue.send_shard("a shard", "warm", Tier.SMOKE)
    queue.close()
    assert Redis.from_url(redis.url).llen(queue_name("warm", Tier.SMOKE)) == 1


def test_a_server_that_nobody_vouches_for_gets_no_password(redis, door) -> None:
    queue = Queue(_url(redis, door, "?ssl_cert_reqs=required"))
    with pytest.raises(ServiceDown, match="certificate"):
        queue.check()
    queue.close()


def test_in_the_clear_the_door_stays_shut(redis, door) -> None:
    queue = Queue(_url(redis, door, "", scheme="redis"))
    with pytest.raises(ServiceDown):
        queue.check()
    queue.close()


@pytest.mark.parametrize("url", ["rediss://:word@127.0.0.1:9/0", "rediss://:word@127.0.0.1:9/0?ssl_cert_reqs=maybe"])
def test_a_url_that_says_not_whom_to_trust_is_refused_in_words(url) -> None:
    with pytest.raises(ConfigInvalid, match="ssl_cert_reqs=required") as refused:
        Queue(url)
    assert "word" not in str(refused.value)
