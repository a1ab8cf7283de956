"""Windows that tests start by hand, each with a model of its own whose API a test can hold; and who does the work."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from evalwindow.airflow_api import AirflowApi
from evalwindow.store import Store
from evalwindow.store.rows import EntryRow, NightRow, RunRow
from tests.real.house import Api
from tests.unit.worlds import rows, write_suite

ROOT = Path(__file__).parents[2]
NEVER = "0 0 29 2 *"  # the next one is years away: these nights start when a test says so
SLOTS = 16  # prompts in flight, all windows together
SUITES = {
    "judged": {"samples": 60, "policy": {"margin": 0.1, "promotion": "approval"}},
    "trusted": {"samples": 60, "policy": {"margin": 0.1, "promotion": "automatic"}},
    "held": {"samples": 3},  # of each of three windows: fewer than would keep others from working
    "long": {"samples": 40},
}
WINDOWS: dict[str, dict[str, Any]] = {
    "full": {"suites": ["judged", "trusted"], "mail": [{"to": ["release@example.org"]}]},
    "marked": {"suites": ["held"], "aa": False},
    "cleared": {"suites": ["held"], "aa": False},
    "killed": {"suites": ["held"], "aa": False},
    "short": {"suites": ["long"], "aa": False},
}
MODEL: dict[str, Any] = {"engine": "openai", "model": "parrot", "api_key_env": "PARROT_KEY", "timeout_s": 600}
WORKERS = {
    "dispatcher": ["-m", "workers.dispatcher"],
    "consumer": [
        *("-m", "celery", "-A", "workers.app", "worker", "-P", "threads", "-c", str(SLOTS), "-l", "INFO"),
        *("-Q", "regression.api,smoke.api", "--without-gossip", "--without-mingle"),
    ],
}


def write_config(folder: Path, apis: Mapping[str, Api]) -> Path:
    """An evalwindow.yaml with these windows and their suites, beside what the repository's own has."""
    suites = folder / "suites"
    suites.mkdir(parents=True)
    for name, spec in SUITES.items():
        fields = {key: value for key, value in spec.items() if key != "samples"}
        write_suite(suites, rows(int(str(spec["samples"]))), suite=name, **fields)
    models = {name: {**MODEL, "base_url": api.url} for name, api in apis.items()}
    models["marked"]["max_concurrency"] = 1
    hours = {"cron": NEVER, "duration_minutes": 60, "team": "search"}
    config = {
        "suites": str(suites),
        "models": models,
        "teams": {"search": {}},
        "windows": {name: {**hours, "models": [name], **window} for name, window in WINDOWS.items()},
        "lanes": {"regression": {"slots": SLOTS, "shard_size": 5, "consumers": SLOTS}},
        "pools": {},
    }
    path = folder / "evalwindow.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def working(environ: Mapping[str, str], logs: Path) -> Iterator[None]:
    """A dispatcher and a consumer."""
    own = {"EVALWINDOW_LEASE_S": "3", "EVALWINDOW_POLL_S": "0.05"}
    processes = []
    try:
        for name, command in WORKERS.items():
            with (logs / f"{name}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, *command], cwd=ROOT, env={**environ, **own}, stdout=log, stderr=log
                    )
                )
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Scene:
    """What a test does with a window, and what became of it in SQL."""

    def __init__(self, *, api: AirflowApi, store: Store, apis: Mapping[str, Api]) -> None:
        self.api, self.store, self.apis = api, store, apis
        self.dag_runs: dict[str, str] = {}  # of each window the latest
        self.dry_run = ""  # of the window "short"

    def start(self, window: str, **conf: Any) -> str:
        self.dag_runs[window] = self.api.trigger(f"{window}_regression", conf=conf)
        return self.dag_runs[window]

    def states(self, window: str, dag_run: str = "") -> dict[str, str | None]:
        """Task -> state; of a mapped one the first."""
        tasks = self.api.task_instances(f"{window}_regression", dag_run or self.dag_runs[window])
        return {task.task_id: task.state for task in tasks if task.map_index < 1}

    def night(self, window: str, dag_run: str = "") -> NightRow:
        (night,) = self.store.nights(key=f"{window}_regression/{dag_run or self.dag_runs[window]}")
        return night

    def entries(self, window: str) -> list[EntryRow]:
        return self.store.entries(self.night(window).id)

    def run(self, window: str) -> RunRow:
        """Of the window's only entry."""
        (entry,) = self.entries(window)
        assert entry.run_id is not None, entry
        return self.store.run(entry.run_id)

    def runs(self, window: str) -> list[RunRow]:
        """All that ever evaluated the window's model."""
        return [run for run in self.store.runs(1000) if run.model == window]

    def asked(self, window: str) -> Counter[str]:
        """How often each prompt came to the window's model."""
        return Counter(self.apis[window].asked)


def open_apis() -> dict[str, Api]:
    """One for each window; it has the window's name, as its model has."""
    os.environ["PARROT_KEY"] = "no secret"
    return {name: Api() for name in WINDOWS}
