import datetime as dt

import pytest

from evalwindow.report import words


@pytest.mark.parametrize(
    "value, text",
    [(None, "–"), (0.0123, "12 ms"), (3.21, "3.2 s"), (180, "3 min"), (200.4, "3 min 20 s"), (239.9, "4 min")],
)
def test_seconds_are_told_in_the_unit_that_fits(value, text):
    assert words.seconds(value) == text


@pytest.mark.parametrize(
    "seconds, text",
    [(-3, "0 s"), (26.4, "26 s"), (725, "12 min"), (6430, "1 h 47 min"), (7200, "2 h"), (266_400, "3 d 2 h")],
)
def test_how_long_something_lasts_is_told_roughly(seconds, text):
    assert words.roughly(dt.timedelta(seconds=seconds)) == text


def test_differences_carry_their_sign():
    assert (words.points(-0.031), words.points(0.02), words.points(None)) == ("−3.1", "+2.0", "–")


@pytest.mark.parametrize(
    "text, bare",
    [
        ("all scored 86.8, floor 50: PASS", "all scored 86.8, floor 50"),
        ("margin 3: INCONCLUSIVE, about 9 samples would decide", "margin 3, about 9 samples would decide"),
        ("sort fell: FAIL (and 1 more)", "sort fell (and 1 more)"),
    ],
)
def test_the_answer_is_left_out_where_it_stands_beside(text, bare):
    assert words.without_answer(text) == bare


def test_a_night_is_told_in_its_own_time():
    start = dt.datetime(2026, 3, 2, 21, 0, tzinfo=dt.UTC)
    end = start + dt.timedelta(hours=8)
    assert words.day(start, "Europe/Berlin") == "Mon 2 Mar 2026"
    assert words.hours(start, end, "Europe/Berlin") == "22:00–06:00 CET"
    assert words.local(start, "America/Sao_Paulo") == "Mon 2 Mar 2026, 18:00 America/Sao_Paulo"
    assert words.local(None, "UTC") == words.NOTHING


def test_hours_over_a_change_of_the_clock_name_both_zones():
    start = dt.datetime(2026, 3, 28, 21, 0, tzinfo=dt.UTC)
    assert words.hours(start, start + dt.timedelta(hours=8), "Europe/Berlin") == "22:00 CET – 07:00 CEST"


def test_hours_of_more_than_a_day_name_the_last_one():
    start = dt.datetime(2026, 3, 2, 21, 0, tzinfo=dt.UTC)
    assert words.hours(start, start + dt.timedelta(days=2), "UTC") == "21:00–Wed 4 Mar 2026, 21:00 UTC"


@pytest.mark.parametrize(
    "value, told", [(0, "0"), (0.05, "50 ms"), (5, "5 s"), (119, "119 s"), (120, "2 min"), (150, "2.5 min")]
)
def test_an_axis_has_short_seconds(value, told):
    assert words.short_seconds(value) == told


def test_an_axis_has_short_percents():
    assert [words.short_percent(value) for value in (0.0, 0.9, 0.925, 1.0)] == ["0 %", "90 %", "92.5 %", "100 %"]
