"""The whole stack, started once, every part of it real; only GitHub is a stand-in."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from demo.github_standin import Standin
from demo.walkthrough.stage import ROOT, Stage, new_secret, on_stage, stack_running, standin_running
from evalwindow.embedded import start_postgres, start_redis
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import read_record
from evalwindow.store import Store
from evalwindow.up import Stack
from soak.servers import Mortal
from tests.real.engines.unit import VLLM_CACHE

READY_S = 300.0


@dataclass
class World:
    """The stack and what it stands on."""

    stack: Stack
    postgres: Mortal
    redis: Mortal
    github: Standin
    store: Store
    webhook_secret: str

    def consumer(self, tier: str) -> psutil.Process:
        """The Celery consumer of a tier."""
        unit = psutil.Process(self.stack.processes["gpu"].pid)
        found = [process for process in unit.children(recursive=True) if f"{tier}.warm" in process.cmdline()]
        return min(found, key=lambda process: process.create_time())

    def engine_pid(self) -> int:
        record = read_record(EnginePaths(home=self.stack.home, pool="warm").record)
        assert record is not None
        return record.pid


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="evalwindow-", ignore_cleanup_errors=True) as folder:  # short, for sockets
        yield from _world(Path(folder))


def _world(home: Path) -> Iterator[World]:
    _know_models(home / "home")
    postgres = Mortal(lambda: start_postgres(home / "servers"))
    redis = Mortal(lambda: start_redis(home / "servers"))
    github, secret = Standin(), new_secret()
    environ = {
        "EVALWINDOW_DATABASE_URL": postgres.url,
        "EVALWINDOW_REDIS_URL": redis.url,
        "EVALWINDOW_LEASE_S": "5",  # what a killed consumer held is free again this soon
    }
    with (
        standin_running(github) as url,
        stack_running(
            home=home / "home",
            config=ROOT / "evalwindow.yaml",
            github_url=url,
            webhook_secret=secret,
            environ=environ,
            ready_s=READY_S,
        ) as stack,
    ):
        store = Store(postgres.url)
        yield World(stack=stack, postgres=postgres, redis=redis, github=github, store=store, webhook_secret=secret)
        store.close()
    redis.stop()
    postgres.stop()


def _know_models(home: Path) -> None:
    """What vLLM found out about models in other tests."""
    VLLM_CACHE.mkdir(parents=True, exist_ok=True)
    (home / "cache").mkdir(parents=True)
    (home / "cache" / "vllm").symlink_to(VLLM_CACHE)


@pytest_asyncio.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    """Somebody of team "search"."""
    async with on_stage(world.stack, world.github, webhook_secret=world.webhook_secret) as stage:
        yield stage
