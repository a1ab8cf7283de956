"""rediss:// as docs/security.md writes it: before a Redis with TLS where one is on PATH, as deploy/redis starts it; and
before the embedded Redis, which has none, behind a door that speaks it."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError
from sqlalchemy import make_url

from evalwindow.errors import ConfigInvalid, ServiceDown
from evalwindow.model import Tier
from evalwindow.queue import Queue, queue_name
from tests.real.deploy.test_redis import await_port
from tests.real.mail.test_transport import certificate
from tests.real.security.conftest import free_port

__all__ = ["certificate", "free_port"]

START = Path(__file__).parents[3] / "deploy/redis/start.sh"
PASSWORD = "a-word-of-the-test"
INSTALLED = shutil.which("redis-server")


@pytest.fixture(params=["door", "server"])
def place(request, certificate) -> Iterator[str]:
    """user:password@host:port of a Redis that speaks TLS."""
    if request.param == "server":
        if INSTALLED is None:
            pytest.skip("no redis-server on PATH: the embedded one was built without TLS")
        port = request.getfixturevalue("free_port")
        with _server(port, certificate=certificate, folder=request.getfixturevalue("tmp_path")):
            yield f"evalwindow:{PASSWORD}@127.0.0.1:{port}"
    else:
        redis = request.getfixturevalue("redis")
        Redis.from_url(redis.url).flushall()
        with _door(redis, certificate) as port:
            yield f":{make_url(redis.url).password}@127.0.0.1:{port}"


@contextmanager
def _server(port: int, *, certificate: Path, folder: Path) -> Iterator[None]:
    """Started with the very words of docs/security.md."""
    tls = f"--port 0 --tls-port {port} --tls-cert-file {certificate} --tls-key-file {certificate} --tls-auth-clients no"
    command = ["sh", START, *tls.split(), "--dir", folder, "--bind", "127.0.0.1"]
    with subprocess.Popen(command, env=os.environ | {"REDIS_PASSWORD": PASSWORD, "TMPDIR": str(folder)}) as server:
        try:
            await_port(port)
            yield
        finally:
            server.terminate()


@contextmanager
def _door(redis, certificate: Path) -> Iterator[int]:
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


def test_hints_go_through_tls(place, certificate) -> None:
    url = f"rediss://{place}/0?ssl_cert_reqs=required&ssl_ca_certs={certificate}"
    queue = Queue(url)
    queue.check()
    assert queue.send_shard("a shard", "warm", Tier.SMOKE)
    queue.close()
    client = Redis.from_url(url)
    assert client.llen(queue_name("warm", Tier.SMOKE)) == 1
    if place.startswith("evalwindow"):
        with pytest.raises(NoPermissionError):
            client.flushall()


def test_a_server_that_nobody_vouches_for_gets_no_password(place) -> None:
    queue = Queue(f"rediss://{place}/0?ssl_cert_reqs=required")
    with pytest.raises(ServiceDown, match="certificate"):
        queue.check()
    queue.close()


def test_in_the_clear_the_door_stays_shut(place) -> None:
    queue = Queue(f"redis://{place}/0")
    with pytest.raises(ServiceDown):
        queue.check()
    queue.close()


@pytest.mark.parametrize("url", ["rediss://:word@127.0.0.1:9/0", "rediss://:word@127.0.0.1:9/0?ssl_cert_reqs=maybe"])
def test_a_url_that_says_not_whom_to_trust_is_refused_in_words(url) -> None:
    with pytest.raises(ConfigInvalid, match="ssl_cert_reqs=required") as refused:
        Queue(url)
    assert "word" not in str(refused.value)
