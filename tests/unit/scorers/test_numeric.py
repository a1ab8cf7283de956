import pytest


@pytest.mark.parametrize(
    "options, text, target, value",
    [
        ({}, "so 18", "18", 1),
        ({}, "so 18.0", 18, 1),
        ({}, "so 18.01", 18, 0),
        ({"tolerance": 0.01}, "18.01", 18, 1),
        ({"tolerance": 0.01}, "18.011", 18, 0),
        ({"relative": 0.1}, "110", 100, 1),
        ({"relative": 0.1}, "110.1", 100, 0),
        ({"relative": 0.1}, "-110", -100, 1),
        ({}, "0.1", "0.10", 1),
        ({}, "12345678901234567", "12345678901234568", 0),
        ({"tolerance": 0.001}, "0.333", "1/3", 1),
        ({}, "$1,000", "1000", 1),
    ],
)
def test_the_last_number_is_near_enough(bench, options, text, target, value):
    assert bench.value({"type": "numeric", **options}, text, target) == value


def test_an_answer_without_a_number_is_wrong_and_not_unscored(bench):
    score = bench.score("numeric", "I don't know", "18")
    assert (score.value, score.reason) == (0, "no number in the answer")


@pytest.mark.parametrize("target", ["eighteen", "", True, [18]])
def test_a_target_that_is_no_number_is_objected_to(bench, target):
    assert bench.objection("numeric", target) == f"has target {target!r}, which is not a number"
    assert bench.value("numeric", "18", target) is None


def test_a_missing_target_is_objected_to(bench):
    assert "has no target" in bench.objection("numeric")
