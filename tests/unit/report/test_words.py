import pytest

from evalwindow.report import words


@pytest.mark.parametrize(
    "value, text",
    [(None, "–"), (0.0123, "12 ms"), (3.21, "3.2 s"), (180, "3 min"), (200.4, "3 min 20 s"), (239.9, "4 min")],
)
def test_seconds_are_told_in_the_unit_that_fits(value, text):
    assert words.seconds(value) == text


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
