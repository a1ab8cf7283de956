"""A Celery consumer as a child process that is kept running."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from evalwindow.config import API_POOL, ApiModel, Config
from evalwindow.model import Tier
from workers.groups import kill_group, spawn

log = logging.getLogger(__name__)

GRACE_S = 30.0  # for handing shards back after SIGTERM
PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # before a restart, the more often it died
STEADY_S = 60.0  # a run this long begins a new series


@dataclass(frozen=True, kw_only=True)
class ConsumerPlan:
    """Which queues a consumer reads, and how wide."""

    tier: Tier
    pool: str
    queues: tuple[str, ...]
    threads: int

    @classmethod
    def of(cls, tier: Tier, *, pool: str, config: Config) -> ConsumerPlan:
        """The consumer of a pool's lane; it also takes shards of API models, which need no GPU."""
        has_api = any(isinstance(model, ApiModel) for model in config.models.values())
        pools = (pool, API_POOL) if has_api else (pool,)
        queues = tuple(f"{tier}.{name}" for name in pools)
        return cls(tier=tier, pool=pool, queues=queues, threads=config.lanes.of(tier).consumers)

    def command(self, *, log_level: str) -> list[str]:
        line = [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", ",".join(self.queues)]
        line += ["-P", "threads", "-c", str(self.threads), "-l", log_level]
        line += ["--without-gossip", "--without-mingle", "--without-heartbeat"]  # SQL says who works; nobody hears them
        return [*line, "-n", f"{self.tier}.{self.pool}.{os.getpid()}@%h"]


class Consumer:
    """Runs a command again whenever it ends, until it is stopped."""

    def __init__(self, name: str, command: Sequence[str], *, environment: Mapping[str, str]) -> None:
        self.name, self._command, self._environment = name, command, environment
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._deaths = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def keep(self) -> None:
        """Returns after `stop`."""
        while not self._stopping:
            started = time.monotonic()
            self._process = await spawn(self._command, environment=self._environment)
            if self._stopping:  # told while it was being started
                self._terminate()
            log.info("%s: pid %s", self.name, self._process.pid)
            status = await self._process.wait()
            kill_group(self._process.pid)
            if not self._stopping:
                await self._pause(status, ran_s=time.monotonic() - started)

    def restart(self) -> None:
        """End it gently; `keep` starts a new one, with new code."""
        self._deaths = 0
        self._terminate()

    async def stop(self) -> None:
        """SIGTERM, and after a grace the whole group."""
        self._stopping = True
        self._terminate()
        if self._process is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), GRACE_S)
            kill_group(self._process.pid)

    def _terminate(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.terminate()

    async def _pause(self, status: int, *, ran_s: float) -> None:
        self._deaths = 1 if ran_s > STEADY_S else self._deaths + 1
        pause = PAUSES_S[min(self._deaths, len(PAUSES_S)) - 1]
        log.warning("%s ended with status %s; starting it again in %.0f s", self.name, status, pause)
        await asyncio.sleep(pause)
