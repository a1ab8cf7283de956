"""F1 and ROUGE-L."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.scorers.f1 import f1
from evalwindow.scorers.rouge_l import rouge_l

words = st.lists(st.sampled_from("abcdef"), max_size=12)


@pytest.mark.parametrize(
    "text, target, value",
    [
        ("The cat", "a cat!", 1),
        ("cat dog", "cat", 2 / 3),
        ("cat cat", "cat", 2 / 3),
        ("dog", "cat", 0),
        ("", "cat", 0),
        ("the", "an", 1),
        ("black cat", ["dog", "cat"], 2 / 3),
    ],
)
def test_f1_by_hand(bench, text, target, value):
    assert bench.value("f1", text, target) == pytest.approx(value)


@pytest.mark.parametrize(
    "text, target, value",
    [
        # Lin (2004), section 3.1: reference "police killed the gunman".
        ("police kill the gunman", "police killed the gunman", 3 / 4),
        ("the gunman kill police", "police killed the gunman", 2 / 4),
        ("the gunman police killed", "police killed the gunman", 2 / 4),
        ("Police killed the gunman.", "police killed the gunman", 1),
        ("", "police", 0),
        ("x", ["police", "x y"], 2 / 3),
    ],
)
def test_rouge_l_by_hand(bench, text, target, value):
    assert bench.value("rouge_l", text, target) == pytest.approx(value)


def test_beta_weighs_recall(bench):
    precise, complete = {"type": "rouge_l", "beta": 0.1}, {"type": "rouge_l", "beta": 10}
    assert bench.value(precise, "a", "a b c d") > 0.9
    assert bench.value(complete, "a", "a b c d") < 0.3


def lcs(left, right):
    """The textbook's table, as an oracle."""
    row = [0] * (len(right) + 1)
    for a in left:
        last = row
        row = [0]
        for index, b in enumerate(right):
            row.append(last[index] + 1 if a == b else max(last[index + 1], row[-1]))
    return row[-1]


@given(words, words)
def test_rouge_l_is_twice_the_common_part_over_both_lengths(left, right):
    expected = 2 * lcs(left, right) / (len(left) + len(right)) if left or right else 1
    assert rouge_l(left, right) == pytest.approx(expected)


@given(words, words)
def test_f1_is_symmetric_and_at_least_rouge_l(left, right):
    assert f1(left, right) == pytest.approx(f1(right, left))
    assert rouge_l(left, right) <= f1(left, right) + 1e-9 <= 1 + 1e-8
