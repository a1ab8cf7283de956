"""Our arm: `evalwindow submit --wait` against the whole stack."""

from __future__ import annotations

import asyncio
import sys
import time

import psutil

from benchmarks.bench_stack import sized_stage
from benchmarks.peers_clock import one_cpu_s
from benchmarks.peers_job import NAME, Job
from benchmarks.peers_process import Ended, quiet, run_command
from benchmarks.peers_report import Arm
from benchmarks.runs import taken
from demo.walkthrough.stage import Stage
from evalwindow.report.document import RunDocument


async def evalwindow(job: Job) -> tuple[Arm, float]:
    """From submission to verdict, the fastest of the job's rounds; and what the start of the stack took."""
    begun = time.perf_counter()
    async with sized_stage(job.home / "stack", job.size, suites=job.suites) as stage:
        ready_s = time.perf_counter() - begun
        await asyncio.to_thread(_submit, job, stage, "--sampling", "max_tokens=1")
        arms = [await asyncio.to_thread(_once, job, stage) for _ in range(job.rounds)]
    return min(arms, key=lambda arm: arm.work_s), ready_s


def _once(job: Job, stage: Stage) -> Arm:
    before, submitted = _cpu_of_stack(), time.time()
    ended = _submit(job, stage)
    beside_s, engine_s = (after - then for after, then in zip(_cpu_of_stack(), before, strict=True))
    run = taken(RunDocument.model_validate(ended.result), submitted=submitted)
    return Arm(
        name="evalwindow, submission to verdict",
        work_s=run.concluded - run.run.created_at.timestamp(),
        command_s=ended.wall_s,
        beside_cpu_s=beside_s,
        work_cpu_s=beside_s + engine_s,
        command_cpu_s=beside_s + engine_s + ended.cpu_s,
        prompt_tokens=run.summary.prompt_tokens,
        output_tokens=run.summary.output_tokens,
        exact=_exact(run.run),
    )


def _submit(job: Job, stage: Stage, *more: str) -> Ended:
    ours = {"EVALWINDOW_URL": stage.stack.base_url, "EVALWINDOW_TOKEN": stage.token}
    wish = ["--suite", NAME, "--model", NAME, "--no-cache", "--wait", "--json"]
    line = [sys.executable, "-m", "evalwindow.cli", "submit", *wish, *more]
    return run_command(line, environ={**quiet(job.home, job.size.environment), **ours}, log=job.home / "submit.log")


def _cpu_of_stack() -> tuple[float, float]:
    """CPU seconds of everything that this process started: beside the engine, and of the engine."""
    beside = engine = 0.0
    for process in psutil.Process().children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
        if "vllm" in line or "EngineCore" in line:
            engine += one_cpu_s(process)
        else:
            beside += one_cpu_s(process)
    return beside, engine


def _exact(run: RunDocument) -> float:
    assert run.summary is not None
    [metric] = [metric for metric in run.summary.slices[0].metrics if metric.name.startswith("exact")]
    assert metric.value is not None
    return metric.value
