"""500 prompts through everything (API, SQL, Celery, engine, scoring) against offline `vllm.LLM.chat`, in one run.

Offline and served take turns, for machines are noisy: offline, served, offline, served, offline. Each time they are
served twice: alone, and with a smoke of ten prompts every few seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.bench_stack import Usage, sized_stage, usage, workshop
from benchmarks.bench_suites import NIGHT, SMOKE, salted, write_bench_suite, write_smoke_suite
from benchmarks.load import ApiNight, all_through
from benchmarks.runs import MODEL, Taken, take
from benchmarks.sizes import SIZES, THREADS, Size
from benchmarks.statements import counted
from benchmarks.table import ratio, seconds, table
from demo.walkthrough.stage import ROOT, Stage
from evalwindow.model import Candidate
from evalwindow.suites import Suite

AIM = "aim: at least 0.95 alone, 0.90 beside smoke"
AIMS = {"tiny": "little but overhead is left; aim: CPU of our own under 2 ms a sample", "mid": AIM, "8b": AIM}


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds and output tokens of one measurement."""

    seconds: float
    tokens: float

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds


@dataclass(frozen=True, kw_only=True)
class Paces:
    """Each way's measurements, in their order."""

    offline: list[Pace] = field(default_factory=list)
    alone: list[Pace] = field(default_factory=list)  # submission to verdict
    working: list[Pace] = field(default_factory=list)  # the same, from the first claim on
    beside: list[Pace] = field(default_factory=list)  # with smokes; the regression's tokens
    beside_all: list[Pace] = field(default_factory=list)  # the same; the smokes' tokens too
    used: list[Usage] = field(default_factory=list)  # by those alone
    statements: list[int] = field(default_factory=list)  # of SQL, by those alone


async def measure(size: str, *, rounds: int = 2, prompts: int = 500, gap_s: float | None = None) -> None:
    """`size`: tiny shows overhead, mid and 8b the ratio. Served `rounds` times alone and beside smokes."""
    chosen, paces = SIZES[size], Paces()
    with workshop() as home:
        suite = write_bench_suite(home / "suites", max_tokens=chosen.tokens, prompts=prompts)
        write_smoke_suite(home / "suites", max_tokens=chosen.smoke_tokens)
        for number in range(rounds):
            paces.offline.append(await _offline(chosen, suite, home=home, salt=_salt(chosen, 3 * number)))
            salts = _salt(chosen, 3 * number + 1), _salt(chosen, 3 * number + 2)
            await _served(chosen, paces, home=home / f"stack{number}", salts=salts, gap_s=gap_s or chosen.gap_s)
        paces.offline.append(await _offline(chosen, suite, home=home, salt=_salt(chosen, 3 * rounds)))
    print(report(chosen, paces, samples=len(suite.samples), gap_s=gap_s or chosen.gap_s), flush=True)


def _salt(size: Size, number: int) -> str:
    """Nothing may be found in a prefix cache from another measurement; a CPU's blocks are longer than these prompts."""
    return chr(ord("a") + number) if size.gpu else ""


async def _offline(size: Size, suite: Suite, *, home: Path, salt: str) -> Pace:
    candidate = Candidate(model=MODEL, template=salted(salt) if salt else None)
    prompts = [[vars(message) for message in suite.render(sample, candidate)] for sample in suite.samples]
    sampling = suite.sampling(candidate, 0)
    engine = {"model": str(size.write(home / "model")), **size.offline}
    parameters = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens, "seed": sampling.seed}
    job = home / "job.json"
    job.write_text(json.dumps({"engine": engine, "sampling": parameters, "prompts": prompts}))
    result = await _in_a_process(job, environment=size.environment)
    print(f"  offline: {result['seconds']:.2f} s", flush=True)
    return Pace(seconds=result["seconds"], tokens=result["output_tokens"])


async def _in_a_process(job: Path, *, environment: Mapping[str, str]) -> dict[str, float]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.offline",
        str(job),
        cwd=ROOT,
        env={**os.environ, **environment, "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    lines = [line for line in out.decode().splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(f"the offline run failed:\n{err.decode()[-2000:]}")
    result: dict[str, float] = json.loads(lines[-1].removeprefix("RESULT "))
    return result


async def _served(size: Size, paces: Paces, *, home: Path, salts: tuple[str, str], gap_s: float) -> None:
    async with sized_stage(home, size, suites=home.parent / "suites") as stage:
        for suite in (NIGHT, SMOKE):  # every process has done its first time
            await take(stage.client, suite, salt="warm", sampling={"max_tokens": 1})
        before = usage(stage)
        with counted(stage.stack.database_url, stage.stack.home / "postgres/log") as asked:
            alone = await take(stage.client, NIGHT, salt=salts[0])
        paces.used.append(usage(stage).since(before))
        paces.statements.append(asked.total)
        paces.alone.append(Pace(seconds=alone.verdict_s, tokens=alone.summary.output_tokens))
        paces.working.append(Pace(seconds=alone.working_s, tokens=alone.summary.output_tokens))
        night, smokes = await _with_smokes(stage, salt=salts[1], gap_s=gap_s)
    inside = sum(smoke.summary.output_tokens for smoke in smokes if smoke.concluded <= night.concluded)
    paces.beside.append(Pace(seconds=night.verdict_s, tokens=night.summary.output_tokens))
    paces.beside_all.append(Pace(seconds=night.verdict_s, tokens=night.summary.output_tokens + inside))
    print(f"  served: {alone.verdict_s:.2f} s alone, {night.verdict_s:.2f} s beside {len(smokes)} smokes", flush=True)


async def _with_smokes(stage: Stage, *, salt: str, gap_s: float) -> tuple[Taken, list[Taken]]:
    smokes: list[Taken] = []

    async def smoke() -> float:
        smokes.append(await take(stage.client, SMOKE))
        return smokes[-1].verdict_s

    night = await ApiNight.begin(stage.client, NIGHT, salt=salt)
    await all_through(night, smoke, gap_s=gap_s, until_left=0)
    return await night.taken(), smokes


def report(size: Size, paces: Paces, *, samples: int, gap_s: float) -> str:
    """Medians, their spread, and ratios of output tokens a second to offline."""
    peer = median(pace.rate for pace in paces.offline)
    rows = [
        _row("offline LLM.chat", paces.offline, peer),
        _row("evalwindow, submission to verdict", paces.alone, peer),
        _row("evalwindow, first claim to verdict", paces.working, peer),
        _row(f"with a smoke every {gap_s:g} s, the regression's tokens", paces.beside, peer),
        _row("the same, all tokens", paces.beside_all, peer),
    ]
    threads = "" if size.gpu else f"; engine with {THREADS} thread in all"
    head = [f"{samples} prompts", "times", "wall", "from - to", "output tokens/s", "ratio", "from - to"]
    title = f"Goodput, {size.name} model ({AIMS[size.name]}){threads}"
    wall = median(pace.seconds for pace in paces.alone) - median(pace.seconds for pace in paces.offline)
    costs = [["wall beyond offline", f"{1e3 * wall / samples:.2f} ms"], *_costs(paces, samples=samples)]
    return table(title, head, rows) + "\n" + table(f"Overhead a sample, {size.name} model", ["what", "a sample"], costs)


def _row(name: str, paces: Sequence[Pace], peer: float) -> list[str]:
    walls, rates = sorted(pace.seconds for pace in paces), sorted(pace.rate for pace in paces)
    spread = f"{seconds(walls[0])} - {seconds(walls[-1])}"
    ratios = f"{ratio(rates[0] / peer)} - {ratio(rates[-1] / peer)}"
    middle = median(rates)
    return [name, str(len(paces)), seconds(median(walls)), spread, f"{middle:.0f}", ratio(middle / peer), ratios]


def _costs(paces: Paces, *, samples: int) -> list[list[str]]:
    """Means over all times."""
    used, count = paces.used, samples * len(paces.used)
    cpu = {name: sum(each.cpu_s[name] for each in used) for name in used[0].cpu_s}
    parts = ", ".join(f"{name} {1e3 * spent / count:.2f}" for name, spent in cpu.items())
    return [
        [f"CPU of our own processes ({parts})", f"{1e3 * sum(cpu.values()) / count:.2f} ms"],
        ["CPU of the engine", f"{1e3 * sum(each.engine_cpu_s for each in used) / count:.2f} ms"],
        ["Redis, both ways", f"{sum(each.redis_bytes for each in used) / count:.0f} bytes"],
        ["SQL statements", f"{sum(paces.statements) / count:.3f}"],
        ["SQL transactions", f"{sum(each.sql_transactions for each in used) / count:.3f}"],
        ["SQL, written to the log", f"{sum(each.wal_bytes for each in used) / count:.0f} bytes"],
    ]
