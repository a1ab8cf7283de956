from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.scorers.numbers import last_number, parse_number

WRITTEN = [
    ("18", 18),
    ("1,234.5", Fraction("1234.5")),
    ("$1,234", 1234),
    ("-$5", -5),
    ("$-5", -5),
    ("\u22125", -5),
    ("+7", 7),
    ("20%", 20),
    ("3/4", Fraction(3, 4)),
    ("-3/4", Fraction(-3, 4)),
    ("1 1/2", Fraction(3, 2)),
    ("6.02e23", Fraction("6.02e23")),
    ("3 x 10^8", 3 * 10**8),
    ("2×10^{-3}", Fraction("0.002")),
    (".5", Fraction(1, 2)),
    ("€9", 9),
    ("12 €", 12),
    ("1000000", 10**6),
    ("12345678901234567890", 12345678901234567890),
]


@pytest.mark.parametrize("text, value", WRITTEN)
def test_a_number_as_people_write_it(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize("text, value", WRITTEN)
def test_it_is_found_at_the_end_of_a_sentence(text, value):
    found = last_number(f"First 99, then it comes to {text}.")
    assert found is not None
    assert found[1] == value


@pytest.mark.parametrize(
    "text, value",
    [
        ("16-3 = 13", 13),
        ("we get 16-3", 3),
        ("1, 2, 3", 3),
        ("1,2,3", 3),
        ("in v2 there are 4 but gpt4 has none", 4),
        ("it is 18.", 18),
        ("5km", 5),
        ("between 3 and -4", -4),
        ("12,3456", 3456),
        ("1e999999 no, 7/0 no, 3", 3),
        ("3, not 1e9999", 3),
    ],
)
def test_the_last_number_counts(text, value):
    found = last_number(text)
    assert found is not None
    assert found[1] == value


@pytest.mark.parametrize("text", ["", "no number", "1/0", "9" * 500, "1e5000", "abc4", "-", "$", "."])
def test_no_number_is_none(text):
    assert last_number(text) is None
    assert parse_number(text) is None


@pytest.mark.parametrize("text", ["18 apples", "18 19", "1/2/2024", "x18", "18-"])
def test_a_text_that_is_more_than_a_number_is_none(text):
    assert parse_number(text) is None


@given(st.integers(-(10**17), 10**17))
def test_every_integer_is_read_with_and_without_separators(number):
    assert parse_number(str(number)) == parse_number(f"{number:,}") == number


@given(st.floats(-1e300, 1e300))
def test_every_float_is_read_as_python_writes_it(number):
    assert parse_number(repr(number)) == Fraction(repr(number))


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_every_fraction_is_read(over, under):
    assert parse_number(f"{over}/{under}") == Fraction(over, under)


@given(st.text(alphabet="0123456789.,-+/$%eE x^* ×10{}", max_size=60))
def test_no_text_breaks_the_reading(text):
    last_number(text)
    parse_number(text)
