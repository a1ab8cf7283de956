"""`evalwindow up`: everything starts from nothing, a process that dies comes back, and nothing outlives it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from evalwindow.airflow_api import AirflowApi
from evalwindow.config_file import read_config
from evalwindow.embedded import start_postgres
from evalwindow.errors import ConfigInvalid, ServiceDown
from evalwindow.model import EngineInfo
from evalwindow.processes import worker_name
from evalwindow.store import Store
from evalwindow.up import running
from tests.real.engines.tiny import write_model
from tests.real.engines.unit import VLLM_CACHE

ENGINE = {
    "model": "model",
    "dtype": "float32",
    "max_model_len": 256,
    "max_num_seqs": 64,
    "arguments": ["--enforce-eager", "--kv-cache-memory-bytes", "33554432"],
    "environment": {
        "OMP_NUM_THREADS": "1",
        "TORCH_COMPILE_DISABLE": "1",
        "VLLM_CACHE_ROOT": str(VLLM_CACHE),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    },
    "calibrate": False,
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config with one pool, on a model of a few kilobytes."""
    folder = tmp_path_factory.mktemp("config")
    write_model(folder / "model")
    return written(folder / "evalwindow.yaml", ENGINE)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home of these tests' own, on a short path."""
    folder = Path(tempfile.mkdtemp(prefix="evalwindow-up-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def written(path: Path, engine: dict[str, object]) -> Path:
    models = {"tiny": {"engine": "vllm", "pool": "warm"}}
    (path.parent / "suites").mkdir()
    path.write_text(yaml.safe_dump({"pools": {"warm": engine}, "models": models}))
    read_config(path)
    return path


@contextmanager
def up(config: Path, home: Path, *options: str, port: int) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The command in the foreground, once it said that it is ready, its base URL, and all that it said."""
    environ = {
        **os.environ,
        "EVALWINDOW_HOME": str(home),
        "EVALWINDOW_CONFIG": str(config),
        "EVALWINDOW_PORT": str(port),
        "EVALWINDOW_AIRFLOW_PORT": str(port),
    }
    command = [sys.executable, "-m", "evalwindow.cli", "up", *options]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process, *_said(process)
        finally:
            started = tree(process) if process.poll() is None else []
            process.kill()
            until(lambda: not left(started))


def _said(process: subprocess.Popen[str]) -> tuple[str, str]:
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    found = re.search(r"EVALWINDOW_URL=(http://\S+)", said)
    assert found, said
    return found[1], said


def tree(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Everything below it, the engine's own children too."""
    return psutil.Process(process.pid).children(recursive=True)


def left(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run."""
    return [process for process in processes if lives(process)]


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.1)


def ready(base_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{base_url}/readyz", timeout=5) as answer:  # noqa: S310  our own http URL
            return bool(json.load(answer)["ready"])
    except (urllib.error.URLError, OSError):
        return False


def web_of(process: subprocess.Popen[str]) -> int:
    """Pid of the web app itself: its guard's command line names it too."""
    lines = {one.pid: command_of(one) for one in tree(process)}
    pids = [pid for pid, line in lines.items() if "evalwindow.web" in line and "evalwindow.guard" not in line]
    return pids[0] if pids else 0


def test_taken_ports_airflow_a_killed_web_app_and_a_gentle_end(config: Path, home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with up(config, home, port=port) as (process, base_url, said):
            assert not base_url.endswith(f":{port}")
            assert ready(base_url)
            url, password = re.findall(r"nights: +(http://\S+),|password (\S+);", said)
            assert not url[0].endswith(f":{port}")
            assert AirflowApi.login(url[0], user="admin", password=password[1]).dag_ids() is not None
            assert str(home / "airflow" / "passwords.json") in said
            web = web_of(process)
            os.kill(web, signal.SIGKILL)
            until(lambda: web_of(process) not in {0, web} and ready(base_url))
            started = tree(process)
            lines = " ".join(command_of(one) for one in started)
            for part in ("airflow api_server", "airflow scheduler", "airflow dag-processor", "airflow triggerer"):
                assert part in lines
            process.terminate()
            assert process.wait() == 0
            assert left(started) == []


def test_a_kill_of_the_starter_leaves_nothing_behind(config: Path, home: Path) -> None:
    with up(config, home, "--no-airflow", port=0) as (process, base_url, said):
        assert ready(base_url)
        assert "Airflow" not in said
        started = tree(process)
        lines = " ".join(command_of(one) for one in started)
        for part in ("postgres", "redis-server", "evalwindow.web", "workers.dispatcher", "workers.gpu", "api_server"):
            assert part in lines
        assert "airflow" not in lines
        process.kill()
        until(lambda: not left(started))


def test_a_server_of_ones_own_needs_a_database_for_airflow_too(config: Path, home: Path) -> None:
    environ = {"EVALWINDOW_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/evalwindow"}
    stack = running(home=home, config=config, environ=environ, orchestrator=True)
    with pytest.raises(ConfigInvalid, match="EVALWINDOW_AIRFLOW_DATABASE_URL"), stack:
        pass


def test_a_process_that_cannot_start_ends_the_wait_with_its_last_words(tmp_path: Path, home: Path) -> None:
    """Whatever the row of a predecessor says that was killed a moment ago: its engine is not ours."""
    config = written(tmp_path / "evalwindow.yaml", {**ENGINE, "model": "nowhere"})
    killed_a_moment_ago(home)
    stack = running(home=home, config=config, environ={"EVALWINDOW_PORT": "0"})
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ServiceDown, match=r"gpu.*exit code 1.*nowhere"), stack:
        pass
    assert set(left(psutil.Process().children(recursive=True))) <= before


def killed_a_moment_ago(home: Path) -> None:
    """The database as a unit leaves it that had no time for a last word."""
    server = start_postgres(home)
    with closing(Store(server.url)) as store:
        store.migrate()
        info = EngineInfo(engine="vllm", version="1", model_digest="m")
        store.heartbeat("warm", worker_name(1), info, "ready")
    server.stop()
