from dataclasses import replace

import pytest

from evalwindow.mail.subject import MOST_CHARACTERS, subject
from evalwindow.model import EntryState
from tests.unit.mail.examples import (
    a_little_worse,
    entry_of,
    good,
    judged,
    lost_sort,
    mail_of,
    night_view,
    planned,
    unfinished,
)
from tests.unit.report.examples import suite_of

FAILED = judged(lost_sort, model="demo-lost-sort")
PASSED = judged(good, model="demo-as-good")
CLOSE = judged(a_little_worse, model="demo-close")
TAIL = " · nightly 2026-11-21"


def _subject(*lines, **changes):
    view = night_view(*lines, **changes)
    return subject(view, view.lines)


def test_one_failure_says_what_fell_and_how_far():
    assert _subject(FAILED) == f"FAIL demo-regression (demo-lost-sort): sort −96.0 points{TAIL}"


def test_one_pass_says_how_it_moved():
    assert _subject(PASSED) == f"PASS demo-regression (demo-as-good): all +1.0 points{TAIL}"


def test_the_others_are_counted_behind_the_worst():
    assert _subject(FAILED, CLOSE, PASSED) == (
        f"FAIL demo-regression (demo-lost-sort): sort −96.0 points; 1 inconclusive, 1 passed{TAIL}"
    )


def test_several_of_a_kind_are_counted_with_their_suites():
    assert _subject(PASSED, PASSED) == f"PASS all 2: demo-regression{TAIL}"
    lines = [replace(FAILED, entry=entry_of(f"suite-{n}")) for n in range(5)]
    assert _subject(*lines, PASSED) == f"FAIL 5 of 6: suite-0, suite-1, suite-2 and 2 more; 1 passed{TAIL}"


def test_a_void_night_is_void_before_anything_else():
    line = judged(good, void="lost")
    assert _subject(line, PASSED, void="the A/A comparison failed").startswith("VOID demo-regression: the baseline")


@pytest.mark.parametrize(
    "line, told",
    [
        (unfinished("demo"), "UNFINISHED demo-regression (demo): 312 of 500 samples are done"),
        (
            planned(entry=entry_of("gsm8k", state=EntryState.INVALID, note="3 of 500 rows are invalid\nrow 7: empty")),
            "INVALID DATASET gsm8k (demo): 3 of 500 rows are invalid",
        ),
        (
            planned(entry=entry_of("gsm8k", state=EntryState.REFUSED, note="unknown model 'x'")),
            "REFUSED gsm8k (demo): unknown model 'x'",
        ),
        (planned(entry=entry_of("gsm8k")), "NOT STARTED gsm8k (demo)"),
    ],
)
def test_what_was_not_judged_says_why(line, told):
    assert _subject(line) == told + TAIL


def test_without_a_baseline_the_reason_stands_in_place_of_points():
    line = judged(good, baseline=None)
    assert _subject(line).startswith("INCONCLUSIVE demo-regression (demo): there is no production baseline")


def test_the_date_is_the_one_on_the_window_s_clock():
    start = night_view(PASSED).night.starts_at.replace(hour=23, minute=30)  # half past midnight in Berlin
    assert _subject(PASSED, starts_at=start).endswith("nightly 2026-11-22")


def test_a_subject_stays_short_and_keeps_window_and_date():
    name = "a-suite-with-a-name-as-long-as-names-may-be-in-this-installation"
    line = judged(lost_sort, model=name, suite=None, entry=entry_of(name, name))
    told = _subject(line, *[PASSED] * 30, CLOSE)
    assert len(told) <= MOST_CHARACTERS
    assert told.startswith("FAIL a-suite")
    assert told.endswith(TAIL)


@pytest.mark.parametrize(
    "evil", ["x\r\nBcc: all@acme.example", "x\nSubject: PASS", "x\x00y", "\u202eSSAP", "x\u2028y", "x\x1b[2Ky"]
)
def test_no_text_from_outside_reaches_the_headers(evil):
    """A dataset's rows and names are written by whoever may change the repository."""
    note = f"{evil} is invalid"
    line = planned(entry=entry_of("gsm8k", state=EntryState.INVALID, note=note))
    message = mail_of(night_view(line))
    assert message["Bcc"] is None
    assert message.get_all("Subject") == [message["Subject"]]
    head = message.as_bytes().split(b"\r\n\r\n")[0]
    assert b"\r\nBcc:" not in head
    assert not any(character in message["Subject"] for character in "\r\n\x00\u202e\u2028\x1b")


def test_a_slice_s_name_is_foreign_text_too():
    name = "odd\r\nBcc: x@y.example"
    suite = suite_of(400, blocking=(name,))
    samples = (replace(sample, slices=(name,) if n % 2 else ()) for n, sample in enumerate(suite.samples))
    message = mail_of(night_view(judged(lambda n: n % 2 == 0, suite=replace(suite, samples=tuple(samples)))))
    assert message["Bcc"] is None
    assert "odd Bcc: x@y.example" in message["Subject"]
