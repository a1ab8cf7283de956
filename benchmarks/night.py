"""What Airflow adds to a night: 500 prompts through the DAG against the same 500 submitted to the API, in one run."""

from __future__ import annotations

import asyncio
from typing import Any

from benchmarks.bench_stack import bench_stage, workshop
from benchmarks.bench_suites import write_bench_suite
from benchmarks.sizes import SIZES
from benchmarks.table import table
from demo.walkthrough.stage import TEAM, Stage
from evalwindow.airflow_api import AirflowApi, DagRun, TaskInstance
from evalwindow.report.document import RunDocument
from evalwindow.store import Store

DAG = "nightly_regression"
PATIENCE_S = 1200.0
WINDOW: dict[str, Any] = {
    "cron": "0 0 1 1 *",
    "duration_minutes": 60,
    "team": TEAM,
    "suites": ["bench"],
    "models": ["bench"],
}


async def measure(size: str) -> None:
    """`size`: tiny or mid, as for the throughput."""
    chosen = SIZES[size]
    with workshop() as home:
        model = chosen.write(home / "model")
        write_bench_suite(home / "suites", max_tokens=chosen.tokens)
        windows = {"nightly": WINDOW}
        async with bench_stage(home / "stack", model=model, suites=home / "suites", windows=windows) as stage:
            print(await _compare(stage, size), flush=True)


async def _compare(stage: Stage, size: str) -> str:
    airflow = stage.stack.airflow
    assert airflow is not None
    api = await asyncio.to_thread(airflow.api)
    await asyncio.to_thread(api.await_dag, DAG, timeout_s=PATIENCE_S)
    await _submitted(stage, sampling={"max_tokens": 1})  # every process has done its first time
    direct = await _submitted(stage, sampling={})
    ended, tasks = await asyncio.to_thread(_night, api)
    night = await stage.client.run(await asyncio.to_thread(_run_of_night, stage))
    return _report(size, direct=direct, night=night, ended=ended, tasks=tasks)


async def _submitted(stage: Stage, *, sampling: dict[str, Any]) -> RunDocument:
    candidate = {"model": "bench", "sampling": sampling}
    accepted = await stage.client.submit({"suite": "bench", "candidate": candidate, "use_cache": False})
    return await stage.client.wait(accepted.id, timeout_s=PATIENCE_S)


def _night(api: AirflowApi) -> tuple[DagRun, tuple[TaskInstance, ...]]:
    run_id = api.trigger(DAG, conf={"window_minutes": 60})
    return api.wait(DAG, run_id, timeout_s=PATIENCE_S), api.task_instances(DAG, run_id)


def _run_of_night(stage: Stage) -> str:
    store = Store(stage.stack.database_url)
    try:
        (entry,) = store.entries(store.nights(1)[0].id)
    finally:
        store.close()
    if entry.run_id is None:
        raise RuntimeError(f"the night ran nothing: {entry.state}, {entry.note}")
    return entry.run_id


def _report(
    size: str, *, direct: RunDocument, night: RunDocument, ended: DagRun, tasks: tuple[TaskInstance, ...]
) -> str:
    if night.summary is None or night.summary.cache_hits or ended.state != "success":
        raise RuntimeError(f"the night is no measurement: {ended.state}, {night.summary}")
    alone, working, whole = _took(direct), _took(night), _lasted(ended)
    rows = [
        ["submitted to the API, to the verdict", f"{alone:.1f} s", "1"],
        ["the night's run, to the verdict", f"{working:.1f} s", f"{working / alone:.2f}"],
        ["the whole DAG, plan to mail", f"{whole:.1f} s", f"{whole / alone:.2f}"],
    ]
    in_order = sorted(tasks, key=lambda task: str(task.start_date))
    spent = [[task.task_id, f"{_lasted(task):.1f} s"] for task in in_order]
    title = f"A night of 500 prompts through Airflow, {size} model; Airflow adds {whole - working:.1f} s"
    return (
        table(title, ["500 prompts", "wall", "ratio"], rows)
        + "\n"
        + table("Its tasks, waiting included", ["task", "wall"], spent)
    )


def _took(run: RunDocument) -> float:
    assert run.concluded_at is not None
    return (run.concluded_at - run.created_at).total_seconds()


def _lasted(part: DagRun | TaskInstance) -> float:
    if part.start_date is None or part.end_date is None:
        return 0.0
    return (part.end_date - part.start_date).total_seconds()
