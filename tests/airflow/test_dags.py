"""The DAGs as Airflow reads them: complete, the same every time, cheap, and loud about a broken config."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

from evalwindow.airflow.operator import EvalRunOperator
from evalwindow.airflow.timetable import WindowTimetable

ROOT = Path(__file__).parents[2]
MODEL = {"engine": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "parrot"}
NIGHTLY = {
    "cron": "0 22 * * *",
    "duration_minutes": 480,
    "timezone": "Europe/Berlin",
    "team": "search",
    "suites": ["echo", "other"],
    "models": ["parrot"],
}
WEEKEND = NIGHTLY | {"cron": "0 12 * * 6", "duration_minutes": 2400}
WINDOWS = {"nightly": NIGHTLY, "weekend": WEEKEND}
TASKS = {
    "nightly_regression": {
        "plan": ("all_success", {"validate", "gate"}),
        "validate": ("all_success", {"evaluate"}),
        "evaluate": ("all_success", {"gate", "request_promotion"}),
        "gate": ("all_done", {"publish", "request_promotion"}),
        "publish": ("all_success", {"request_promotion"}),
        "request_promotion": ("none_failed", set()),
    },
    "promote_baseline": {
        "collect": ("all_success", {"decide.approve", "decide.promote_approved"}),
        "promote_automatic": ("all_success", set()),
        "decide.approve": ("all_success", {"decide.promote_approved"}),
        "decide.promote_approved": ("all_success", set()),
    },
}
TASKS["upkeep"] = {
    "retention": ("all_success", set()),
    "stale_report": ("all_success", set()),
    "dataset_drift": ("all_success", set()),
    "open_aa": ("all_success", {"evaluate", "settle_aa"}),
    "evaluate": ("all_success", {"settle_aa"}),
    "settle_aa": ("all_done", set()),
}
TASKS["weekend_regression"] = TASKS["nightly_regression"]


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read all DAGs with these windows."""
    (tmp_path / "suites").mkdir()
    config = tmp_path / "evalwindow.yaml"
    monkeypatch.setenv("EVALWINDOW_CONFIG", str(config))

    def read(windows=None, **fields):
        document = {"models": {"parrot": MODEL}, "teams": {"search": {}}, "windows": windows or {}, **fields}
        config.write_text(yaml.safe_dump(document))
        return DagBag(ROOT / "dags")

    return read


def test_all_are_read_without_errors_one_for_each_window(read):
    bag = read(WINDOWS)
    assert bag.import_errors == {}
    assert set(bag.dags) == set(TASKS)


@pytest.mark.parametrize("dag_id", sorted(TASKS))
def test_tasks_and_their_order(read, dag_id):
    dag = read(WINDOWS).dags[dag_id]
    found = {task.task_id: (task.trigger_rule.value, task.downstream_task_ids) for task in dag.tasks}
    assert found == TASKS[dag_id]
    assert all(task.retries == 3 and task.pool == "default_pool" for task in dag.tasks)
    assert dag.doc_md and dag.description and "evalwindow" in dag.tags
    assert not dag.catchup


def test_a_window_is_its_dags_schedule(read):
    dags = read(WINDOWS).dags
    nightly, weekend = dags["nightly_regression"], dags["weekend_regression"]
    assert nightly.timetable == WindowTimetable(cron="0 22 * * *", duration_minutes=480, timezone="Europe/Berlin")
    assert nightly.max_active_runs == 1  # a night takes over what the one before left
    for dag, minutes in ((nightly, 24 * 60), (weekend, 2400)):
        assert (
            dag.dagrun_timeout.total_seconds() > minutes * 60
        )  # a backstop, later than any night that the form allows


def test_what_is_evaluated_is_known_at_run_time_only(read):
    evaluate = read(WINDOWS).dags["nightly_regression"].get_task("evaluate")
    assert evaluate.operator_class is EvalRunOperator and evaluate.is_mapped
    assert evaluate.execution_timeout is None  # the window ends it


def test_without_windows_there_is_no_night(read):
    bag = read()
    assert bag.import_errors == {} and "promote_baseline" in bag.dags
    assert not [dag_id for dag_id in bag.dags if dag_id.endswith("_regression")]


@pytest.mark.parametrize(
    "windows, what",
    [
        ({"nightly": NIGHTLY | {"cron": "0 25 * * *"}}, "cron '0 25 * * *' can't be read"),
        ({"nightly": NIGHTLY | {"models": ["parot"]}}, "unknown model 'parot'; did you mean 'parrot'?"),
        ({"nightly": NIGHTLY | {"durations": 5}}, "durations"),
    ],
)
def test_a_broken_config_is_one_import_error_that_names_the_line(read, windows, what):
    bag = read(windows)
    ((file, error),) = bag.import_errors.items()
    assert Path(file).name == "nightly_regression.py"
    assert "evalwindow.yaml:" in error.strip().splitlines()[-1] and what in error
    assert "promote_baseline" in bag.dags


def test_they_survive_the_way_through_airflows_database(read):
    for dag in read(WINDOWS).dags.values():
        document = json.loads(json.dumps(DagSerialization.to_dict(dag)))
        copy = DagSerialization.from_dict(document)
        assert copy.task_ids == dag.task_ids
    assert copy.params.dump() == dag.params.dump()


def test_reading_them_again_makes_no_new_version(read):
    first, second = (
        {dag_id: DagSerialization.to_dict(dag) for dag_id, dag in read(WINDOWS).dags.items()} for _ in range(2)
    )
    assert first == second


def test_reading_them_loads_nothing_that_only_tasks_need(tmp_path, read):
    read(WINDOWS)
    script = """
import sys
from airflow.dag_processing.dagbag import DagBag
assert not DagBag(sys.argv[1]).import_errors
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""
    heavy = ["evalwindow.services", "evalwindow.store", "evalwindow.flow", "great_expectations", "celery", "polars"]
    command = [sys.executable, "-c", script, str(ROOT / "dags"), *heavy]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == ""


def test_the_plugin_registers_all_that_the_dags_need():
    from airflow import plugins_manager

    plugins, errors = plugins_manager._get_plugins()
    plugin = next(plugin for plugin in plugins if plugin.name == "evalwindow")
    assert not errors
    assert plugin.timetables == [WindowTimetable] and plugin.listeners
