"""From GitHub's webhook to the verdict: a 10-prompt smoke on an idle warm pool, and where the time goes.

With the demo's model it is the demo's smoke; other models answer nothing rightly, and get one that passes all the same.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg
import yaml
from sqlalchemy import make_url

from benchmarks.bench_stack import sized_stage, workshop
from benchmarks.bench_suites import write_smoke_suite
from benchmarks.sizes import SIZES, Size
from benchmarks.table import ms, p50_p95, table
from demo.walkthrough.pulls import CONFIG, Pull, open_pull
from demo.walkthrough.stage import ROOT, TEAM, Stage
from evalwindow.config import Config, Limits, Pool, Team, WarmModel
from evalwindow.engines.vllm import VllmEngine
from evalwindow.model import Candidate, CompletionRequest, Tier
from evalwindow.store import Store
from evalwindow.suites import Suite, load_suite

WARM_UPS = 2
SETTLED_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Split:
    """Seconds of one pull request, one after another."""

    admission: float  # webhook received -> run and shard written
    queue: float  # -> claimed by the consumer
    engine: float  # the slowest of the ten prompts, all in flight at once
    scoring: float  # scoring, recording, the gate: claim -> verdict without the engine
    publish: float  # verdict -> check run completed on GitHub
    total: float

    @classmethod
    def names(cls) -> list[str]:
        return list(cls.__dataclass_fields__)


async def measure(size: str = "tiny", *, smokes: int = 20) -> None:
    """`smokes` pull requests, one after another."""
    chosen = SIZES[size]
    with workshop() as home:
        suite = _suite(home / "suites", chosen)
        async with sized_stage(home / "stack", chosen, suites=home / "suites") as stage:
            numbers = range(1, smokes + WARM_UPS + 1)
            splits = [await _one(stage, number, suite=suite.name) for number in numbers][WARM_UPS:]
            bare = [await _bare(stage, suite, chosen, seed=seed) for seed in range(smokes + WARM_UPS)][WARM_UPS:]
    print(_report(splits, bare), flush=True)


def _suite(folder: Path, size: Size) -> Suite:
    """The demo's smoke suite alone."""
    if size.name != "tiny":
        return write_smoke_suite(folder, max_tokens=size.smoke_tokens)
    (folder / "data").mkdir(parents=True)
    shutil.copy(ROOT / "suites/demo-smoke.yaml", folder)
    shutil.copy(ROOT / "suites/data/demo-smoke.jsonl", folder / "data")
    return load_suite(folder / "demo-smoke.yaml", Limits())


async def _one(stage: Stage, number: int, *, suite: str) -> Split:
    """One pull request; its seed is its number, so that the result cache knows nothing."""
    wish = {"suites": [suite], "candidate": {"model": "bench", "sampling": {"seed": number}}}
    pull = Pull(number=number, title="bench", files={CONFIG: yaml.safe_dump(wish).encode()})
    told = await open_pull(stage, pull)
    await asyncio.sleep(SETTLED_S)  # GitHub knows of the check a moment before its row does
    return await asyncio.to_thread(_split, stage, told.check["external_id"], pull)


def _split(stage: Stage, run_id: str, pull: Pull) -> Split:
    store = Store(stage.stack.database_url)
    try:
        run, results = store.run(run_id), store.results(run_id)
        [check] = [delivery for delivery in store.deliveries(run_id) if delivery.channel == "check"]
    finally:
        store.close()
    received = _received_at(stage.stack.database_url, pull.sha)
    moments = (run.created_at, run.started_at, run.concluded_at, check.sent_at)
    if None in moments:
        raise RuntimeError(f"run {run_id} is not done: {moments}")
    created, started, concluded, sent = (moment.timestamp() for moment in moments if moment is not None)
    engine = max(result.latency_s for result in results)
    return Split(
        admission=created - received,
        queue=started - created,
        engine=engine,
        scoring=concluded - started - engine,
        publish=sent - concluded,
        total=sent - received,
    )


def _received_at(url: str, sha: str) -> float:
    parsed = make_url(url)
    dsn = f"host='{parsed.query['host']}' user={parsed.username} dbname={parsed.database}"
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT received_at FROM event WHERE payload #>> '{pull_request,head,sha}' = %s", [sha]
        ).fetchone()
    if row is None:
        raise RuntimeError(f"no event for {sha}")
    return float(row[0].timestamp())


async def _bare(stage: Stage, suite: Suite, size: Size, *, seed: int) -> float:
    """The limit: the same ten prompts straight into the same engine, seconds until the last answer."""
    config = Config(
        pools={"warm": Pool(model="served", **{**size.pool, "arguments": tuple(size.pool["arguments"])})},
        models={"bench": WarmModel(engine="vllm", pool="warm")},
        teams={TEAM: Team()},
    )
    engine = VllmEngine(home=stage.stack.home, pool="warm", config=config, artifact=lambda digest: {})
    candidate = Candidate(model="bench", sampling={"seed": 10_000 + seed})
    requests = [
        CompletionRequest(
            model="bench",
            messages=suite.render(sample, candidate),
            sampling=suite.sampling(candidate, 0),
            tier=Tier.SMOKE,
        )
        for sample in suite.samples
    ]
    try:
        await engine.complete(requests[0])  # opens the connection
        begun = time.perf_counter()
        await asyncio.gather(*(engine.complete(request) for request in requests))
        return time.perf_counter() - begun
    finally:
        await engine.aclose()


def _report(splits: list[Split], bare: list[float]) -> str:
    limit = p50_p95(bare)
    rows = []
    for name in Split.names():
        p50, p95 = p50_p95([getattr(split, name) for split in splits])
        rows.append([name, ms(p50), ms(p95), f"{p50 / limit[0]:.2f}"])
    rows.append(["the same prompts straight to the engine", ms(limit[0]), ms(limit[1]), "1"])
    title = f"Webhook to check run, 10 prompts, idle warm engine, {len(splits)} pull requests"
    return table(title, ["part", "p50", "p95", "p50 / engine alone"], rows)
