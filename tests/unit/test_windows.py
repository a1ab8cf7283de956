"""When windows open and close, over both changes of the clock."""

import datetime as dt
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.config import Window
from evalwindow.errors import ConfigInvalid
from evalwindow.windows import Occurrence, check_times, next_occurrence, occurrence_at, occurrences

HOUR = dt.timedelta(hours=1)
BERLIN = ZoneInfo("Europe/Berlin")
YEARS = dt.datetime(2020, 1, 1), dt.datetime(2030, 1, 1)  # noqa: DTZ001  the strategy adds the zone
moments = st.datetimes(*YEARS, timezones=st.just(dt.UTC))


def window(cron: str = "0 22 * * *", *, minutes: int = 480, timezone: str = "Europe/Berlin") -> Window:
    return Window(
        cron=cron, duration_minutes=minutes, timezone=timezone, team="search", suites=("echo",), models=("demo",)
    )


def utc(*parts: int) -> dt.datetime:
    return dt.datetime(*parts, tzinfo=dt.UTC)


def starts_in_berlin(found: Window, after: dt.datetime, count: int) -> list[str]:
    return [f"{each.start.astimezone(BERLIN):%d %H:%M}" for each in islice(occurrences(found, after), count)]


def test_a_night_starts_at_its_local_hour_in_winter_and_in_summer():
    assert starts_in_berlin(window(), utc(2026, 3, 28), 2) == ["28 22:00", "29 22:00"]
    assert starts_in_berlin(window(), utc(2026, 10, 24), 3) == ["24 22:00", "25 22:00", "26 22:00"]


def test_eight_hours_stay_eight_hours_when_the_clock_changes():
    for day in (utc(2026, 3, 28, 12), utc(2026, 10, 24, 12)):
        found = next_occurrence(window(), day)
        assert found is not None and found.end - found.start == 8 * HOUR


def test_a_start_in_the_hour_that_is_skipped_comes_right_after_it():
    assert starts_in_berlin(window("30 2 * * *"), utc(2026, 3, 28, 12), 2) == ["29 03:00", "30 02:30"]


def test_a_start_in_the_hour_that_is_repeated_comes_once():
    found = window("30 2 * * *", minutes=60)
    assert starts_in_berlin(found, utc(2026, 10, 24, 12), 2) == ["25 02:30", "26 02:30"]
    inside = next_occurrence(found, utc(2026, 10, 25, 0, 40))  # 02:40 for the first time
    assert inside is not None and inside.start == utc(2026, 10, 26, 1, 30)


def test_days_of_23_and_25_hours_neither_overlap_nor_leave_a_gap():
    for day, hours in ((utc(2026, 3, 28, 12), 23), (utc(2026, 10, 24, 12), 25)):
        first, second = islice(occurrences(window("0 0 * * *", minutes=25 * 60), day), 2)
        assert first.end == second.start and first.end - first.start == hours * HOUR


def test_a_window_longer_than_its_pause_ends_where_the_next_one_starts():
    first, second = islice(occurrences(window("0 */6 * * *", minutes=600), utc(2026, 1, 1)), 2)
    assert first.end == second.start


def test_it_is_open_from_its_start_until_just_before_its_end():
    night = Occurrence(start=utc(2026, 1, 1, 21), end=utc(2026, 1, 2, 5))
    assert occurrence_at(window(), night.start) == night
    assert occurrence_at(window(), night.end - dt.timedelta(microseconds=1)) == night
    assert occurrence_at(window(), night.end) is None
    assert occurrence_at(window(), night.start - dt.timedelta(microseconds=1)) is None


@given(moments, st.sampled_from(["0 22 * * *", "30 2 * * *", "*/15 1-3 * * *", "0 0 * * 0", "0 * * * *"]))
def test_occurrences_ascend_never_overlap_and_are_never_empty(moment, cron):
    found = list(islice(occurrences(window(cron, minutes=90), moment), 6))
    assert found[0].start > moment
    assert all(each.start < each.end <= each.start + 1.5 * HOUR for each in found)
    assert all(first.end <= second.start for first, second in pairwise(found))


@given(moments, st.integers(0, 48 * 60), st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC"]))
def test_where_one_looks_from_changes_nothing(moment, earlier, timezone):
    found = window("15 1,13 * * *", minutes=120, timezone=timezone)
    wanted = next_occurrence(found, moment)
    from_earlier = (each for each in occurrences(found, moment - dt.timedelta(minutes=earlier)) if each.start > moment)
    assert wanted == next(from_earlier)


@given(moments)
def test_what_is_open_is_what_was_to_open(moment):
    found = window("0 */4 * * *", minutes=150)
    open_now = occurrence_at(found, moment)
    listed = [each for each in islice(occurrences(found, moment - 12 * HOUR), 12) if moment in each]
    assert listed == ([open_now] if open_now else [])


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"timezone": "Europe/Berln"}, r"timezone 'Europe/Berln' is unknown; write one like Europe/Berlin"),
        ({"timezone": "../etc/passwd"}, "timezone"),
        ({"cron": "0 22 * *"}, r"cron '0 22 \* \*' needs five fields: minute hour day month weekday"),
        ({"cron": "0 25 * * *"}, r"can't be read \(Bad hour\); every night at ten is '0 22 \* \* \*'"),
        ({"cron": "0 0 30 2 *"}, "can't be read"),
        ({"cron": "@daily"}, "needs five fields"),
    ],
)
def test_times_that_cannot_be_are_refused_with_what_would_be_right(wrong, words):
    with pytest.raises(ConfigInvalid, match=words):
        check_times(window(wrong.get("cron", "0 22 * * *"), timezone=wrong.get("timezone", "UTC")))
