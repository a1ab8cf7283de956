import datetime as dt
from dataclasses import replace

import pytest

from evalwindow.cli import remote
from evalwindow.model import Answer, RunState
from evalwindow.report.checkrun import check_run, commit_status
from evalwindow.report.comment import comment
from evalwindow.report.document import report_document, run_document
from evalwindow.report.headline import Tone, title_of, tone_of, word_of
from evalwindow.report.listing import runs_page
from evalwindow.report.page import page
from tests.unit.report.examples import concluded, results_of, run_of, suite_of, view_of

PAST = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)
FUTURE = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
WHY = "the A/A comparison failed: weights changed"
OPEN = (RunState.QUEUED, RunState.RUNNING)


def passed():
    """A run that is as good as its baseline."""
    suite = suite_of(200)
    return suite, results_of(suite, lambda i: True)


@pytest.mark.parametrize("state", OPEN)
def test_a_run_whose_window_is_over_is_paused_and_says_when_it_goes_on(state):
    run = run_of(suite_of(1), state=state, window_end=PAST)
    assert (word_of(run), tone_of(run)) == ("Paused", Tone.IDLE)
    assert title_of(run) == "The window is over; it goes on in the next one"
    document = run_document(run, url="http://x")
    assert (remote.word_of(document), remote.headline(document)) == (
        "PAUSED",
        "its window is over; it goes on in the next one",
    )


@pytest.mark.parametrize("end", [None, FUTURE])
@pytest.mark.parametrize("state", OPEN)
def test_a_run_within_its_window_is_not_paused(state, end):
    assert word_of(run_of(suite_of(1), state=state, window_end=end)) == state.value.capitalize()


@pytest.mark.parametrize("state", [state for state in RunState if state.final])
def test_what_is_final_is_never_paused(state):
    assert word_of(run_of(suite_of(1), state=state, window_end=PAST)) != "Paused"


def test_a_verdict_is_told_as_it_is_after_the_windows_end():
    suite, results = passed()
    assert word_of(replace(concluded(suite, results, results), window_end=PAST)) == "Passed"


def test_a_void_run_says_so_everywhere_and_nowhere_that_it_passed():
    suite, results = passed()
    view = view_of(suite, results, results, void=WHY)
    assert view.verdict.answer is Answer.PASS  # what is void here
    assert (view.word, view.tone, view.title) == ("Void", Tone.UNSURE, WHY)
    body, status = check_run(view), commit_status(view)
    assert (body["conclusion"], status["state"]) == ("action_required", "error")
    told = [str(body), str(status), comment([view]), page(view), runs_page([view.run], team=None, next_id=None)]
    for text in told:
        assert "Void" in text
        assert "Passed" not in text
    assert all(WHY in text for text in told[:-1])


def test_a_void_run_is_inconclusive_for_programs_and_for_exit_codes():
    suite, results = passed()
    view = view_of(suite, results, results, void=WHY)
    document = report_document(view)
    assert (document.answer, document.void, document.verdict.answer) == (Answer.INCONCLUSIVE, WHY, Answer.PASS)
    assert (remote.word_of(document), remote.headline(document), remote.exit_code(document)) == ("VOID", WHY, 2)


def test_a_run_that_counts_keeps_its_answer_for_programs():
    suite, results = passed()
    document = report_document(view_of(suite, results, results))
    assert (document.answer, document.void, remote.exit_code(document)) == (Answer.PASS, None, 0)
