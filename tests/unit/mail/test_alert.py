"""The mail about a breaker: what it says, and a command that can be pasted."""

import datetime as dt
import shlex

import pytest

from evalwindow.breakers import What
from evalwindow.mail.alert import alert_of, text
from evalwindow.mail.html import styled
from evalwindow.store.breaker_rows import BreakerEvent

AT = dt.datetime(2026, 11, 21, 23, 4, tzinfo=dt.UTC)


def event(what=What.OPENED, breaker_id="pool:warm", at=AT, by=None):
    return BreakerEvent(id="01jevent", breaker_id=breaker_id, what=what, reason="no unit is running", by=by, at=at)


def alert(happened, opening=None):
    return alert_of(happened, opening=opening, base_url="https://evals.example", address="oncall@acme.example")


def command(told):
    [line] = [fact.text for fact in told.facts if fact.name == "By hand"]
    return line


@pytest.mark.parametrize("breaker_id", ["pool:warm", "provider:gpt 5 (mini)'s", f"provider:{'long-' * 30}name"])
def test_the_command_is_whole_and_a_shell_takes_it(breaker_id):
    told = alert(event(breaker_id=breaker_id))
    assert shlex.split(command(told)) == ["evalwindow", "breakers", "reset", breaker_id, "--by", "YOU"]
    assert "<code" in styled("alert.html", mail=told)


def test_only_what_is_open_can_be_reset():
    told = alert(event(What.RESET, by="lea"), opening=event())
    assert not [fact for fact in told.facts if fact.name == "By hand"]


def test_a_long_outage_is_told_in_hours():
    told = alert(event(What.CLOSED), opening=event(at=AT - dt.timedelta(hours=9, minutes=12)))
    assert "Open for     9 h 12 min" in text(told)
