"""Airflow as `evalwindow up` runs it: healthy, closed to strangers, survives what dies, leaves nothing behind."""

import os
import stat
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from evalwindow.airflow_api import AirflowApi, main, read_health
from evalwindow.airflow_processes import MIGRATE
from evalwindow.embedded import beside
from evalwindow.errors import BadInput, Conflict, NotFound, ServiceDown, Unauthorized
from evalwindow.orchestrator import read_password
from evalwindow.processes import run_once
from tests.airflow.conftest import DAG_S, ROOT, World, until

PROBE = "probe"
RUN_S = 120.0


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def api(airflow: World) -> AirflowApi:
    """Logged in, with the probe's DAG parsed."""
    airflow.api.await_dag(PROBE, timeout_s=DAG_S)
    return airflow.api


def test_every_component_is_heard_of(airflow: World) -> None:
    health = read_health(airflow.airflow.url)
    assert {name for name, one in health.items() if one.healthy} == {"scheduler", "triggerer", "dag_processor"}
    assert main(["airflow_api", airflow.airflow.url, *health]) == 0
    assert main(["airflow_api", airflow.airflow.url, "baker"]) == 1


def test_a_health_check_of_nobody_fails_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["airflow_api", "http://127.0.0.1:9", "scheduler"]) == 1
    assert "can't be reached" in capsys.readouterr().out


def test_a_wrong_password_is_refused(airflow: World) -> None:
    with pytest.raises(Unauthorized):
        AirflowApi.login(airflow.airflow.url, user="admin", password="wrong")


@pytest.mark.parametrize("path", ["/api/v2/dags", "/api/v2/config", "/api/v2/plugins", "/execution/variables/x"])
def test_strangers_see_nothing(airflow: World, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{airflow.airflow.url}{path}")  # noqa: S310  our own http URL
    assert refused.value.code in {401, 403, 405}


def test_the_configuration_is_shown_to_nobody(airflow: World) -> None:
    with pytest.raises(Unauthorized):
        airflow.api.call("GET", "/config")


def test_it_listens_on_this_machine_only(airflow: World) -> None:
    listening = {
        (connection.laddr.ip, name)
        for name in ("api-server", "scheduler", "dag-processor", "triggerer")
        for process in (airflow.process(name), *airflow.process(name).children(recursive=True))
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", "api-server")}


def test_secrets_lie_in_files_of_their_owner_and_on_no_command_line(airflow: World) -> None:
    folder = airflow.settings.home / "airflow"
    for name in ("secrets.json", "passwords.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert airflow.airflow.password not in repr(airflow.airflow)
    for process in airflow.airflow.processes.values():
        assert airflow.airflow.password not in process.log.read_text()


def test_the_repositorys_dags_are_read_without_errors(api: AirflowApi) -> None:
    assert api.import_errors() == {}


def test_a_task_sees_the_settings_and_the_code_of_this_checkout(airflow: World, api: AirflowApi) -> None:
    run_id = api.trigger(PROBE, conf={"numbers": [1, 2, 3]})
    api.await_task(PROBE, run_id, "ask", "awaiting_input", timeout_s=RUN_S)
    assert api.xcom(PROBE, run_id, "seen") == {
        "database": airflow.settings.database_url,
        "home": str(airflow.settings.home),
        "package": str(ROOT / "evalwindow" / "__init__.py"),
        "airflow_home": str(airflow.settings.home / "airflow"),
    }
    assert [api.xcom(PROBE, run_id, "double", map_index=index) for index in range(3)] == [2, 4, 6]
    api.answer(PROBE, run_id, "ask", options=("Approve",))
    assert api.wait(PROBE, run_id, timeout_s=RUN_S).state == "success"
    with pytest.raises(Conflict):
        api.answer(PROBE, run_id, "ask", options=("Approve",))
    assert run_id in {one.dag_run_id for one in api.dag_runs(PROBE)}


def test_what_does_not_fit_is_refused(api: AirflowApi) -> None:
    with pytest.raises(BadInput, match="numbers"):
        api.trigger(PROBE, conf={"numbers": "three"})
    with pytest.raises(NotFound):
        api.trigger("nowhere")
    with pytest.raises(ServiceDown, match="nowhere"):
        api.await_dag("nowhere", timeout_s=0)


def test_a_task_is_marked_and_cleared_through_the_api(api: AirflowApi) -> None:
    run_id = api.trigger(PROBE)
    api.await_task(PROBE, run_id, "ask", "awaiting_input", timeout_s=RUN_S)
    api.set_state(PROBE, run_id, "ask", "failed")
    assert api.wait(PROBE, run_id, timeout_s=RUN_S).state == "failed"
    api.clear(PROBE, run_id, "ask")
    api.await_task(PROBE, run_id, "ask", "awaiting_input", timeout_s=RUN_S)
    api.set_state(PROBE, run_id, "ask", "success")
    assert api.wait(PROBE, run_id, timeout_s=RUN_S).state == "success"


@pytest.mark.parametrize("name", ["scheduler", "triggerer", "dag-processor", "api-server"])
def test_a_process_that_is_killed_comes_back_and_the_work_goes_on(airflow: World, api: AirflowApi, name: str) -> None:
    run_id = api.trigger(PROBE, conf={"sleep_s": 1})
    before, ended = airflow.process(name), len(airflow.exits)
    children = before.children(recursive=True)
    airflow.kill(name)
    until(lambda: len(airflow.exits) > ended)
    assert airflow.exits[-1].name == f"airflow-{name}"
    until(lambda: not any(lives(child) for child in children))
    airflow.await_ready()
    assert airflow.process(name).pid != before.pid
    api.await_task(PROBE, run_id, "ask", "awaiting_input", timeout_s=RUN_S)
    api.set_state(PROBE, run_id, "ask", "success")
    assert api.wait(PROBE, run_id, timeout_s=RUN_S).state == "success"


#: Starts Airflow on the home argv[1], says so, and waits.
STARTER = """
import sys, threading
from pathlib import Path
from tests.airflow.conftest import airflow_running

with airflow_running(Path(sys.argv[1])) as world:
    print("ready", world.airflow.new_password, world.airflow.password, flush=True)
    threading.Event().wait()
"""


def test_nothing_outlives_a_starter_that_is_killed_and_the_next_start_keeps_the_password() -> None:
    """A gentle end, of this and all else: tests/e2e/test_up.py."""
    with tempfile.TemporaryDirectory(prefix="evalwindow-airflow-", ignore_cleanup_errors=True) as home:
        command = [sys.executable, "-c", STARTER, home]
        with subprocess.Popen(command, cwd=ROOT, env={**os.environ}, stdout=subprocess.PIPE, text=True) as starter:
            assert starter.stdout is not None
            ready, new, password = starter.stdout.readline().split()
            assert (ready, new) == ("ready", "True")
            started = psutil.Process(starter.pid).children(recursive=True)
            assert len([one for one in started if "airflow" in command_of(one)]) > 4
            starter.kill()
            starter.wait()
            until(lambda: not any(lives(one) for one in started))
        assert read_password(Path(home)) == (password, False)


def test_a_migration_that_fails_says_its_last_words(airflow: World, tmp_path: Path) -> None:
    url = beside(airflow.settings.database_url, "airflow").replace("/airflow?", "/nowhere?")
    environ = dict(airflow.airflow.environ) | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}
    with pytest.raises(ServiceDown, match=r"airflow-migrate.*exit code 1.*nowhere"):
        run_once(name="airflow-migrate", command=MIGRATE, environ=environ, log=tmp_path / "log")
