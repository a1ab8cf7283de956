from dataclasses import replace

import pytest

from evalwindow.model import Answer, RunState, Tier
from evalwindow.report.checkrun import check_run, commit_status, refusal_check
from evalwindow.report.view import build_view
from tests.unit.report.examples import results_of, run_of, suite_of, view_of, with_output

FAILING = view_of(suite_of(10, tier=Tier.SMOKE), results_of(suite_of(10, tier=Tier.SMOKE), lambda i: i > 5))


def test_a_verdict_becomes_a_completed_check_with_its_run_s_id():
    body = check_run(FAILING)
    assert (body["name"], body["status"], body["conclusion"]) == ("evalwindow/demo-smoke", "completed", "failure")
    assert body["external_id"] == FAILING.run.id
    assert body["output"]["title"].startswith("Failed: ")


@pytest.mark.parametrize(
    "answer, conclusion, state",
    [
        (Answer.PASS, "success", "success"),
        (Answer.FAIL, "failure", "failure"),
        (Answer.INCONCLUSIVE, "action_required", "error"),
    ],
)
def test_three_answers_have_three_conclusions(answer, conclusion, state):
    verdict = replace(FAILING.verdict, answer=answer)
    view = replace(FAILING, run=replace(FAILING.run, verdict=verdict))
    assert check_run(view)["conclusion"] == conclusion
    assert commit_status(view)["state"] == state


@pytest.mark.parametrize(
    "state, status, conclusion, commit",
    [
        (RunState.QUEUED, "queued", None, "pending"),
        (RunState.RUNNING, "in_progress", None, "pending"),
        (RunState.SUPERSEDED, "completed", "cancelled", "error"),
        (RunState.CANCELLED, "completed", "cancelled", "error"),
        (RunState.FAILED, "completed", "failure", "error"),
    ],
)
def test_a_run_without_a_verdict_is_never_a_success(state, status, conclusion, commit):
    suite = suite_of(1)
    view = build_view(run=run_of(suite, state=state), suite=suite, results=[])
    body = check_run(view)
    assert (body["status"], body.get("conclusion"), commit_status(view)["state"]) == (status, conclusion, commit)


def test_the_failing_prompts_are_shown_with_what_was_expected_and_got():
    summary = check_run(FAILING)["output"]["summary"]
    assert "Task 0: copy the words below." in summary
    assert "```text\nno idea\n```" in summary


def test_a_summary_over_githubs_limit_is_cut_at_whole_parts_and_says_so():
    suite = suite_of(10, tier=Tier.SMOKE)
    results = [with_output(result, "漢" * 400) for result in results_of(suite, lambda i: False)]
    checks = FAILING.verdict.checks * 250
    verdict = replace(FAILING.verdict, checks=tuple(replace(check, text="漢" * 70) for check in checks))
    view = view_of(suite, results, verdict=verdict)
    summary = check_run(view)["output"]["summary"]
    assert len(summary.encode()) <= 65_535
    assert summary.encode().decode() == summary
    assert "… cut here" in summary
    assert summary.endswith(view.url)
    assert summary.count("```") % 2 == 0


def test_title_and_description_keep_to_their_limits():
    verdict = replace(FAILING.verdict, title="long " * 200)
    view = replace(FAILING, run=replace(FAILING.run, verdict=verdict))
    assert len(check_run(view)["output"]["title"]) == 255
    assert len(commit_status(view)["description"]) == 140


def test_a_refusal_is_neutral_and_quotes_the_message_safely():
    body = refusal_check("unknown suite '```@all'")
    assert body["conclusion"] == "neutral"
    assert "@all" not in body["output"]["summary"]
    assert body["output"]["summary"].startswith("````text")
