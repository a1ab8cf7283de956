"""Deliveries of the store, told to GitHub by the flow."""

import asyncio
import json

import pytest

from demo.github_standin import Failure
from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.github.publish import publish
from evalwindow.model import Candidate, Source
from tests.real.web.helpers import answer_run

SHA = "c0ffee" * 6 + "abcd"


def _run(services, *, suite="sums-smoke", sha=SHA, ordinal=1):
    source = Source(repo="acme/bot", pull_request=7, head_sha=sha, branch="main")
    key = f"{suite}@{sha}"
    candidate = Candidate(model="tiny")
    wish = Submission(key=key, team="search", suite=suite, candidate=candidate, source=source, ordinal=ordinal)
    return flow.submit(services, wish)


async def _publish_all(services):
    while (delivery := services.store.claim_delivery(60)) is not None:
        await flow.publish(services, delivery)


async def test_a_verdict_reaches_check_comment_and_files(services, standin):
    run = _run(services)
    await answer_run(services, run.id, lambda target: "@all <img src=x>")
    await _publish_all(services)
    (check,) = standin.check_runs
    assert (check["external_id"], check["conclusion"], check["head_sha"]) == (run.id, "failure", SHA)
    (comment,) = standin.comments
    assert "sum-1" in comment["body"]
    assert "@all" not in comment["body"]
    folder = services.settings.home / "reports"
    assert json.loads((folder / f"{run.id}.json").read_text())["answer"] == "fail"
    assert "Failed" in (folder / f"{run.id}.html").read_text()
    assert {delivery.state for delivery in services.store.deliveries(run.id)} == {"sent"}


async def test_a_queued_run_has_a_check_that_is_completed_later_in_place(services, standin):
    run = _run(services)
    await _publish_all(services)
    assert [check["status"] for check in standin.check_runs] == ["queued"]
    await answer_run(services, run.id, lambda target: target)
    await _publish_all(services)
    assert [(check["status"], check["conclusion"]) for check in standin.check_runs] == [("completed", "success")]


async def test_all_suites_and_commits_of_a_pull_request_share_one_comment(services, standin):
    for ordinal, sha in enumerate((SHA, "beef" * 10)):
        for suite in ("sums-smoke", "sums-regression"):
            run = _run(services, suite=suite, sha=sha, ordinal=ordinal)
            await answer_run(services, run.id, lambda target: target)
            await _publish_all(services)
    (comment,) = standin.comments
    assert comment["body"].count("beefbeefbe") == 1
    assert "sums-smoke" in comment["body"]
    assert "sums-regression" in comment["body"]
    assert len(standin.check_runs) == 4


async def test_a_run_that_ends_while_the_comment_is_written_gets_into_it(services, standin):
    first, second = _run(services), _run(services, suite="sums-regression")
    await answer_run(services, first.id, lambda target: target)
    standin.failures.append(Failure(delay_s=1, path="/comments"))
    comments = [d for d in services.store.deliveries(first.id) if d.channel == "comment"]
    publishing = asyncio.create_task(publish(services, comments[0]))
    while not standin.requests:
        await asyncio.sleep(0.02)
    await answer_run(services, second.id, lambda target: target)
    await publishing
    (comment,) = standin.comments
    assert "Queued" not in comment["body"]
    assert "Inconclusive" in comment["body"]  # no baseline yet


async def test_a_superseded_run_s_check_is_cancelled(services, standin):
    old = _run(services)
    await _publish_all(services)
    _run(services, sha="beef" * 10, ordinal=2)
    await _publish_all(services)
    conclusions = {check["external_id"]: check.get("conclusion") for check in standin.check_runs}
    assert conclusions[old.id] == "cancelled"


async def test_a_check_whose_record_was_lost_is_not_made_twice(services, standin):
    run = _run(services)
    delivery = services.store.claim_delivery(0.0)
    await flow.publish(services, delivery)
    services.store.sent(run.id, "check", None)
    with services.store._transaction() as connection:
        connection.exec_driver_sql("UPDATE delivery SET external_id = NULL")
    await answer_run(services, run.id, lambda target: target)
    await _publish_all(services)
    assert len(standin.check_runs) == 1


@pytest.mark.parametrize("status, headers", [(500, {}), (429, {"Retry-After": "3600"})])
async def test_a_failing_github_is_tried_again_later_and_told_once(services, standin, status, headers):
    run = _run(services)
    await answer_run(services, run.id, lambda target: target)
    standin.failures.append(Failure(status=status, headers=headers, path="/check-runs"))
    await _publish_all(services)
    (check,) = [delivery for delivery in services.store.deliveries(run.id) if delivery.channel == "check"]
    assert (check.state, standin.check_runs) == ("waiting", [])
    pause = (check.next_at - check.created_at).total_seconds()
    assert pause > (3000 if headers else 1)
    with services.store._transaction() as connection:
        connection.exec_driver_sql("UPDATE delivery SET next_at = now()")
    await _publish_all(services)
    assert [check["conclusion"] for check in standin.check_runs] == ["success"]
    assert len(standin.comments) == 1


async def test_a_run_without_a_pull_request_has_its_files_only(services, standin):
    wish = Submission(key="k", team="search", suite="sums-smoke", candidate=Candidate(model="tiny"))
    run = flow.submit(services, wish)
    await answer_run(services, run.id, lambda target: target)
    await _publish_all(services)
    assert (services.settings.home / "reports" / f"{run.id}.html").exists()
    assert standin.requests == []


def _due(services):
    """The time of every breaker, and of what waits for it, has come."""
    with services.store._transaction() as connection:
        connection.exec_driver_sql("UPDATE breaker SET retry_at = clock_timestamp() WHERE state <> 'closed'")
        connection.exec_driver_sql("UPDATE delivery SET next_at = clock_timestamp() WHERE state = 'waiting'")


@pytest.mark.parametrize("status", [500, 429])
async def test_while_github_is_away_nothing_is_lost_and_each_thing_is_told_once(services, standin, status):
    runs = []
    for number in range(4):
        runs.append(_run(services, sha=f"{number:040}", ordinal=number))
        await answer_run(services, runs[-1].id, lambda target: target)
    standin.failures.append(Failure(status=status, times=10_000, headers={"Retry-After": "1"} if status == 429 else {}))
    for _ in range(20):  # more often than a delivery may fail
        await _publish_all(services)
        _due(services)
    rows = [row for run in runs for row in services.store.deliveries(run.id) if row.channel != "page"]
    assert {row.state for row in rows} == {"waiting"}
    assert max(row.attempts for row in rows) < services.config.breakers.notifiers.failures
    asked = len(standin.requests)
    _due(services)
    await _publish_all(services)
    assert 0 < len(standin.requests) - asked <= 2  # one delivery tries
    standin.failures.clear()
    _due(services)
    await _publish_all(services)
    await _publish_all(services)
    assert {row.state for run in runs for row in services.store.deliveries(run.id)} == {"sent"}
    assert sorted(check["external_id"] for check in standin.check_runs) == sorted(run.id for run in runs)
    assert len(standin.comments) == 1
    assert [event.what for event in services.store.breaker_events(9)] == ["closed", "opened"]
