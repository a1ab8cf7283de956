import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from evalwindow.report.chart import HEIGHT, LEFT, WIDTH, Reading, chart

START = dt.datetime(2026, 3, 2, 22, tzinfo=dt.UTC)
END = START + dt.timedelta(days=13)


def _reading(day, value, kind="pass"):
    at = START + dt.timedelta(days=day)
    return Reading(at=at, value=value, kind=kind, label=f"day {day}", url=f"/runs/{day}")


def _chart(readings, **more):
    return chart("Score", readings, times=(START, END), show="{:g}".format, **more)


def test_later_is_further_right_and_more_is_higher_up():
    drawn = _chart([_reading(0, 0.9), _reading(5, 0.95), _reading(13, 0.92)])
    xs, ys = [mark.x for mark in drawn.marks], [mark.y for mark in drawn.marks]
    assert xs == sorted(xs)
    assert ys[1] < ys[2] < ys[0]


def test_what_is_void_is_marked_and_breaks_the_line():
    drawn = _chart([_reading(0, 1), _reading(1, 1), _reading(2, 9, "void"), _reading(3, 1), _reading(4, 1)])
    assert [mark.kind for mark in drawn.marks].count("void") == 1
    assert len(drawn.lines) == 2


def test_what_was_not_measured_has_no_mark():
    drawn = _chart([_reading(0, 1.0), _reading(1, None), _reading(2, 2.0)])
    assert [mark.label for mark in drawn.marks] == ["day 0", "day 2"]
    assert _chart([_reading(0, None)]) is None
    assert _chart([]) is None


def test_a_level_is_inside_the_axis_even_where_no_reading_is_near():
    drawn = _chart([_reading(0, 0.2), _reading(1, 0.25)], level=("baseline", 0.9))
    assert drawn.y_ticks[-1].at <= drawn.level.at <= drawn.y_ticks[0].at
    assert drawn.level.label == "baseline 0.9"


def test_one_night_is_enough():
    drawn = chart("Score", [_reading(0, 0.5)], times=(START, START), show="{:g}".format)
    assert len(drawn.marks) == len(drawn.x_ticks) == 1
    assert drawn.lines == ()


def test_it_is_said_for_who_can_not_see_it():
    assert _chart([_reading(0, 1), _reading(1, 3), _reading(2, 2)]).summary == (
        "Score: 1 at first, 2 at last, between 1 and 3"
    )


VALUES = st.lists(st.floats(min_value=0, max_value=1e6, allow_subnormal=False), min_size=1, max_size=20)


@given(VALUES, st.booleans())
def test_every_mark_lies_in_the_box_between_round_ticks(values, from_zero):
    drawn = _chart([_reading(index % 14, value) for index, value in enumerate(values)], from_zero=from_zero)
    assert 2 <= len(drawn.y_ticks) <= 6
    for mark in drawn.marks:
        assert LEFT <= mark.x <= WIDTH
        assert drawn.y_ticks[-1].at - 0.2 <= mark.y <= drawn.y_ticks[0].at + 0.2
        assert 0 <= mark.y <= HEIGHT


@given(st.lists(st.floats(min_value=0, max_value=1), min_size=1, max_size=20))
def test_a_share_s_axis_ends_at_its_ceiling(values):
    ticks = []

    def show(value):
        ticks.append(value)
        return f"{value}"

    chart("Score", [_reading(0, value) for value in values], times=(START, END), show=show, ceiling=1.0)
    assert max(ticks) <= 1.0 + 1e-9
