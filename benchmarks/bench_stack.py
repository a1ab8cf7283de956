"""The whole stack over a config of the benchmark's own, and what its processes use."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis
import yaml
from sqlalchemy import make_url

from benchmarks.sizes import SIZES, Size
from benchmarks.sizes import THREADS as THREADS
from demo.github_standin import Standin
from demo.walkthrough.stage import REPO, TEAM, Stage, new_secret, on_stage, stack_running, standin_running
from evalwindow.client import Client
from evalwindow.store import Store

POOL: Mapping[str, Any] = SIZES["mid"].pool
OTHER_TEAM, THIRD_TEAM = "ads", "shop"
Lanes = Mapping[str, Mapping[str, Any]]
#: what the command line of a process holds -> which it is; consumers come before the unit that is their parent
OWN = {
    "evalwindow.web": "web",
    "workers.dispatcher": "dispatcher",
    "workers.app": "consumers",
    "workers.gpu": "GPU unit",
}
#: of a team that submits as fast as it can
UNLIMITED = {"smoke_runs": None, "queued_samples": None, "submissions_per_minute": None}


@asynccontextmanager
async def bench_stage(
    home: Path,
    *,
    model: Path,
    suites: Path,
    windows: Mapping[str, Any] | None = None,
    pool: Mapping[str, Any] = POOL,
    lanes: Mapping[str, Any] | None = None,
) -> AsyncIterator[Stage]:
    """Everything running, ready and warm, with one pool that serves `model` under the name "bench", to three teams.

    The third of them has the quota that is the default, the others have none: they submit as fast as they can.
    `pool` and `lanes` as in evalwindow.yaml. With `windows` Airflow runs too.
    """
    home.mkdir(parents=True, exist_ok=True)
    config = home / "evalwindow.yaml"
    document = {
        "suites": str(suites.resolve()),
        "pools": {"warm": {"model": str(model.resolve()), **pool}},
        "models": {"bench": {"engine": "vllm", "pool": "warm"}},
        "lanes": dict(lanes or {}),
        "teams": {
            TEAM: {"repos": [REPO], "quota": UNLIMITED},
            OTHER_TEAM: {"quota": UNLIMITED},
            THIRD_TEAM: {},
        },
        "windows": dict(windows or {}),
    }
    config.write_text(yaml.safe_dump(document))
    standin, secret = Standin(), new_secret()
    with (
        standin_running(standin) as github_url,
        stack_running(
            home=home,
            config=config,
            github_url=github_url,
            webhook_secret=secret,
            orchestrator=windows is not None,
        ) as stack,
    ):
        async with on_stage(stack, standin, webhook_secret=secret) as stage:
            yield stage


@asynccontextmanager
async def sized_stage(
    home: Path, size: Size, *, suites: Path, pool: Mapping[str, Any] | None = None, lanes: Lanes | None = None
) -> AsyncIterator[Stage]:
    """A bench_stage for a size; `pool` and `lanes` are laid over the size's own."""
    ours = {name: {**lane, **(lanes or {}).get(name, {})} for name, lane in size.lanes.items()}
    wanted = {**size.pool, **(pool or {})}
    model = size.write(home.parent / "model")
    async with bench_stage(home, model=model, suites=suites, pool=wanted, lanes=ours) as stage:
        yield stage


@asynccontextmanager
async def client_of(stage: Stage, team: str) -> AsyncIterator[Client]:
    """Another team's client."""
    with closing(Store(stage.stack.database_url)) as store:
        token = store.add_token(team)
    async with Client.open(stage.stack.base_url, token) as client:
        yield client


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder that goes at the end, open to the embedded PostgreSQL, which under root runs as a user of its own."""
    with tempfile.TemporaryDirectory(prefix="ewb-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        yield home


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was used up to a moment."""

    cpu_s: Mapping[str, float]  # by process of ours
    engine_cpu_s: float
    redis_bytes: int  # in and out, on the wire
    sql_transactions: int
    wal_bytes: int  # what PostgreSQL wrote down

    def since(self, before: Usage) -> Usage:
        return Usage(
            cpu_s={name: seconds - before.cpu_s.get(name, 0.0) for name, seconds in self.cpu_s.items()},
            engine_cpu_s=self.engine_cpu_s - before.engine_cpu_s,
            redis_bytes=self.redis_bytes - before.redis_bytes,
            sql_transactions=self.sql_transactions - before.sql_transactions,
            wal_bytes=self.wal_bytes - before.wal_bytes,
        )


def usage(stage: Stage) -> Usage:
    own, engine = _cpu()
    transactions, wal = _sql(stage.stack.database_url)
    return Usage(
        cpu_s=own,
        engine_cpu_s=engine,
        redis_bytes=_redis_bytes(stage.stack.redis_url),
        sql_transactions=transactions,
        wal_bytes=wal,
    )


def _cpu() -> tuple[dict[str, float], float]:
    """CPU seconds of our own processes by name, and of the engine's, by what their command lines say."""
    own, engine = dict.fromkeys(OWN.values(), 0.0), 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            line, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        name = next((name for sign, name in OWN.items() if sign in line), None)
        if "vllm" in line or "EngineCore" in line:
            engine += times.user + times.system
        elif name is not None:
            own[name] += times.user + times.system
    return own, engine


def _sql(url: str) -> tuple[int, int]:
    parsed = make_url(url)
    dsn = f"host='{parsed.query['host']}' user={parsed.username} dbname={parsed.database}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute(
            "SELECT sum(xact_commit + xact_rollback)::bigint, (pg_current_wal_lsn() - '0/0')::bigint"
            " FROM pg_stat_database"
        ).fetchone()
    if row is None:
        raise RuntimeError("PostgreSQL keeps no statistics")
    return row[0], row[1]


def _redis_bytes(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        info = client.info("stats")
    return int(info["total_net_input_bytes"]) + int(info["total_net_output_bytes"])
