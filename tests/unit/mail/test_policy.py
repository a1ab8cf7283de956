from dataclasses import replace

import pytest

from evalwindow.config import MailTo
from evalwindow.mail.policy import recipients, wants
from evalwindow.model import EntryState
from tests.unit.mail.examples import entry_of, good, judged, lost_sort, night_view, planned, unfinished

PASSED = judged(good, model="good")
FAILED = judged(lost_sort, model="bad")
STILL_FAILING = judged(lost_sort, model="still-bad", before="FAIL")
VOID = judged(good, model="void", void="lost against itself", before="VOID")
INVALID = planned(entry=entry_of("other", "good", state=EntryState.INVALID), before="INVALID DATASET")
REFUSED = planned(entry=entry_of("other", "bad", state=EntryState.REFUSED), before="REFUSED")
UNFINISHED = replace(unfinished("big"), before="UNFINISHED")
NIGHT = night_view(FAILED, STILL_FAILING, INVALID, REFUSED, VOID, UNFINISHED, PASSED)


def _told(when, *suites):
    rule = MailTo(to=("a@x.example",), when=when, suites=suites)
    return [line.entry.model for line in NIGHT.lines if wants(rule, line)]


def test_always_is_everything_in_the_order_of_the_night():
    assert _told("always") == [line.entry.model for line in NIGHT.lines]


def test_failure_is_all_but_what_passed():
    assert _told("failure") == ["bad", "still-bad", "good", "bad", "void", "big"]


def test_change_is_another_verdict_than_the_night_before_and_whatever_decided_nothing():
    assert _told("change") == ["bad", "good", "bad", "void", "big"]


def test_a_first_verdict_is_a_change():
    night = night_view(judged(good, before=None))
    rule = MailTo(to=("a@x.example",), when="change")
    assert len([line for line in night.lines if wants(rule, line)]) == 1


@pytest.mark.parametrize("when", ["always", "failure", "change"])
def test_only_the_suites_that_were_asked_for(when):
    assert _told(when, "other") == ["good", "bad"]


def _recipients(*rules, night=NIGHT):
    told = recipients(replace(night, window=night.window.model_copy(update={"mail": rules})))
    return {address: [line.entry.model for line in lines] for address, lines in told.items()}


def test_an_address_in_several_rules_gets_what_any_of_them_wants_once():
    rules = (
        MailTo(to=("lea@x.example", "kim@x.example"), suites=("other",)),
        MailTo(to=("Lea@X.example",), when="failure"),
    )
    assert _recipients(*rules) == {
        "lea@x.example": ["bad", "still-bad", "good", "bad", "void", "big"],
        "kim@x.example": ["good", "bad"],
    }


def test_who_would_be_told_nothing_gets_no_mail():
    rule = MailTo(to=("a@x.example",), when="failure")
    assert _recipients(rule, night=night_view(PASSED)) == {}
    assert _recipients(MailTo(to=("a@x.example",), suites=("unknown",))) == {}


def test_a_window_that_is_not_configured_any_more_tells_nobody():
    assert recipients(replace(NIGHT, window=None)) == {}
