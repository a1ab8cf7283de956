"""A real Airflow: its four processes on PostgreSQL, with the repository's DAGs and the tests' own, started once."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from evalwindow.airflow_api import AirflowApi
from evalwindow.airflow_processes import Airflow, prepare
from evalwindow.embedded import beside, start_postgres, start_redis
from evalwindow.orchestrator import API_SERVER
from evalwindow.processes import Exit, await_ready, read_procfile, stop_all
from evalwindow.settings import Settings, read_settings
from evalwindow.store import Store
from tests.airflow.scene import open_apis, write_config
from tests.fixtures.servers import database_url, home, migrate, postgres, redis, store
from tests.real.house import Api

ROOT = Path(__file__).parents[2]
READY_S = 300.0
DAG_S = 120.0

__all__ = ["database_url", "home", "postgres", "redis", "store"]  # for tests that need no running Airflow

# Airflow imported by a test itself: it writes its configuration into a home, and knows the plugin.
_scratch = tempfile.mkdtemp(prefix="evalwindow-airflow-imported-")
atexit.register(shutil.rmtree, _scratch, ignore_errors=True)
os.environ |= {"AIRFLOW_HOME": _scratch, "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins")}


@dataclass(frozen=True, kw_only=True)
class World:
    """The running Airflow and what it stands on."""

    airflow: Airflow
    api: AirflowApi  # the administrator's
    settings: Settings  # as the tasks read them
    store: Store
    exits: list[Exit]  # of processes that ended though nobody asked them to

    def process(self, name: str) -> psutil.Process:
        """One of api-server, scheduler, dag-processor, triggerer, as it runs now."""
        pid = self.airflow.processes[f"airflow-{name}"].pid
        assert pid is not None, f"{name} does not run"
        return psutil.Process(pid)

    def kill(self, name: str) -> None:
        """kill -9; the supervisor starts it again after a pause."""
        self.process(name).send_signal(signal.SIGKILL)

    def await_ready(self) -> None:
        """Return once each process has been heard of since its last start."""
        until(lambda: self.airflow.missing() is None)


@pytest.fixture(scope="session")
def apis() -> Iterator[dict[str, Api]]:
    """Of each window of scene.py, the API behind its model."""
    opened = open_apis()
    yield opened
    for api in opened.values():
        api.close()


@pytest.fixture(scope="session")
def airflow(apis: dict[str, Api]) -> Iterator[World]:
    """Airflow with the windows of scene.py and the DAGs of tests/airflow/dags; no web app, no dispatcher, no GPU."""
    with tempfile.TemporaryDirectory(prefix="evalwindow-airflow-", ignore_cleanup_errors=True) as folder:
        config = write_config(Path(folder) / "config", apis)
        with airflow_running(Path(folder), config=config) as world:
            yield world


@contextmanager
def airflow_running(home: Path, *, config: Path = ROOT / "evalwindow.yaml") -> Iterator[World]:
    exits: list[Exit] = []
    with ExitStack() as cleanup:
        postgres, redis = start_postgres(home, durable=False), start_redis(home)
        cleanup.callback(postgres.stop)
        cleanup.callback(redis.stop)
        environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "EVALWINDOW_DATABASE_URL": postgres.url,
            "EVALWINDOW_REDIS_URL": redis.url,
            "EVALWINDOW_HOME": str(home),
            "EVALWINDOW_CONFIG": str(config),
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": _bundles(),
        }
        migrate(postgres.url)
        store = Store(postgres.url)
        cleanup.callback(store.close)
        airflow = prepare(
            home=home,
            checkout=ROOT,
            database_url=beside(postgres.url, "airflow"),
            port=0,
            commands=read_procfile(ROOT / "Procfile"),
            environ=environ,
            notify=exits.append,
        )
        cleanup.callback(stop_all, airflow.processes, last=API_SERVER)
        airflow.start()
        await_ready(airflow.processes, airflow.missing, ready_s=READY_S)
        yield World(airflow=airflow, api=airflow.api(), settings=read_settings(environ), store=store, exits=exits)


def until(true: Callable[[], bool]) -> None:
    """Wait for it; the test's own time limit ends a wait in vain."""
    import time

    while not true():
        time.sleep(0.2)


def _bundles() -> str:
    """The repository's DAGs, and those of these tests."""
    folders = {"dags-folder": ROOT / "dags", "tests": Path(__file__).parent / "dags"}
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return json.dumps(
        [
            {"name": name, "classpath": classpath, "kwargs": {"path": str(path)}}
            for name, path in folders.items()
            if path.is_dir()
        ]
    )
