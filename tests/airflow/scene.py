"""Windows that tests start by hand, with models whose APIs a test can hold; and who does the work."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from evalwindow.airflow_api import AirflowApi, DagRun, TaskInstance
from evalwindow.model import RunState
from evalwindow.store import Store
from evalwindow.store.night_rows import EntryRow, NightRow
from evalwindow.store.rows import RunRow
from tests.real.house import Api, launch
from tests.unit.worlds import rows, write_suite

ROOT = Path(__file__).parents[2]
NEVER = "0 0 29 2 *"  # the next one is years away: these nights start when a test says so
WAIT_S = 300.0
SLOTS = 16  # prompts in flight, all windows together
SUITES = {
    "judged": {"samples": 60, "policy": {"margin": 0.1, "promotion": "approval"}},
    "trusted": {"samples": 60, "policy": {"margin": 0.1, "promotion": "automatic"}},
    "held": {"samples": 3},  # of each of four models: fewer than would keep others from working
    "long": {"samples": 40},
}
WAITING = ("marked", "unheard", "cleared", "killed")  # what becomes of each while it waits for its model
WINDOWS: dict[str, dict[str, Any]] = {
    "full": {"suites": ["judged", "trusted"], "models": ["full"], "mail": [{"to": ["release@example.org"]}]},
    "held": {"suites": ["held"], "models": list(WAITING), "aa": False},
    "short": {"suites": ["long"], "models": ["short"], "aa": False},
}
WINDOW_OF = {model: name for name, window in WINDOWS.items() for model in window["models"]}
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
        "windows": {name: {**hours, **window} for name, window in WINDOWS.items()},
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
            line = [sys.executable, *command]
            processes.append(launch(line, environ={**environ, **own}, log=logs / f"{name}.log"))
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


class Scene:
    """What a test does with a window, and what became of it in Airflow and in SQL."""

    def __init__(self, *, api: AirflowApi, store: Store, apis: Mapping[str, Api]) -> None:
        self.api, self.store, self.apis = api, store, apis
        self.dag_runs: dict[str, str] = {}  # of each window the latest
        self.dry_run = ""  # of the window "short"
        self.upkeep: DagRun | None = None

    def start(self, window: str, **conf: Any) -> str:
        self.dag_runs[window] = self.api.trigger(dag_of(window), conf=conf)
        return self.dag_runs[window]

    def ended(self, window: str) -> str:
        """The state of its DAG run in the end."""
        return self.api.wait(dag_of(window), self.dag_runs[window], timeout_s=WAIT_S).state

    def states(self, window: str, dag_run: str = "") -> dict[str, str | None]:
        """Task -> state; of a mapped one the first."""
        tasks = self.api.task_instances(dag_of(window), dag_run or self.dag_runs[window])
        return {task.task_id: task.state for task in tasks if task.map_index < 1}

    def night(self, window: str, dag_run: str = "") -> NightRow:
        (night,) = self.store.nights(key=f"{dag_of(window)}/{dag_run or self.dag_runs[window]}")
        return night

    def entries(self, window: str) -> list[EntryRow]:
        return self.store.entries(self.night(window).id)

    def entry(self, model: str) -> EntryRow:
        """Of the latest night, where the model has only one."""
        (entry,) = (entry for entry in self.entries(WINDOW_OF[model]) if entry.model == model)
        return entry

    def run(self, model: str) -> RunRow:
        """Of that entry."""
        entry = self.entry(model)
        assert entry.run_id is not None, entry
        return self.store.run(entry.run_id)

    def runs(self, model: str) -> list[RunRow]:
        """All that ever evaluated the model."""
        return [run for run in self.store.runs(1000) if run.model == model]

    def concluded(self, model: str) -> list[RunRow]:
        return [run for run in self.runs(model) if run.state is RunState.CONCLUDED]

    def task(self, model: str) -> TaskInstance | None:
        """The one that evaluates the model; None before it is known what to evaluate."""
        window = WINDOW_OF[model]
        place = ("evaluate", WINDOWS[window]["models"].index(model))
        tasks = self.api.task_instances(dag_of(window), self.dag_runs[window])
        return next((task for task in tasks if (task.task_id, task.map_index) == place), None)

    def asked(self, model: str) -> Counter[str]:
        """How often each prompt came to it."""
        return Counter(self.apis[model].asked)

    def await_asked(self, model: str) -> None:
        """Return once the model is asked and its task waits without a worker."""
        until(lambda: (task := self.task(model)) is not None and task.state == "deferred")
        until(lambda: self.apis[model].asked)


def dag_of(window: str) -> str:
    return f"{window}_regression"


def until(true: Callable[[], object]) -> None:
    """Wait for it; the test's own time limit ends a wait in vain."""
    while not true():
        time.sleep(0.2)


def open_apis() -> dict[str, Api]:
    """One for each model, by its name."""
    os.environ["PARROT_KEY"] = "no secret"
    return {model: Api() for model in WINDOW_OF}
