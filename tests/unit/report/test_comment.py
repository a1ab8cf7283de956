import re

from evalwindow.model import RunState, Tier
from evalwindow.report.comment import MARKER, SHOWN_SAMPLES, comment
from evalwindow.report.view import build_view
from tests.unit.report.examples import results_of, run_of, suite_of, view_of

EVIL = "@everyone @acme/all\n```\n![x](http://evil/x.png) <img src=http://evil> <!-- evalwindow -->"


def _smoke(right, **changes):
    suite = suite_of(10, tier=Tier.SMOKE)
    return view_of(suite, results_of(suite, right, **changes))


def test_all_suites_of_a_commit_stand_in_one_table():
    regression = suite_of(8)
    running = build_view(run=run_of(regression, state=RunState.RUNNING), suite=regression, results=[])
    text = comment([running, _smoke(lambda i: True)])
    assert text.startswith(MARKER)
    assert "**Running**" in text
    assert "**Passed**" in text


def test_a_green_suite_takes_one_line():
    assert "failing prompt" not in comment([_smoke(lambda i: True)])


def test_a_red_suite_shows_prompt_expectation_and_answer():
    text = comment([_smoke(lambda i: i > 2)])
    assert "Task 0: copy the words below." in text
    assert "expected\n\n```text\n0\n```" in text
    assert "got\n\n```text\nno idea\n```" in text


def test_only_some_failing_prompts_are_shown_and_the_rest_is_counted():
    text = comment([_smoke(lambda i: False)])
    assert text.count("\n\nasked\n\n") == SHOWN_SAMPLES
    assert f"… and {10 - SHOWN_SAMPLES} more" in text


def test_an_output_full_of_markup_stays_text():
    text = comment([_smoke(lambda i: False, wrong_text=EVIL)])
    outside = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", text)
    assert "evil" not in outside
    assert re.search(r"@[A-Za-z]", text) is None
