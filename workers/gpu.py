"""The GPU unit: one warm engine, its governor and its two Celery consumers. `python -m workers.gpu --pool warm`

SIGTERM, SIGINT  drain and end: consumers hand their shards back, the engine finishes what is in flight
SIGHUP           replace the engine: read evalwindow.yaml again, start the new one, switch over, drain the old one
SIGUSR1          restart the consumers (new worker code); the engine stays
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext

from evalwindow.config import Config
from evalwindow.config_file import read_config
from evalwindow.engines.flock import FileLock
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import EngineRecord
from evalwindow.errors import Conflict, EvalwindowError, UnknownName
from evalwindow.lanes.calibration import Calibration
from evalwindow.lanes.limits import LaneLimits
from evalwindow.lanes.server import GovernorServer
from evalwindow.model import Tier
from evalwindow.settings import Settings, read_settings
from evalwindow.store import Store
from workers.consumer import Consumer, ConsumerPlan
from workers.enginehost import EngineHost, EnginePlan
from workers.groups import Group
from workers.heartbeat import Heartbeat

log = logging.getLogger("workers.gpu")

HEALTH_EVERY_S = 5.0
UNHEALTHY_AFTER = 12  # failed looks in a row
PAUSES_S = (0.0, 2.0, 5.0, 15.0, 60.0)  # between starts of an engine that does not get ready


class Unit:
    """Keeps one engine ready and its consumers running, until it is cancelled."""

    def __init__(
        self, plan: Callable[[], EnginePlan], consumers: Sequence[Consumer], *, stop_first: bool, patience_s: float
    ) -> None:
        self._plan, self._consumers, self._stop_first = plan, consumers, stop_first
        first = plan()
        self._paths = first.paths
        patience_s = max(patience_s, 2 * first.pool.cold_start_s)
        self._governor = GovernorServer(first.paths.governor, _limits(first, None), patience_s=patience_s)
        self._host: EngineHost | None = None
        self._generation = 0
        self._replacing = asyncio.Event()

    async def run(self) -> None:
        """Ends after SIGTERM or SIGINT, with nothing left running. Raises EvalwindowError if the first start fails."""
        loop, work = asyncio.get_running_loop(), asyncio.create_task(self._work())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)
        loop.add_signal_handler(signal.SIGHUP, self._replacing.set)
        loop.add_signal_handler(signal.SIGUSR1, self._restart_consumers)
        try:
            await asyncio.wait([work])
        finally:
            await self._shut_down()
        if not work.cancelled():
            work.result()

    async def _work(self) -> None:
        await self._governor.start()
        await self._start()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_engine())
            for consumer in self._consumers:
                group.create_task(consumer.keep())

    async def _keep_engine(self) -> None:
        while True:
            if await self._replace_wanted():
                await self._replace()
            else:
                await self._revive()

    async def _replace_wanted(self) -> bool:
        """Wait until the engine has to be replaced (True), or has died or stopped answering (False)."""
        host = self._running()
        wanted = asyncio.create_task(self._replacing.wait())
        ends = [asyncio.create_task(host.exited()), asyncio.create_task(_unhealthy(host))]
        try:
            await asyncio.wait([wanted, *ends], return_when=asyncio.FIRST_COMPLETED)
            return not any(task.done() for task in ends)
        finally:
            for task in (wanted, *ends):
                task.cancel()

    async def _start(self) -> None:
        self._generation += 1
        begun = time.monotonic()
        plan = self._plan()
        host, record = await EngineHost.launch(plan, generation=self._generation)
        self._host = host
        self._publish(host, record)
        self._governor.open(_limits(plan, record.calibration), engine=record.info.model_digest)
        log.info("engine of pool %s is ready after %.1f s", self._paths.pool, time.monotonic() - begun)

    async def _revive(self) -> None:
        """Start again after the engine's death; consumers wait."""
        self._away()
        log.error("engine of pool %s died; log: %s", self._paths.pool, self._paths.log)
        await self._running().kill()
        await self._start_until_ready()

    async def _start_until_ready(self) -> None:
        tries = 0
        while True:
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            try:
                return await self._start()
            except EvalwindowError as error:
                tries += 1
                log.error("%s", error)

    async def _replace(self) -> None:
        self._replacing.clear()
        old = self._running()
        if self._stop_first:
            self._away()
            await old.drain()
            return await self._start_until_ready()
        try:
            await self._start()
        except EvalwindowError as error:
            log.error("the engine was not replaced: %s", error)
            return None
        return await old.drain()

    def _publish(self, host: EngineHost, record: EngineRecord) -> None:
        """From here on new connections reach this engine."""
        link = self._paths.socket
        temporary = link.with_name(link.name + ".new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(host.socket.name)
        temporary.replace(link)
        record.write(self._paths.record)

    def _away(self) -> None:
        """No engine is ready: prompts wait."""
        self._governor.shut()
        self._paths.record.unlink(missing_ok=True)

    def _running(self) -> EngineHost:
        if self._host is None:
            raise RuntimeError("no engine was started")
        return self._host

    def _restart_consumers(self) -> None:
        for consumer in self._consumers:
            consumer.restart()

    async def _shut_down(self) -> None:
        self._away()
        await asyncio.gather(*(consumer.stop() for consumer in self._consumers))
        if self._host is not None:
            await self._host.drain()
        await self._governor.stop()
        self._paths.socket.unlink(missing_ok=True)


def _limits(plan: EnginePlan, calibration: Calibration | None) -> LaneLimits:
    return LaneLimits.of(plan.lanes, plan.pool, calibration)


async def _unhealthy(host: EngineHost) -> None:
    """Returns when the engine has not answered for a minute."""
    failures = 0
    while failures < UNHEALTHY_AFTER:
        await asyncio.sleep(HEALTH_EVERY_S)
        failures = 0 if await host.answers_health() else failures + 1


def end_leftovers(paths: EnginePaths) -> None:
    """End the engines of a predecessor that was killed before it could."""
    for path in paths.processes():
        ended = Group.read(path).end()
        if ended:
            log.warning("ended %s processes of an earlier engine of pool %s: %s", len(ended), paths.pool, ended)
        path.unlink(missing_ok=True)


def consumers_of(pool: str, *, config: Config, settings: Settings) -> list[Consumer]:
    plans = [ConsumerPlan.of(tier, pool=pool, config=config) for tier in Tier]
    return [
        Consumer(f"{plan.tier} consumer", plan.command(log_level=settings.log_level), environment=os.environ)
        for plan in plans
    ]


def serve(arguments: argparse.Namespace) -> None:
    """Run the unit. Raises EvalwindowError that says why it could not."""
    settings = read_settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    config = read_config(settings.config)
    if arguments.pool not in config.pools:
        raise UnknownName("pool", arguments.pool, config.pools, where=str(settings.config))
    paths = EnginePaths(home=settings.home.resolve(), pool=arguments.pool)
    paths.make()
    lock = FileLock(paths.lock)
    if not lock.try_lock():
        raise Conflict(
            f"another unit serves pool {arguments.pool!r} from {settings.home}; give each its own EVALWINDOW_HOME"
        )
    end_leftovers(paths)
    consumers = [] if arguments.engine_only else consumers_of(arguments.pool, config=config, settings=settings)
    asyncio.run(_run(arguments, settings=settings, consumers=consumers))


async def _run(arguments: argparse.Namespace, *, settings: Settings, consumers: Sequence[Consumer]) -> None:
    def plan() -> EnginePlan:
        return EnginePlan.of(arguments.pool, config=read_config(settings.config), home=settings.home)

    async with _heartbeat(arguments.pool, settings=settings) if consumers else nullcontext():
        unit = Unit(plan, consumers, stop_first=arguments.stop_first, patience_s=settings.engine_patience_s)
        await unit.run()


@asynccontextmanager
async def _heartbeat(pool: str, *, settings: Settings) -> AsyncIterator[None]:
    """Signs of life inside the block, from before the engine is ready."""
    record = EnginePaths(home=settings.home.resolve(), pool=pool).record
    worker = f"{socket.gethostname()}:{os.getpid()}"
    heartbeat = Heartbeat(Store(settings.database_url), pool=pool, worker=worker, record=record)
    beating = asyncio.create_task(heartbeat.keep())
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.wait([beating])
        await heartbeat.end()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="workers.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pool", required=True, help="a pool of evalwindow.yaml")
    parser.add_argument("--engine-only", action="store_true", help="no consumers: for tests and benchmarks")
    parser.add_argument(
        "--stop-first", action="store_true", help="SIGHUP drains the old engine before it starts the new one"
    )
    try:
        serve(parser.parse_args(argv))
    except EvalwindowError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
