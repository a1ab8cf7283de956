"""An evalwindow of one small suite, as tasks find it by their environment; no Airflow runs."""

import asyncio
import datetime as dt
import uuid
from contextlib import contextmanager

import yaml

from evalwindow.airflow import trigger
from evalwindow.airflow.operator import EvalRunOperator
from evalwindow.model import Answer, Summary, Verdict
from evalwindow.nights.opening import open_night
from evalwindow.services import build
from evalwindow.settings import read_settings
from tests.unit.worlds import rows, write_suite

SAMPLES = 10
WINDOW = {"cron": "0 22 * * *", "duration_minutes": 60, "team": "search", "suites": ["echo"], "models": ["parrot"]}
SUITES = {"echo": "never", "asked": "approval", "trusted": "automatic"}
COUNTS = ("samples", "results", "unscored", "cache_hits", "prompt_tokens", "cached_tokens", "output_tokens")


class Task:
    """What an operator sees of its task instance; `state` is Airflow's."""

    def __init__(self, state="running"):
        self.id, self.state = uuid.uuid4(), state
        self.dag_id, self.task_id, self.run_id, self.map_index = "nightly_regression", "evaluate", "manual__1", 0
        self.xcom = {}
        self.operator = EvalRunOperator.__name__

    def xcom_push(self, key, value):
        self.xcom[key] = value

    def get_task_states(self, **_):
        return {self.run_id: {"evaluate_0": self.state}}


class Night:
    """A night of one entry in an evalwindow that tasks find by their environment."""

    def __init__(self, folder, monkeypatch, *, database_url, redis_url):
        (folder / "suites").mkdir()
        for suite, promotion in SUITES.items():
            write_suite(folder / "suites", rows(SAMPLES), suite=suite, policy={"promotion": promotion})
        model = {"engine": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "parrot"}
        config = {"models": {"parrot": model}, "teams": {"search": {}}, "windows": {"nightly": WINDOW}}
        (folder / "evalwindow.yaml").write_text(yaml.safe_dump(config))
        environ = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "HOME": folder, "PUBLIC_URL": "http://evals"}
        for name, value in {**environ, "CONFIG": folder / "evalwindow.yaml"}.items():
            monkeypatch.setenv(f"EVALWINDOW_{name}", str(value))
        self.services = build(read_settings())
        self.store = self.services.store

    def entries(self, key="one", *, minutes=60.0, **fields):
        """Ids of the entries of a night that started just now."""
        now = dt.datetime.now(dt.UTC)
        end = now + dt.timedelta(minutes=minutes)
        night = open_night(self.services, "nightly", key=key, starts_at=now, ends_at=end, **fields)
        return [entry.id for entry in self.store.entries(night.id)]

    def entry(self, key="one", **fields):
        """Of the only suite of the window."""
        return self.entries(key, **fields)[0]

    def run(self):
        """The only one."""
        (run,) = self.store.runs()
        return run

    def conclude(self, run_id, answer=Answer.FAIL, *, baseline=None):
        counts = dict.fromkeys(COUNTS, 0)
        summary = Summary(slices=(), gpu_s=0.0, cost=0.0, wall_s=0.0, **counts)
        verdict = Verdict(answer=answer, title=f"{answer}: so it is", checks=(), baseline_run=baseline)
        self.store.conclude(run_id, summary, verdict)


@contextmanager
def small_night(folder, monkeypatch, *, database_url, redis_url):
    """One for the time of a test; the triggers' connections end with it."""
    trigger._store.cache_clear()
    night = Night(folder, monkeypatch, database_url=database_url, redis_url=redis_url)
    yield night
    asyncio.run(night.services.aclose())
    trigger._store().close()
    trigger._store.cache_clear()
