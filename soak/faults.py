"""What a soak does to the stack: each fault with how it begins, how long it lasts, and how it is mended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import psutil
import psycopg
from redis import Redis
from sqlalchemy import make_url

from demo.github_standin import Failure
from soak.stage import Stage

ALWAYS = 10**9
CUTS = 8


def nothing(stage: Stage) -> None:
    """What mends itself, or is started again by its keeper."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """`begin` and `mend` may block."""

    name: str
    begin: Callable[[Stage], None]
    mend: Callable[[Stage], None] = nothing
    lasts_s: float = 0.0
    needs_gpu: bool = False

    @property
    def what(self) -> str:
        """What it is done to."""
        return self.name.partition(":")[0]


def kill(kind: str, *, every: bool = False) -> Callable[[Stage], None]:
    """kill -9 of one process of that kind, or of all."""
    return lambda stage: _signal(_some(stage.pids(kind), every=every), signal.SIGKILL)


def _some(pids: list[int], *, every: bool) -> list[int]:
    """The one that has lived longest, or all."""
    return pids if every else sorted(pids, key=_age)[:1]


def _age(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return time.time()


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _kill_consumer(stage: Stage) -> None:
    _signal(_some(stage.consumers(), every=False), signal.SIGKILL)


def _drain_consumers(stage: Stage) -> None:
    """A spot notice: of the whole unit, where there is one."""
    _signal(stage.pids("gpu") or stage.consumers(), signal.SIGTERM)


def _kill_engine(stage: Stage) -> None:
    _signal([process.pid for process in stage.engine_processes()], signal.SIGKILL)


def _hang_engine(stage: Stage) -> None:
    """No token any more; /health doesn't answer either."""
    _signal([process.pid for process in stage.engine_processes()], signal.SIGSTOP)


def _pause(kind: str) -> Callable[[Stage], None]:
    """A machine that stands still: longer than a lease."""
    return lambda stage: _signal(_some(stage.pids(kind), every=False), signal.SIGSTOP)


def _resume(kind: str) -> Callable[[Stage], None]:
    return lambda stage: _signal(stage.pids(kind), signal.SIGCONT)


def _cut_connections(stage: Stage) -> None:
    dsn = make_url(stage.postgres.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(CUTS):
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            time.sleep(0.3)


def _flush(stage: Stage) -> None:
    with Redis.from_url(stage.redis.url) as client:
        client.flushall()


def _github(failure: Failure) -> Callable[[Stage], None]:
    return lambda stage: stage.github.failures.append(Failure(**vars(failure) | {"times": ALWAYS}))


def _github_again(stage: Stage) -> None:
    stage.github.failures.clear()


def _provider(status: int) -> Callable[[Stage], None]:
    return lambda stage: setattr(stage.parrot, "status", status)


def _fill_disk(stage: Stage) -> None:
    """No file of a dispatcher grows any more: neither pages nor logs."""
    _limit_files(stage, 0)


def _make_room(stage: Stage) -> None:
    _limit_files(stage, -1)


def _limit_files(stage: Stage, size: int) -> None:
    for pid in stage.pids("dispatcher"):
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).rlimit(psutil.RLIMIT_FSIZE, (size, -1))


FAULTS: tuple[Fault, ...] = (
    Fault(name="consumer: kill -9", begin=_kill_consumer),
    Fault(name="consumers: SIGTERM (spot notice)", begin=_drain_consumers),
    Fault(name="engine: kill -9", begin=_kill_engine, needs_gpu=True),
    Fault(name="engine: hangs", begin=_hang_engine, needs_gpu=True),
    Fault(name="GPU unit: kill -9", begin=kill("gpu"), needs_gpu=True),
    Fault(name="dispatcher: kill -9 of one", begin=kill("dispatcher")),
    Fault(name="dispatcher: kill -9 of both", begin=kill("dispatcher", every=True)),
    Fault(name="dispatcher: frozen", begin=_pause("dispatcher"), mend=_resume("dispatcher"), lasts_s=8),
    Fault(name="web app: kill -9 of one", begin=kill("web")),
    Fault(name="web app: kill -9 of both", begin=kill("web", every=True)),
    Fault(
        name="Redis: kill -9",
        begin=lambda stage: stage.redis.kill(),
        mend=lambda stage: stage.redis.start(),
        lasts_s=3,
    ),
    Fault(name="Redis: FLUSHALL", begin=_flush),
    Fault(
        name="PostgreSQL: kill -9",
        begin=lambda stage: stage.postgres.kill(),
        mend=lambda stage: stage.postgres.start(),
        lasts_s=3,
    ),
    Fault(name="PostgreSQL: connections cut", begin=_cut_connections),
    Fault(name="GitHub: 500", begin=_github(Failure(status=500)), mend=_github_again, lasts_s=8),
    Fault(
        name="GitHub: 429",
        begin=_github(Failure(status=429, headers={"Retry-After": "3"})),
        mend=_github_again,
        lasts_s=8,
    ),
    Fault(name="GitHub: slow", begin=_github(Failure(delay_s=3)), mend=_github_again, lasts_s=8),
    Fault(
        name="mail server: away",
        begin=lambda stage: stage.mail.stop(),
        mend=lambda stage: stage.mail.start(),
        lasts_s=8,
    ),
    Fault(name="provider: 500", begin=_provider(500), mend=_provider(200), lasts_s=8),
    Fault(name="provider: 429", begin=_provider(429), mend=_provider(200), lasts_s=8),
    Fault(name="provider: hangs", begin=_provider(0), mend=_provider(200), lasts_s=12),
    Fault(name="disk full for pages and logs", begin=_fill_disk, mend=_make_room, lasts_s=8),
)


def faults_for(stage: Stage) -> list[Fault]:
    """Those that can be done to it."""
    return [fault for fault in FAULTS if stage.engine == "tiny" or not fault.needs_gpu]


def mend_all(stage: Stage) -> None:
    """Whatever was hurt is as it was, or will be once its keeper has started it again."""
    for fault in faults_for(stage):
        fault.mend(stage)
