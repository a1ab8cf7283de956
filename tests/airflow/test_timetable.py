"""When Airflow starts a window's nights: over both changes of the clock, late, and never twice."""

import datetime as dt
from zoneinfo import ZoneInfo

import pendulum
import pytest
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import DataInterval, TimeRestriction
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.airflow.timetable import WindowTimetable
from evalwindow.errors import ConfigInvalid
from evalwindow.windows import occurrence_at

HOUR = dt.timedelta(hours=1)
ANY_TIME = TimeRestriction(earliest=None, latest=None, catchup=False)
YEARS = dt.datetime(2025, 1, 1), dt.datetime(2028, 1, 1)  # noqa: DTZ001  the strategy adds the zone
moments = st.datetimes(*YEARS, timezones=st.just(dt.UTC))
hours = st.builds(
    WindowTimetable,
    cron=st.sampled_from(["0 22 * * *", "30 2 * * *", "0 0 * * *", "15 1,13 * * 1-5", "0 12 * * 6", "0 3 1 * *"]),
    duration_minutes=st.sampled_from([1, 60, 8 * 60, 24 * 60, 25 * 60, 48 * 60]),
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
)


def window(cron="0 22 * * *", *, minutes=8 * 60, timezone="Europe/Berlin"):
    return WindowTimetable(cron=cron, duration_minutes=minutes, timezone=timezone)


def utc(*parts):
    return dt.datetime(*parts, tzinfo=dt.UTC)


def interval(start, end):
    return DataInterval(pendulum.instance(start), pendulum.instance(end))


def runs_in(found, first, last):
    """The data intervals that a scheduler sees that looks on time, in local time."""
    zone, seen, previous = ZoneInfo(found.timezone), [], None
    now = first
    while (upcoming := found.first_after(now, previous, ANY_TIME)) is not None and upcoming.start < last:
        seen.append(" - ".join(f"{moment.astimezone(zone):%d %H:%M}" for moment in (upcoming.start, upcoming.end)))
        now, previous = upcoming.start, interval(upcoming.start, upcoming.end)
    return seen


def test_a_run_starts_when_its_window_opens_and_its_interval_is_the_time_it_is_open():
    info = window().next_dagrun_info(last_automated_data_interval=None, restriction=ANY_TIME)
    start, end = info.data_interval
    assert info.run_after == start
    assert (start.in_timezone("Europe/Berlin").hour, end - start) == (22, 8 * HOUR)
    assert end > dt.datetime.now(dt.UTC)


@pytest.mark.parametrize(
    "found, first, last, expected",
    [
        (
            window(), utc(2026, 3, 27, 12), utc(2026, 3, 30),
            ["27 22:00 - 28 06:00", "28 22:00 - 29 07:00", "29 22:00 - 30 06:00"],
        ),
        (window(), utc(2026, 10, 24, 12), utc(2026, 10, 26), ["24 22:00 - 25 05:00", "25 22:00 - 26 06:00"]),
        (  # starts in the hour that is skipped: right after it
            window("30 2 * * *", minutes=60), utc(2026, 3, 28), utc(2026, 3, 30, 12),
            ["28 02:30 - 28 03:30", "29 03:00 - 29 04:00", "30 02:30 - 30 03:30"],
        ),
        (  # in the hour that is repeated: once
            window("30 2 * * *", minutes=60), utc(2026, 10, 24, 12), utc(2026, 10, 26),
            ["25 02:30 - 25 02:30"],
        ),
        (
            window("30 1 * * *", minutes=60, timezone="America/New_York"), utc(2026, 10, 31, 12), utc(2026, 11, 2, 12),
            ["01 01:30 - 01 01:30", "02 01:30 - 02 02:30"],
        ),
        (  # a window a day long, on days of 23 and 25 hours: no gap, no overlap
            window("0 0 * * *", minutes=24 * 60), utc(2026, 3, 28, 23), utc(2026, 3, 31),
            ["29 00:00 - 30 00:00", "30 00:00 - 31 00:00", "31 00:00 - 01 00:00"],
        ),
        (
            window("0 0 * * *", minutes=24 * 60), utc(2026, 10, 24, 22), utc(2026, 10, 26),
            ["25 00:00 - 25 23:00", "26 00:00 - 27 00:00"],
        ),
    ],
)  # fmt: skip
def test_the_nights_when_the_clock_changes(found, first, last, expected):
    assert runs_in(found, first, last) == expected


def test_one_that_is_still_open_is_run_late_with_its_true_end():
    late = window().first_after(utc(2026, 6, 2, 1), None, ANY_TIME)
    assert (late.start, late.end) == (utc(2026, 6, 1, 20), utc(2026, 6, 2, 4))


def test_one_that_was_run_is_not_run_again_while_it_is_open():
    done = interval(utc(2026, 6, 1, 20), utc(2026, 6, 2, 4))
    assert window().first_after(utc(2026, 6, 2, 1), done, ANY_TIME).start == utc(2026, 6, 2, 20)


@pytest.mark.parametrize("catchup", [True, False])
def test_what_was_missed_stays_missed(catchup):
    since_may = TimeRestriction(earliest=pendulum.datetime(2026, 5, 1), latest=None, catchup=catchup)
    last = interval(utc(2026, 5, 1, 20), utc(2026, 5, 2, 4))
    assert window().first_after(utc(2026, 6, 1, 12), last, since_may).start == utc(2026, 6, 1, 20)


def test_a_dag_starts_no_sooner_than_it_says_and_stops_when_it_says():
    start = TimeRestriction(earliest=pendulum.datetime(2026, 6, 3, 20), latest=None, catchup=False)
    assert window().first_after(utc(2026, 6, 1), None, start).start == utc(2026, 6, 3, 20)
    over = TimeRestriction(earliest=None, latest=pendulum.datetime(2026, 1, 1), catchup=False)
    assert window().next_dagrun_info(last_automated_data_interval=None, restriction=over) is None


@given(found=hours, now=moments)
def test_the_next_run_is_never_over_and_follows_the_last_one(found, now):
    first = found.first_after(now, None, ANY_TIME)
    second = found.first_after(now, interval(first.start, first.end), ANY_TIME)
    assert now < first.end <= second.start
    assert first.start > now or now in first


@given(found=hours, now=moments)
def test_an_open_window_is_never_passed_over(found, now):
    current = occurrence_at(found, now)
    assert current is None or found.first_after(now, None, ANY_TIME) == current


def test_a_run_by_hand_has_no_hours_of_its_own():
    moment = pendulum.datetime(2026, 6, 1, 12)
    assert window().infer_manual_data_interval(run_after=moment) == DataInterval(moment, moment)


@given(found=hours)
def test_it_survives_the_way_through_airflows_database(found):
    assert decode_timetable(encode_timetable(found)) == found


def test_it_tells_its_hours():
    assert window().summary == "0 22 * * * (Europe/Berlin), 8 h"
    assert window(minutes=90).summary.endswith("1 h 30 min")


@pytest.mark.parametrize("wrong", [window("0 25 * * *"), window("0 22 * *"), window(timezone="Europe/Bonn")])
def test_hours_that_cannot_be_read_are_refused(wrong):
    with pytest.raises(ConfigInvalid):
        wrong.validate()
