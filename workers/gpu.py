"""The GPU unit: one warm engine, its governor and its two Celery consumers. `python -m workers.gpu --pool warm`

SIGTERM, SIGINT  drain and end: consumers hand their shards back, the engine finishes what is in flight
SIGHUP           replace the engine: read evalwindow.yaml again, start the new one, switch over, drain the old one;
                 `evalwindow pools roll` does so in all units of a pool, one after another
SIGUSR1          restart the consumers (new worker code); the engine stays
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

from evalwindow.config import Config
from evalwindow.config_file import read_config
from evalwindow.engines.flock import FileLock
from evalwindow.engines.paths import EnginePaths
from evalwindow.errors import Conflict, EvalwindowError, UnknownName
from evalwindow.model import Tier
from evalwindow.processes import worker_name
from evalwindow.settings import Settings, read_settings
from evalwindow.store import Store
from workers.consumer import Consumer, ConsumerPlan
from workers.enginehost import EnginePlan
from workers.groups import Group
from workers.heartbeat import Heartbeat
from workers.rest import Calendar
from workers.serving import Serving
from workers.turns import Turns
from workers.unit import Unit

log = logging.getLogger("workers.gpu")


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
    config = _config(settings, pool=arguments.pool)
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


def _config(settings: Settings, *, pool: str) -> Config:
    config = read_config(settings.config)
    if pool not in config.pools:
        raise UnknownName("pool", pool, config.pools, where=str(settings.config))
    return config


async def _run(arguments: argparse.Namespace, *, settings: Settings, consumers: Sequence[Consumer]) -> None:
    pool: str = arguments.pool

    def plan() -> EnginePlan:
        now = time.time()
        return EnginePlan.of(pool, config=_config(settings, pool=pool), home=settings.home, read_at=now)

    serving = Serving(plan(), patience_s=settings.engine_patience_s)
    async with _in_the_store(serving, pool=pool, settings=settings) if consumers else nullcontext() as turns:
        await Unit(
            serving,
            consumers,
            plan=plan,
            calendar=Calendar(settings.config, pool=pool),
            turns=turns,
            stop_first=arguments.stop_first,
        ).run()


@asynccontextmanager
async def _in_the_store(serving: Serving, *, pool: str, settings: Settings) -> AsyncIterator[Turns]:
    """Signs of life inside the block, from before the engine is ready, and turns in the pool's rollouts."""
    store, worker = Store(settings.database_url), worker_name(os.getpid())
    heartbeat = Heartbeat(store, serving, pool=pool, worker=worker)
    turns = Turns(store, pool=pool, worker=worker)
    tasks = [asyncio.create_task(heartbeat.keep()), asyncio.create_task(turns.listen())]
    try:
        yield turns
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        await heartbeat.end()
        await asyncio.to_thread(store.close)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="workers.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pool", required=True, help="a pool of evalwindow.yaml")
    parser.add_argument("--engine-only", action="store_true", help="no consumers: for tests and benchmarks")
    parser.add_argument(
        "--stop-first",
        action="store_true",
        help="when the model is changed, end the old engine before the new one starts",
    )
    try:
        serve(parser.parse_args(argv))
    except EvalwindowError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
