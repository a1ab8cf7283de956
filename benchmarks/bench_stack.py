"""The whole stack over a config of the benchmark's own, and what its processes use."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import redis
import yaml
from sqlalchemy import make_url

from demo.github_standin import Standin
from demo.walkthrough.stage import REPO, TEAM, Stage, new_secret, on_stage, stack_running, standin_running

THREADS = "1"  # of the engine, in both arms: as beside a GPU, what surrounds it has a core of its own
POOL: Mapping[str, Any] = {
    "dtype": "float32",
    "max_model_len": 2048,
    "max_num_seqs": 64,
    "arguments": ["--enforce-eager", "--kv-cache-memory-bytes", str(512 * 2**20)],
    "environment": {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": THREADS, "TORCH_COMPILE_DISABLE": "1"},
}


@asynccontextmanager
async def bench_stage(
    home: Path, *, model: Path, suites: Path, windows: Mapping[str, Any] | None = None
) -> AsyncIterator[Stage]:
    """Everything running, ready and warm, with one pool that serves `model` under the name "bench".

    With `windows` Airflow runs too.
    """
    home.mkdir(parents=True, exist_ok=True)
    config = home / "evalwindow.yaml"
    document = {
        "suites": str(suites.resolve()),
        "pools": {"warm": {"model": str(model.resolve()), **POOL}},
        "models": {"bench": {"engine": "vllm", "pool": "warm"}},
        "teams": {TEAM: {"repos": [REPO]}},
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


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What was used up to a moment."""

    own_cpu_s: float  # web, dispatcher, consumers, supervisor
    engine_cpu_s: float
    redis_bytes: int  # in and out, on the wire
    sql_transactions: int
    wal_bytes: int  # what PostgreSQL wrote down

    def since(self, before: Usage) -> Usage:
        return Usage(**{name: value - getattr(before, name) for name, value in vars(self).items()})


def usage(stage: Stage) -> Usage:
    own, engine = _cpu(stage)
    transactions, wal = _sql(stage.stack.database_url)
    return Usage(
        own_cpu_s=own,
        engine_cpu_s=engine,
        redis_bytes=_redis_bytes(stage.stack.redis_url),
        sql_transactions=transactions,
        wal_bytes=wal,
    )


def _cpu(stage: Stage) -> tuple[float, float]:
    """CPU seconds of our own processes and of the engine's, by what their command lines say."""
    own = engine = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            line, times = " ".join(process.cmdline()), process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        if "vllm" in line or "EngineCore" in line:
            engine += times.user + times.system
        elif "evalwindow.web" in line or "workers." in line:
            own += times.user + times.system
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
