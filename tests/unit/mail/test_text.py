import re
from dataclasses import replace

from evalwindow.mail.text import WIDTH
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
from tests.unit.mail.test_html import FAILED, PASSED, Page
from tests.unit.report.examples import suite_of

NOTE = "2 of 500 rows are invalid\nrow 17: target is empty"
INVALID = planned(entry=entry_of("gsm8k", state=EntryState.INVALID, note=NOTE))


def _text(*lines, **changes):
    return mail_of(night_view(*lines, **changes)).get_body(("plain",)).get_content()


def test_the_first_lines_are_the_answer():
    first, second, *_ = _text(FAILED, PASSED).splitlines()
    assert first == "FAIL  demo-regression (demo-lost-sort): sort −96.0 points"
    assert second == "1 failed, 1 passed"


def test_the_table_is_aligned():
    lines = _text(FAILED).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("slice "))
    table = lines[start : start + 6]
    assert [line.split()[0] for line in table] == ["slice", "all", "sort", "sum", "classify", "copy"]
    assert len({line.rindex("  ") for line in table}) == 1


def test_no_line_is_too_long_for_a_terminal_but_a_link():
    long = [line for line in _text(FAILED, INVALID, unfinished(), PASSED).splitlines() if len(line) > WIDTH]
    assert all("https://" in line for line in long)


def test_it_says_all_that_the_html_says():
    """Every cell, sentence and link of the HTML stands in the text too."""
    message = mail_of(night_view(FAILED, INVALID, unfinished(), judged(a_little_worse, model="close"), PASSED))
    plain = "".join(message.get_body(("plain",)).get_content().split())
    page = Page(message.get_body(("html",)).get_content())
    told = ["".join(piece.split()) for piece in page.pieces]
    missing = {piece for piece in told[told.index("·nightly·2026-11-21") + 1 :] if piece not in plain}
    heads = {"Verdict", "Suite", "Model", "Because", "Slice", "Baseline→now", "Points", "Interval", "Margin"}
    assert missing <= heads | {"asthebaselinesaid", "Allruns·TheNightinAirflow"}
    assert all(link in plain for link in page.all("a", "href"))


def test_the_picture_is_told_in_words():
    assert "Score now 73.0 %, in the 13 nights before 95.0 % to 96.6 %, baseline 96.0 %." in " ".join(
        _text(FAILED).split()
    )


def test_a_long_slice_name_has_its_own_line():
    name = "customers that wrote in capital letters"
    suite = suite_of(200, blocking=("sort",))
    samples = tuple(replace(sample, slices=(name,)) for sample in suite.samples)
    lines = _text(judged(good, suite=replace(suite, samples=samples))).splitlines()
    assert "96.0 % → 97.0 %" in lines[lines.index(name) + 1]


def test_a_percent_sign_stays_with_its_number():
    assert not re.search(r"\n\s*%", _text(FAILED, INVALID, unfinished(), PASSED))


def test_the_night_before_is_said():
    assert "The night before: PASS." in _text(FAILED)
    assert "As in the night before: PASS." in _text(PASSED)
    assert "The first night of this suite and model." in _text(judged(good, before=None))


def test_the_power_is_told_where_nothing_was_decided():
    assert "paired samples" in _text(judged(a_little_worse))
    assert "paired samples" not in _text(judged(lost_sort))
