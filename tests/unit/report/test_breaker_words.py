"""A breaker in words: since when, what it means for those who wait, what happens next."""

import datetime as dt

import pytest

from evalwindow.breakers import Phase, Standing
from evalwindow.report.breakers import BreakerView, by_itself
from evalwindow.store.breaker_rows import BreakerRow

NOW = dt.datetime(2026, 11, 21, 23, 0, tzinfo=dt.UTC)


def view(breaker_id="pool:warm", **standing):
    row = BreakerRow(id=breaker_id, standing=Standing(**standing), at=NOW, now=NOW)
    return BreakerView(row=row, reason="no unit is running")


def minutes(count):
    return dt.timedelta(minutes=count)


def test_an_open_one_says_how_long_and_when_one_may_try():
    shown = view(phase=Phase.OPEN, opened_at=NOW - minutes(107), retry_at=NOW + minutes(4))
    assert (shown.word, shown.lasts) == ("open", "1 h 47 min")
    assert shown.next == "one may try at 2026-11-21 23:04:00 UTC (in 4 min)"
    assert "wait" in shown.effect
    assert view(phase=Phase.OPEN, opened_at=NOW, retry_at=NOW).next == "whoever comes next may try"


def test_one_on_trial_says_when_the_next_may():
    shown = view(phase=Phase.HALF_OPEN, opened_at=NOW, retry_at=NOW + minutes(1))
    assert shown.word == "on trial"
    assert shown.next == "one is trying; if it says nothing, the next one may at 2026-11-21 23:01:00 UTC (in 1 min)"
    late = view(phase=Phase.HALF_OPEN, opened_at=NOW, retry_at=NOW - minutes(1))
    assert late.next.endswith("may at 2026-11-21 22:59:00 UTC")


def test_a_closed_one_counts_and_keeps_nobody_waiting():
    shown = view(failures=2, since=NOW - minutes(1))
    assert (shown.word, shown.next, shown.effect, shown.lasts) == ("closed", "2 failures in a row so far", "", "1 min")


@pytest.mark.parametrize("breaker_id", ["team:ads/errors", "team:ads/submissions"])
def test_a_teams_own_refuses_its_new_runs(breaker_id):
    assert "new runs are refused" in view(breaker_id, phase=Phase.OPEN, opened_at=NOW).effect


def test_a_loop_reads_that_it_keeps_its_breaker_open_itself():
    shown = view("team:ads/submissions", phase=Phase.OPEN, opened_at=NOW, retry_at=NOW + minutes(1))
    assert shown.next == "submissions are taken again at 2026-11-21 23:01:00 UTC (in 1 min), unless as many keep coming"
    assert "as long as too many keep coming" in by_itself("team:ads/submissions")
    assert "One run of the team is let in" in by_itself("team:ads/errors")
