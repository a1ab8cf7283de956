"""Whole nights in a running Airflow, with a real dispatcher, a real consumer and an API that a test can hold.

Several nights go on at once, so that what they wait for overlaps; the tests look at one after another.
"""

import asyncio
import datetime as dt
import signal
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import psutil
import pytest
from sqlalchemy import create_engine, text

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.airflow import listener, trigger
from evalwindow.airflow.timetable import WindowTimetable
from evalwindow.model import Answer, Candidate, EntryState, Purpose, RunState
from evalwindow.services import build
from evalwindow.windows import next_occurrence
from tests.airflow.conftest import DAG_S
from tests.airflow.scene import NEVER, SUITES, WAIT_S, WAITING, WINDOWS, Scene, dag_of, until, working

PROMPTS = {name: {f"say {n}": 1 for n in range(spec["samples"])} for name, spec in SUITES.items()}


@pytest.fixture(scope="module")
def scene(airflow, apis):
    """Three nights under way: one that nothing disturbs, one whose models wait, one that its window will end."""
    scene = Scene(api=airflow.api, store=airflow.store, apis=apis)
    for model in (*WAITING, "short"):
        apis[model].open.clear()
    with working(airflow.airflow.environ, airflow.settings.home / "log"):
        promote_baselines(airflow.settings, airflow.store)
        for window in WINDOWS:
            scene.api.await_dag(dag_of(window), timeout_s=DAG_S)
        for window in ("full", "held"):
            scene.start(window)
        scene.dry_run = scene.start("short", dry_run=True)
        upkeep = scene.api.trigger("upkeep")
        starting_process(airflow, scene, "killed").send_signal(signal.SIGKILL)
        until(lambda: len(scene.concluded("full")) == 7)  # two baselines, a night of four, upkeep's
        for model in WAITING:
            scene.await_asked(model)
        assert scene.ended("short") == "success"
        scene.upkeep = scene.api.wait("upkeep", upkeep, timeout_s=WAIT_S)
        scene.start("short", window_minutes=2)  # it takes all that is left of the consumer's slots
        yield scene
        for api in apis.values():
            api.open.set()


def promote_baselines(settings, store):
    """What the full window's model answers is the baseline of both its suites, and one of a branch without a window."""
    services = build(settings)
    for suite in ("judged", "trusted"):
        wish = Submission(key=f"base {suite}", team="search", suite=suite, candidate=Candidate(model="full"))
        run = flow.submit(services, wish)
        until(lambda run=run: store.run(run.id).state.final)
        store.promote(suite, "main", run.id, "ada", "first")
    store.promote("judged", "other", store.runs(suite="judged")[0].id, "ada", "first")
    asyncio.run(services.aclose())


def starting_process(airflow, scene, model):
    """The process in which the model's run is being started."""
    until(lambda: scene.task(model))
    path = (
        f"/dags/held_regression/dagRuns/{scene.dag_runs['held']}/taskInstances/evaluate/{scene.task(model).map_index}"
    )
    title = f"airflow worker -- {scene.api.call('GET', path)['id']}"
    while True:
        for child in airflow.process("scheduler").children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if child.cmdline()[:1] == [title]:
                    return child


def test_a_full_night_judges_mails_and_asks_for_promotion(scene):
    assert scene.ended("full") == "success"
    assert set(scene.states("full").values()) == {"success"}
    night = scene.night("full")
    entries = scene.entries("full")
    assert [entry.purpose for entry in entries] == [Purpose.AA, Purpose.AA, Purpose.CANDIDATE, Purpose.CANDIDATE]
    runs = [scene.store.run(entry.run_id) for entry in entries]
    assert {run.answer for run in runs} == {Answer.PASS} and night.settled_at is not None and night.void is None
    assert unquote(night.url) == f"{scene.api.url}/dags/full_regression/runs/{scene.dag_runs['full']}"
    (mail,) = scene.store.deliveries(night.id)
    assert mail.channel == "mail:release@example.org"


def test_a_task_is_called_after_its_outcome_and_leads_to_its_run(scene):
    dag_run = scene.dag_runs["full"]
    tasks = scene.api.task_instances("full_regression", dag_run)
    assert [task.rendered_map_index for task in tasks if task.task_id == "evaluate"] == [
        "judged × full A/A: pass",
        "trusted × full A/A: pass",
        "judged × full: pass",
        "trusted × full: pass",
    ]
    links = scene.api.call("GET", f"/dags/full_regression/dagRuns/{dag_run}/taskInstances/evaluate/links?map_index=2")
    run_id = scene.entries("full")[2].run_id
    assert links["extra_links"]["Run page"].endswith(f"/runs/{run_id}")


def test_no_prompt_and_no_answer_goes_through_airflow(scene):
    dag_run = scene.dag_runs["full"]
    for task in scene.api.task_instances("full_regression", dag_run):
        path = f"/dags/full_regression/dagRuns/{dag_run}/taskInstances/{task.task_id}/xcomEntries"
        for one in scene.api.call("GET", f"{path}?map_index={task.map_index}")["xcom_entries"]:
            query = f"map_index={task.map_index}&deserialize=true"
            value = str(scene.api.call("GET", f"{path}/{one['key']}?{query}")["value"])
            assert "say " not in value and len(value) < 1000


def test_what_passed_is_promoted_by_policy_or_by_whoever_approves(scene):
    until(lambda: scene.api.dag_runs("promote_baseline"))
    (dag_run,) = scene.api.dag_runs("promote_baseline")
    arguments = ("promote_baseline", dag_run.dag_run_id, "decide.approve")
    scene.api.await_task(*arguments, "awaiting_input", timeout_s=WAIT_S, map_index=0)
    _, _, judged, trusted = scene.entries("full")
    assert scene.store.baseline("judged", "main").promoted_by == "ada"
    scene.api.answer(*arguments, options=("Approve",), map_index=0)
    assert scene.api.wait("promote_baseline", dag_run.dag_run_id, timeout_s=WAIT_S).state == "success"
    approved, automatic = (scene.store.baseline(suite, "main") for suite in ("judged", "trusted"))
    assert (approved.run_id, approved.promoted_by) == (judged.run_id, "admin")
    assert (automatic.run_id, automatic.promoted_by) == (trusted.run_id, "promote_baseline")


def test_a_rejected_run_is_not_promoted(scene):
    before = scene.store.baseline("judged", "main")
    run_id = scene.entries("full")[0].run_id
    dag_run = scene.api.trigger("promote_baseline", conf={"run_id": run_id, "reason": "a trial"})
    arguments = ("promote_baseline", dag_run, "decide.approve")
    scene.api.await_task(*arguments, "awaiting_input", timeout_s=WAIT_S, map_index=0)
    scene.api.answer(*arguments, options=("Reject",), map_index=0)
    assert scene.api.wait("promote_baseline", dag_run, timeout_s=WAIT_S).state == "success"
    promoted = scene.api.await_task(
        "promote_baseline", dag_run, "decide.promote_approved", "skipped", timeout_s=WAIT_S, map_index=0
    )
    assert promoted.state == "skipped"
    assert scene.store.baseline("judged", "main") == before


def test_upkeep_looks_after_a_baseline_that_no_window_covers(scene):
    assert scene.upkeep.state == "success"
    tasks = scene.api.task_instances("upkeep", scene.upkeep.dag_run_id)
    assert {task.task_id: task.state for task in tasks} == {
        "retention": "success",
        "stale_report": "success",
        "dataset_drift": "success",
        "open_aa": "success",
        "evaluate": "success",
        "settle_aa": "success",
    }
    (evaluated,) = (task.rendered_map_index for task in tasks if task.task_id == "evaluate")
    assert evaluated == "judged × full A/A: pass"


def test_airflow_knows_when_a_window_opens_next(airflow):
    airflow.api.await_dag("full_regression", timeout_s=DAG_S)
    dag = airflow.api.call("GET", "/dags/full_regression")
    window = WindowTimetable(cron=NEVER, duration_minutes=60, timezone="UTC")
    upcoming = next_occurrence(window, dt.datetime.now(dt.UTC))
    found = [dag[f"next_dagrun_{name}"] for name in ("run_after", "data_interval_start", "data_interval_end")]
    assert [dt.datetime.fromisoformat(each) for each in found] == [upcoming.start, upcoming.start, upcoming.end]
    assert dag["timetable_summary"] == window.summary


def test_a_dry_run_says_what_it_would_do_and_does_nothing(scene):
    night = scene.night("short", scene.dry_run)
    assert scene.states("short", scene.dry_run) == {
        "plan": "success",
        "validate": "success",
        "evaluate": "skipped",
        "gate": "skipped",
        "publish": "skipped",
        "request_promotion": "skipped",
    }
    assert [(entry.state, entry.run_id) for entry in scene.store.entries(night.id)] == [(EntryState.PLANNED, None)]
    assert scene.store.deliveries(night.id) == []


def test_kill_9_of_a_task_that_starts_a_run_leaves_it_to_the_next_try(scene):
    assert scene.task("killed").try_number == 2
    assert len(scene.runs("killed")) == 1


def test_a_task_marked_failed_cancels_its_run_and_nothing_more_is_asked(scene):
    place = ("held_regression", scene.dag_runs["held"], "evaluate")
    scene.api.set_state(*place, "failed", map_index=scene.task("marked").map_index)
    until(lambda: scene.run("marked").state is RunState.CANCELLED)
    assert scene.run("marked").error == listener.WHY.format(state="failed")
    until(lambda: not connected(scene.apis["marked"]))
    scene.apis["marked"].open.set()
    assert list(scene.asked("marked").values()) == [1]  # the others had not been asked yet


def connected(api):
    """Whether somebody waits for an answer."""
    port = urlsplit(api.url).port
    return any(
        each.raddr and each.raddr.port == port and each.status == psutil.CONN_ESTABLISHED
        for each in psutil.net_connections("tcp")
    )


def test_a_mark_that_the_listener_did_not_hear_of_is_seen_by_the_trigger(airflow, scene):
    """As when the API server dies right after it wrote the mark down."""
    database = create_engine(airflow.airflow.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    mark = "UPDATE task_instance SET state = 'failed' WHERE state = 'deferred' AND run_id = :run AND map_index = :index"
    place = {"run": scene.dag_runs["held"], "index": scene.task("unheard").map_index}
    with database.begin() as connection:
        assert connection.execute(text(mark), place).rowcount == 1
    database.dispose()
    until(lambda: scene.run("unheard").state is RunState.CANCELLED)
    assert scene.run("unheard").error == trigger.WHY


def test_a_task_that_is_cleared_goes_on_with_its_run(scene):
    before, index = scene.run("cleared"), scene.task("cleared").map_index
    scene.api.clear("held_regression", scene.dag_runs["held"], ["evaluate", index])
    until(lambda: scene.run("cleared").owner != before.owner)
    scene.await_asked("cleared")
    assert not scene.run("cleared").state.final
    scene.apis["cleared"].open.set()
    until(lambda: scene.task("cleared").state == "success")
    assert [run.id for run in scene.concluded("cleared")] == [run.id for run in scene.runs("cleared")] == [before.id]
    assert scene.asked("cleared") == PROMPTS["held"]


def test_kill_9_of_the_triggerer_and_of_the_scheduler_is_survived(airflow, scene):
    for name in ("triggerer", "scheduler"):
        exits = len(airflow.exits)
        airflow.kill(name)
        until(lambda exits=exits: len(airflow.exits) > exits)
        airflow.await_ready()
    assert scene.task("killed").state == "deferred" and not scene.run("killed").state.final
    scene.apis["killed"].open.set()
    until(lambda: scene.task("killed").state == "success")
    assert len(scene.runs("killed")) == 1 and scene.run("killed").state is RunState.CONCLUDED
    assert scene.asked("killed") == PROMPTS["held"]


def test_a_night_in_which_something_broke_is_settled_and_told_and_red(scene):
    assert scene.ended("held") == "failed"
    assert scene.night("held").settled_at is not None
    assert scene.states("held") == {
        "plan": "success",
        "validate": "success",
        "evaluate": "failed",
        "gate": "success",
        "publish": "success",
        "request_promotion": "upstream_failed",
    }


def test_a_night_that_its_window_ends_goes_on_in_the_next_one(scene):
    until(lambda: dt.datetime.now(dt.UTC) >= scene.night("short").end)
    scene.apis["short"].open.set()
    assert scene.ended("short") == "success"
    first, asked = scene.run("short"), scene.asked("short")
    assert not first.state.final and 0 < len(asked) < SUITES["long"]["samples"]
    result = scene.api.xcom("short_regression", scene.dag_runs["short"], "evaluate", map_index=0)
    assert result == {"run": first.id, "partial": True, "samples_left": result["samples_left"]}
    assert result["samples_left"] >= SUITES["long"]["samples"] - len(asked)
    scene.start("short", window_minutes=30)
    assert scene.ended("short") == "success"
    (entry,) = scene.entries("short")
    assert (entry.state, entry.run_id) == (EntryState.RESUMED, first.id)
    assert scene.run("short").state is RunState.CONCLUDED and len(scene.runs("short")) == 1
    assert scene.asked("short") == PROMPTS["long"]
