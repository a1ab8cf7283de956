import datetime as dt
from dataclasses import replace

import pytest

from evalwindow.config import Config
from evalwindow.model import Answer, EntryState, Purpose, RunState
from evalwindow.report.night import NightLine, night_view
from evalwindow.report.night_words import headline, sentence
from evalwindow.store.night_rows import EntryRow, NightRow
from tests.unit.report.examples import concluded, results_of, run_of, suite_of

NOW = dt.datetime(2026, 3, 3, 6, 30, tzinfo=dt.UTC)
NIGHT = NightRow(
    id="n1",
    key="k",
    window="nightly",
    team="search",
    branch="main",
    starts_at=NOW - dt.timedelta(hours=8, minutes=30),
    ends_at=NOW - dt.timedelta(minutes=30),
    budget_gpu_s=None,
    dry_run=False,
    url=None,
    closed_at=None,
    close_reason=None,
    settled_at=NOW,
    void=None,
    created_at=NOW,
)
UNDER_WAY = replace(NIGHT, settled_at=None, ends_at=NOW + dt.timedelta(hours=1))
SUITE = suite_of(40, margin=0.2)
PASS = concluded(SUITE, results_of(SUITE, lambda i: True), results_of(SUITE, lambda i: True))
FAIL = concluded(SUITE, results_of(SUITE, lambda i: False), results_of(SUITE, lambda i: True))
RUNNING = run_of(SUITE, state=RunState.RUNNING)


def _line(run=None, *, model="a", state=EntryState.STARTED, note=None, left=0, over=True):
    entry = EntryRow(
        id=model,
        night_id="n1",
        seq=0,
        suite="demo",
        model=model,
        purpose=Purpose.CANDIDATE,
        state=state,
        run_id=run.id if run else None,
        baseline_run=None,
        provenance_key=None,
        note=note,
    )
    samples = 40 if run else 0
    return NightLine(
        entry=entry, over=over, run=run, view=None, before=None, samples=samples, samples_left=left, trend=()
    )


def _told(*lines, night=NIGHT):
    view = night_view(night, lines, config=Config(models={}), spent_s=0.0, base_url="", now=NOW)
    return headline(view), sentence(view)


def test_examples_say_what_they_are_meant_to():
    assert (PASS.answer, FAIL.answer) == (Answer.PASS, Answer.FAIL)


def test_a_night_that_passed_says_how_many():
    assert _told(_line(PASS), _line(PASS, model="b")) == ("Passed", "All 2 passed.")
    assert _told(_line(PASS)) == ("Passed", "1 of 1 candidate passed.")


def test_the_worst_one_is_named_with_what_it_says():
    word, told = _told(_line(PASS), _line(FAIL, model="b"))
    assert word == "Failed"
    assert told.startswith("1 of 2 candidates failed. demo × b: all fell by 100.0 points")


@pytest.mark.parametrize(
    "state, note, told",
    [
        (EntryState.INVALID, "line 3: empty\nline 4: empty", "1 of 1 candidate has an invalid dataset. demo × a: line"),
        (EntryState.REFUSED, "prompt too long", "1 of 1 candidate was refused. demo × a: prompt too long"),
        (EntryState.PLANNED, None, "1 of 1 candidate never started."),
    ],
)
def test_what_never_ran_says_why(state, note, told):
    assert _told(_line(state=state, note=note))[1].startswith(told)


def test_what_the_window_s_end_cut_says_how_far_it_got():
    word, told = _told(_line(RUNNING, left=10))
    assert (word, told) == ("Unfinished", "1 of 1 candidate is unfinished. demo × a: 30 of 40 samples are done")


def test_a_night_under_way_says_how_far_it_is():
    lines = (_line(RUNNING, left=10, over=False), _line(model="b", state=EntryState.PLANNED, over=False))
    assert _told(*lines, night=UNDER_WAY) == ("Under way", "30 of 40 samples done, 1 run still to begin.")


def test_a_verdict_is_told_before_the_night_is_over():
    lines = (_line(FAIL, over=False), _line(RUNNING, model="b", left=40, over=False))
    word, told = _told(*lines, night=UNDER_WAY)
    assert word == "Under way"
    assert told.startswith("40 of 80 samples done. 1 of 2 candidates failed. demo × a:")


def test_a_void_night_says_why_and_nothing_else():
    assert _told(_line(FAIL), night=replace(NIGHT, void="the A/A failed")) == ("Void", "the A/A failed")


def test_a_dry_run_and_an_empty_night_say_so():
    assert _told(_line(state=EntryState.PLANNED), night=replace(NIGHT, dry_run=True)) == (
        "Dry run",
        "1 candidate would be evaluated; nothing was run.",
    )
    assert _told() == ("Nothing planned", "No suite and model was chosen.")
