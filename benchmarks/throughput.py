"""500 prompts through everything (API, SQL, Celery, engine, scoring) against offline `vllm.LLM.chat`, in one run."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from benchmarks.bench_stack import POOL, THREADS, Usage, bench_stage, usage
from benchmarks.models import write_mid_model
from benchmarks.table import table
from demo.walkthrough.stage import ROOT, Stage
from evalwindow.config import Limits
from evalwindow.model import Candidate
from evalwindow.report.document import RunDocument
from evalwindow.suites import Suite, load_suite

PATIENCE_S = 1200.0
TOKENS = {"tiny": 48, "mid": 64}  # of output at most
AIMS = {"tiny": "aim: under 5 ms of overhead a sample", "mid": "aim: at least 0.90"}


async def measure(size: str) -> None:
    """`size`: tiny (the demo's model: shows overhead) or mid (39 M random parameters: shows the ratio)."""
    with tempfile.TemporaryDirectory(prefix="ewb-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # embedded PostgreSQL runs as a user of its own under root
        model = _model(size, home)
        suite = write_bench_suite(home / "suites", max_tokens=TOKENS[size])
        offline = await _offline(model, suite, job=home / "job.json")
        run, used = await _served(home / "stack", model=model, suite=suite)
    print(_report(size, offline=offline, run=run, used=used, samples=len(suite.samples)), flush=True)


def _model(size: str, home: Path) -> Path:
    tiny = ROOT / "demo/models/baseline"
    return tiny if size == "tiny" else write_mid_model(home / "mid", tokenizer=tiny)


def write_bench_suite(folder: Path, *, max_tokens: int) -> Suite:
    """The demo's 500 prompts under the name "bench"."""
    folder.mkdir()
    data = ROOT / "suites/data/demo-regression.jsonl"
    (folder / "bench.jsonl").write_bytes(data.read_bytes())
    document = {
        "suite": "bench",
        "tier": "regression",
        "dataset": {"path": "bench.jsonl"},
        "sampling": {"max_tokens": max_tokens},
        "scorers": ["exact"],
    }
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_suite(path, Limits())


async def _offline(model: Path, suite: Suite, *, job: Path) -> dict[str, float]:
    candidate = Candidate(model="bench")
    prompts = [[vars(message) for message in suite.render(sample, candidate)] for sample in suite.samples]
    sampling = suite.sampling(candidate, 0)
    engine = {
        "model": str(model),
        "dtype": POOL["dtype"],
        "max_model_len": POOL["max_model_len"],
        "max_num_seqs": POOL["max_num_seqs"],
        "enforce_eager": True,
        "kv_cache_memory_bytes": int(POOL["arguments"][-1]),
    }
    parameters = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens, "seed": sampling.seed}
    job.write_text(json.dumps({"engine": engine, "sampling": parameters, "prompts": prompts}))
    return await _in_a_process(job)


async def _in_a_process(job: Path) -> dict[str, float]:
    environment = {**os.environ, **POOL["environment"], "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.offline",
        str(job),
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    lines = [line for line in out.decode().splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"the offline run failed:\n{err.decode()[-2000:]}")
    result: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


async def _served(home: Path, *, model: Path, suite: Suite) -> tuple[RunDocument, Usage]:
    async with bench_stage(home, model=model, suites=home.parent / "suites") as stage:
        await _run(stage, sampling={"max_tokens": 1})  # every process has done its first time
        before = usage(stage)
        run = await _run(stage, sampling={})
        return run, usage(stage).since(before)


async def _run(stage: Stage, *, sampling: dict[str, Any]) -> RunDocument:
    candidate = {"model": "bench", "sampling": sampling}
    accepted = await stage.client.submit({"suite": "bench", "candidate": candidate, "use_cache": False})
    return await stage.client.wait(accepted.id, timeout_s=PATIENCE_S)


def _report(size: str, *, offline: dict[str, float], run: RunDocument, used: Usage, samples: int) -> str:
    if run.summary is None or run.started_at is None or run.concluded_at is None:
        raise RuntimeError(f"run {run.id} ended as {run.state}")
    whole = (run.concluded_at - run.created_at).total_seconds()
    working = (run.concluded_at - run.started_at).total_seconds()
    rows = [
        [
            "offline LLM.chat",
            f"{offline['seconds']:.2f} s",
            f"{offline['output_tokens'] / offline['seconds']:.0f}",
            "1",
        ],
        _row("evalwindow, first claim to verdict", working, run.summary.output_tokens, offline),
        _row("evalwindow, submission to verdict", whole, run.summary.output_tokens, offline),
    ]
    head = ["500 prompts through", "wall", "output tokens/s", "ratio"]
    title = f"Throughput, {size} model ({AIMS[size]}); engine with {THREADS} thread in both"
    overhead = 1e3 * (working - offline["seconds"]) / samples
    costs = [
        ["wall beyond offline", f"{overhead:.1f} ms"],
        ["CPU of web, dispatcher and consumers", f"{1e3 * used.own_cpu_s / samples:.1f} ms"],
        ["CPU of the engine", f"{1e3 * used.engine_cpu_s / samples:.1f} ms"],
        ["Redis, both ways", f"{used.redis_bytes / samples:.0f} bytes"],
        ["SQL transactions", f"{used.sql_transactions / samples:.3f}"],
        ["SQL, written to the log", f"{used.wal_bytes / samples:.0f} bytes"],
    ]
    return table(title, head, rows) + "\n" + table(f"Overhead a sample, {size} model", ["what", "a sample"], costs)


def _row(name: str, seconds: float, tokens: int, offline: dict[str, float]) -> list[str]:
    rate = tokens / seconds
    ratio = rate / (offline["output_tokens"] / offline["seconds"])
    return [name, f"{seconds:.2f} s", f"{rate:.0f}", f"{ratio:.2f}"]
