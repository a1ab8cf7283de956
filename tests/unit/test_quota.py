"""The arithmetic of quotas and the words of a refusal."""

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.config import Config, Quota, ReplayModel, Team
from evalwindow.model import Tier
from evalwindow.quota import Standing, in_words, is_spent, measures, period_end, period_start, refusal

NOON = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)  # a Saturday
FREE = Quota(smoke_runs=None, queued_samples=None)


def utc(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC)


def refused(quota, tier=Tier.SMOKE, samples=10, **standing):
    return refusal(team="ads", quota=quota, standing=Standing(at=NOON, **standing), tier=tier, samples=samples)


@pytest.mark.parametrize(
    "period, at, start, end",
    [
        ("day", NOON, utc(2026, 11, 21), utc(2026, 11, 22)),
        ("day", utc(2026, 12, 31, 23, 59, 59, 999_999), utc(2026, 12, 31), utc(2027, 1, 1)),
        ("day", utc(2026, 3, 29), utc(2026, 3, 29), utc(2026, 3, 30)),
        ("week", NOON, utc(2026, 11, 16), utc(2026, 11, 23)),
        ("week", utc(2026, 11, 16), utc(2026, 11, 16), utc(2026, 11, 23)),
        ("week", utc(2027, 1, 1), utc(2026, 12, 28), utc(2027, 1, 4)),
        ("month", NOON, utc(2026, 11, 1), utc(2026, 12, 1)),
        ("month", utc(2026, 1, 31, 23), utc(2026, 1, 1), utc(2026, 2, 1)),
        ("month", utc(2028, 2, 29), utc(2028, 2, 1), utc(2028, 3, 1)),
    ],
)
def test_periods_are_those_of_the_calendar_in_utc(period, at, start, end):
    assert (period_start(period, at), period_end(period, at)) == (start, end)


def test_a_moment_of_another_time_zone_is_in_the_period_of_utc():
    tokyo = dt.timezone(dt.timedelta(hours=9))
    assert period_start("day", dt.datetime(2026, 11, 22, 3, 0, tzinfo=tokyo)) == utc(2026, 11, 21)


@given(
    st.sampled_from(["day", "week", "month"]),
    st.integers(0, 2**32).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)),
)
def test_every_moment_is_in_its_period_and_periods_follow_each_other(period, at):
    start, end = period_start(period, at), period_end(period, at)
    assert start <= at < end
    assert period_start(period, end) == end
    assert period_end(period, end - dt.timedelta(microseconds=1)) == end


def test_the_last_smoke_run_is_admitted_and_the_next_is_refused_with_limit_usage_and_when():
    quota = Quota(smoke_runs=20)
    assert refused(quota, smoke_runs=19) is None
    reason = refused(quota, smoke_runs=20)
    assert str(reason) == (
        "team 'ads' has 20 smoke runs that are not final; its quota is 20 (quota.smoke_runs): "
        "try again when one has ended, in about 30 s"
    )
    assert reason.retry_after_s == 30


def test_a_run_has_to_fit_beside_what_waits_already():
    quota = Quota(queued_samples=1_000)
    assert refused(quota, Tier.REGRESSION, 500, queued_samples=500) is None
    reason = refused(quota, Tier.REGRESSION, 500, queued_samples=501)
    assert str(reason) == (
        "team 'ads' has 501 samples of regression runs waiting or running, and this run has 500; its quota is 1,000 "
        "(quota.queued_samples): try again when some are done, in about 5 min"
    )


def test_each_tier_has_its_own_limit():
    quota = Quota(smoke_runs=1, queued_samples=500)
    assert refused(quota, Tier.REGRESSION, 500, smoke_runs=9) is None
    assert refused(quota, Tier.SMOKE, 10, queued_samples=500) is None


@pytest.mark.parametrize("tier", list(Tier))
def test_over_a_period_s_limit_nothing_is_admitted_until_it_ends(tier):
    quota = Quota(gpu_minutes=60, period="day")
    assert refused(quota, tier, gpu_s=3599) is None
    reason = refused(quota, tier, gpu_s=3672)
    assert str(reason) == (
        "team 'ads' has used 61.2 GPU-minutes today; its quota is 60 a day (quota.gpu_minutes): "
        "try again from 2026-11-22 00:00 UTC on, in 12 h"
    )
    assert reason.retry_after_s == 12 * 3600


def test_money_for_apis_is_limited_likewise():
    reason = refused(Quota(api_cost=12.5, period="month"), cost=12.5)
    assert "has spent 12.50 on API models this month; its quota is 12.5 a month (quota.api_cost)" in str(reason)
    assert "from 2026-12-01 00:00 UTC on, in 9 days 12 h" in str(reason)


def test_of_several_reasons_the_one_that_lasts_longest_is_said():
    reason = refused(Quota(smoke_runs=1, gpu_minutes=1, period="week"), smoke_runs=5, gpu_s=100)
    assert "quota.gpu_minutes" in str(reason)


def test_no_limit_refuses_nothing():
    for tier in Tier:
        huge = {"smoke_runs": 10**6, "queued_samples": 10**9, "gpu_s": 1e9, "cost": 1e9}
        assert refused(FREE, tier, 10**6, **huge) is None


def test_a_team_is_spent_by_what_is_limited_in_its_period_only():
    standing = Standing(at=NOON, smoke_runs=99, queued_samples=10**6, gpu_s=60.0, cost=1.0)
    assert not is_spent(Quota(smoke_runs=1), standing)
    assert is_spent(Quota(gpu_minutes=1), standing)
    assert is_spent(Quota(api_cost=1), standing)
    assert not is_spent(Quota(gpu_minutes=1.01, api_cost=1.01), standing)


def test_measures_tell_what_is_used_of_each_limit():
    standing = Standing(at=NOON, smoke_runs=2, queued_samples=70, gpu_s=90.0, cost=0.5)
    told = {each.name: (each.used, each.limit, each.full) for each in measures(Quota(smoke_runs=2), standing)}
    assert told == {
        "smoke_runs": (2, 2, True),
        "queued_samples": (70, 50_000, False),
        "gpu_minutes": (1.5, None, False),
        "api_cost": (0.5, None, False),
    }


@given(st.floats(0.001, 40 * 86400))
def test_a_duration_in_words_is_never_shorter_than_it_is(seconds):
    units = {"s": 1, "min": 60, "h": 3600, "days": 86400}
    said = sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) (\w+)", in_words(seconds)))
    assert seconds <= said <= max(seconds + 60 if seconds <= 48 * 3600 else seconds + 3600, 1)


@pytest.mark.parametrize(
    "seconds, words",
    [(30, "30 s"), (90.5, "2 min"), (3600, "1 h"), (18_180, "5 h 3 min"), (200_000, "2 days 8 h"), (172_800, "2 days")],
)
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


def test_a_team_s_own_quota_takes_the_place_of_the_one_of_all(tmp_path):
    own = Quota(smoke_runs=3)
    config = Config(
        models={"m": ReplayModel(engine="replay", outputs=tmp_path)},
        quota=Quota(smoke_runs=7),
        teams={"ads": Team(quota=own), "search": Team()},
    )
    assert [config.quota_of(team).smoke_runs for team in ("ads", "search", "gone")] == [3, 7, 7]
