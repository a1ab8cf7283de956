"""When an engine may rest: against a calendar written out minute by minute."""

import datetime as dt
from itertools import takewhile
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from evalwindow.config import Config, Hours
from evalwindow.windows import occurrences
from workers.warmth import Warmth

DAY = dt.timedelta(days=1)
LONG = 10**6  # seconds: idle for longer than any limit here

crons = st.sampled_from(["0 22 * * *", "30 2 * * *", "0 8 * * 1-5", "*/90 * * * *", "15 3 1 * *", "0 0 * * 0"])
zones = st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
stretches = st.builds(Hours, cron=crons, duration_minutes=st.integers(1, 1000), timezone=zones)
moments = st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2026, 12, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001
leads = st.timedeltas(dt.timedelta(0), dt.timedelta(hours=2))


def config(*, keep_warm: dict[str, Any] | None, windows: dict[str, Any] | None = None, **pool: Any) -> Config:
    window = {"duration_minutes": 60, "timezone": "Europe/Berlin", "team": "search", "suites": ["s"]}
    return Config.model_validate(
        {
            "pools": {"warm": {"model": "m", "keep_warm": keep_warm, **pool}, "other": {"model": "m"}},
            "models": {
                "ours": {"engine": "vllm", "pool": "warm"},
                "theirs": {"engine": "vllm", "pool": "other"},
            },
            "windows": {name: {**window, **more} for name, more in (windows or {}).items()},
        }
    )


def warmth(*hours: Hours, lead: dt.timedelta = dt.timedelta(0), idle_s: float = 60.0) -> Warmth:
    return Warmth(rest="stop", idle_s=idle_s, hours=hours, lead=lead)


def written_out(hours: Hours, now: dt.datetime, lead: dt.timedelta) -> bool:
    """Whether any occurrence of the days around has to find the engine awake now."""
    around = takewhile(lambda each: each.start <= now + 2 * DAY, occurrences(hours, now - 40 * DAY))
    return any(each.start - lead <= now < each.end for each in around)


@given(stretch=stretches, now=moments, lead=leads)
def test_it_is_awake_in_its_hours_and_from_its_lead_on(stretch, now, lead):
    assert warmth(stretch, lead=lead).wanted(now) is written_out(stretch, now, lead)


@given(some=st.lists(stretches, max_size=3), now=moments, lead=leads)
def test_it_never_rests_inside_hours_nor_shortly_before_them(some, now, lead):
    may = warmth(*some, lead=lead).may_rest(idle_s=LONG, now=now)
    assert may is not any(written_out(stretch, now, lead) for stretch in some)


@given(some=st.lists(stretches, max_size=2), now=moments, idle_s=st.floats(0, 1e5), limit_s=st.floats(1, 1e5))
def test_it_never_rests_before_it_was_idle_for_long_enough(some, now, idle_s, limit_s):
    assume(idle_s < limit_s)
    assert not warmth(*some, idle_s=limit_s).may_rest(idle_s=idle_s, now=now)


@given(stretch=stretches, now=moments, lead=leads, more=leads)
def test_a_longer_lead_never_lets_it_rest_more(stretch, now, lead, more):
    if not warmth(stretch, lead=lead).may_rest(idle_s=LONG, now=now):
        assert not warmth(stretch, lead=lead + more).may_rest(idle_s=LONG, now=now)


def at(hour: int, minute: int = 0) -> dt.datetime:
    """On Wednesday 4 March 2026 in Berlin, which is UTC+1 then."""
    return dt.datetime(2026, 3, 4, hour - 1, minute, tzinfo=dt.UTC)


def test_a_window_that_uses_a_model_of_the_pool_keeps_it_awake_and_another_does_not():
    windows = {
        "ours": {"cron": "0 22 * * *", "models": ["theirs", "ours"]},
        "theirs": {"cron": "0 12 * * *", "models": ["theirs"]},
    }
    made = Warmth.of(config(keep_warm={"idle_minutes": 2}, windows=windows, cold_start_s=600), "warm")
    assert made is not None
    assert made.rest == "sleep"
    assert [made.wanted(at(*time)) for time in ((12, 30), (21, 49), (21, 50), (22, 59), (23, 0))] == [
        False,
        False,
        True,
        True,
        False,
    ]
    assert not made.may_rest(idle_s=119, now=at(12))
    assert made.may_rest(idle_s=120, now=at(12))


def test_hours_of_the_pool_keep_it_awake():
    hours = [{"cron": "0 9 * * 1-5", "duration_minutes": 480, "timezone": "Europe/Berlin"}]
    made = Warmth.of(config(keep_warm={"idle_minutes": 2, "hours": hours}, cold_start_s=0), "warm")
    assert made is not None
    assert [made.wanted(at(hour)) for hour in (8, 9, 16, 17)] == [False, True, True, False]
    assert not made.wanted(at(12) + 3 * DAY), "on Saturday"


def test_a_pool_without_keep_warm_never_rests():
    assert Warmth.of(config(keep_warm=None), "warm") is None
