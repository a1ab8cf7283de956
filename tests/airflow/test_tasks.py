"""What the tasks of the DAGs do, over real SQL: a DAG run becomes a night, an answer becomes a promotion."""

import datetime as dt
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from evalwindow.airflow import promotion
from evalwindow.airflow.links import url_of
from evalwindow.airflow.night import evaluations, opened, outcome
from evalwindow.airflow.wiring import working
from evalwindow.errors import Conflict
from evalwindow.model import Answer
from evalwindow.nights.settling import settle
from evalwindow.nights.starting import start_entry
from evalwindow.policy import Promotion as Mode
from tests.airflow.small import small_night

NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)
FORM = {"suites": ["echo"], "models": ["parrot"], "baseline": "production", "window_minutes": 60, "dry_run": False}


@pytest.fixture
def night(tmp_path, monkeypatch, database_url, redis):
    with small_night(tmp_path, monkeypatch, database_url=database_url, redis_url=redis.url) as night:
        yield night


def dag_run(run_id="manual__1", *, run_type="manual", start=NOW, end=NOW + HOUR):
    return SimpleNamespace(
        dag_id="nightly_regression",
        run_id=run_id,
        run_type=run_type,
        start_date=start,
        run_after=start,
        data_interval_start=start,
        data_interval_end=end,
        triggering_user_name=None,
    )


def plan(night, run, **form):
    return opened(night.services, "nightly", dag_run=run, params=FORM | form)


def test_a_dag_run_is_one_night_however_often_its_task_is_tried(night):
    first, again = plan(night, dag_run()), plan(night, dag_run())
    assert first == again and len(night.store.nights()) == 1
    assert (first.starts_at, first.ends_at, first.dry_run) == (NOW, NOW + HOUR, False)
    assert first.url == url_of(dag_run()) and first.url.endswith("/dags/nightly_regression/runs/manual__1")


def test_a_scheduled_night_that_begins_late_ends_with_its_window(night):
    late = plan(night, dag_run(run_type="scheduled", start=NOW - 2 * HOUR, end=NOW + HOUR))
    assert late.ends_at == NOW + HOUR


def test_a_window_that_is_over_before_its_night_was_opened_is_skipped(night):
    missed = dag_run(run_type="scheduled", start=NOW - 3 * HOUR, end=NOW - HOUR)
    with pytest.raises(AirflowSkipException, match="the window closed at"):
        plan(night, missed)
    assert night.store.nights() == []


def test_a_night_that_is_over_can_still_be_cleared(night):
    past = {"start": NOW - 3 * HOUR, "end": NOW - HOUR}
    entries = night.entries("nightly_regression/manual__1")
    assert [each["entry_id"] for each in evaluations(night.services, plan(night, dag_run(**past)).id)] == entries


def test_what_can_not_be_evaluated_fails_the_task_at_once(night):
    with pytest.raises(AirflowFailException, match="unknown model 'parot'; did you mean 'parrot'"), working():
        plan(night, dag_run(), models=["parot"])


def test_a_task_is_named_after_its_suite_and_model_and_says_when_it_is_an_a_a(night):
    run = start_entry(night.services, night.entry("base"), owner="x").run
    night.conclude(run.id)
    night.store.promote("echo", "main", run.id, "ada", "first")
    found = evaluations(night.services, plan(night, dag_run()).id)
    assert [each["title"] for each in found] == ["echo × parrot A/A", "echo × parrot"]


def passed(night, *suites, answer=Answer.PASS, key="one"):
    """Runs of a night of these suites, each with this answer."""
    entries = night.entries(key, suites=suites)
    runs = [start_entry(night.services, entry_id, owner="x").run.id for entry_id in entries]
    for run_id in runs:
        night.conclude(run_id, answer)
    return runs


def test_the_outcome_of_a_night_is_ids_and_counts(night):
    runs = passed(night, "echo", "asked")
    night_id = night.store.nights()[0].id
    assert outcome(settle(night.services, night_id)) == {
        "night": night_id,
        "passed": runs,
        "void": False,
        "failed": 0,
        "inconclusive": 0,
        "unfinished": 0,
    }


def wanted(night, run_ids=None, *, named=None):
    events = {"asset": [SimpleNamespace(extra={"night": "x", "runs": [run_id]}) for run_id in run_ids or ()]}
    return promotion.wanted(night.services, {"run_id": named, "reason": ""}, events)


def test_nights_ask_for_what_passed_as_each_suite_wants_it(night):
    found = wanted(night, passed(night, "echo", "asked", "trusted"))
    assert [(each.suite, each.mode) for each in found] == [("asked", Mode.APPROVAL), ("trusted", Mode.AUTOMATIC)]


def test_a_person_may_name_a_run_that_did_not_pass_and_is_always_asked(night):
    (failed,) = passed(night, "trusted", answer=Answer.FAIL)
    (found,) = wanted(night, named=failed)
    assert (found.mode, found.expected) == (Mode.APPROVAL, None)
    (question,) = promotion.questions(night.services, [found])
    assert question["subject"] == "Promote trusted on main?"
    assert "fail: so it is" in question["body"] and f"http://evals/runs/{failed}" in question["body"]


def test_a_run_without_a_verdict_can_not_be_named(night):
    open_run = start_entry(night.services, night.entry(), owner="x").run.id
    with pytest.raises(AirflowFailException, match="is queued; only a run with a verdict can be a baseline"):
        wanted(night, named=open_run)


def test_without_a_night_and_a_name_there_is_nothing_to_promote(night):
    with pytest.raises(AirflowFailException, match="start this DAG with the id of a run"):
        wanted(night)


def test_what_needs_no_approval_is_promoted_and_says_who_and_why(night):
    run = dag_run()
    found = wanted(night, passed(night, "asked", "trusted"))
    who, why = promotion.who_started(run), promotion.why_promoted({"reason": ""}, run)
    (promoted,) = promotion.promote_automatic(night.services, found, who=who, why=why)
    baseline = night.store.baseline("trusted", "main")
    assert (baseline.run_id, baseline.promoted_by) == (promoted, "promote_baseline")
    assert baseline.reason == "promote_baseline manual__1"
    assert night.store.baseline("asked", "main") is None
    assert promotion.promote_automatic(night.services, found, who=who, why=why) == [promoted]  # another try


def test_a_baseline_that_changed_meanwhile_stays(night):
    (first,), (second,) = passed(night, "trusted"), passed(night, "trusted", key="two")
    found = wanted(night, [first])
    night.store.promote("trusted", "main", second, "ada", "by hand")
    with pytest.raises(Conflict):
        promotion.promote_automatic(night.services, found, who="x", why="y")
    assert night.store.baseline("trusted", "main").run_id == second


def test_who_and_why_of_a_promotion_by_hand():
    run = SimpleNamespace(triggering_user_name="ada", run_id="manual__1")
    assert promotion.who_started(run) == "ada"
    assert promotion.why_promoted({"reason": "the best so far"}, run) == "the best so far"
