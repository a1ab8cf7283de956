import pytest
from pydantic import ValidationError

from evalwindow.scorers import patterns


@pytest.mark.parametrize(
    "options, text, target, value",
    [
        ({"pattern": r"answer: (\w+)"}, "the answer: Paris, or so", "Paris", 1),
        ({"pattern": r"answer: (\w+)"}, "the answer: Rome", "Paris", 0),
        ({"pattern": r"answer: (\w+)"}, "no idea", "Paris", 0),
        ({"pattern": r"\d+"}, "12 then 13", "12", 1),
        ({"pattern": r"\d+", "which": "last"}, "12 then 13", "13", 1),
        ({"pattern": r"ANSWER: (\w+)", "ignore_case": True}, "answer: PARIS", "Paris", 1),
        ({"pattern": r"\d+"}, "12", ["11", 12], 1),
        ({"pattern": r"(a)|b"}, "b", "b", 1),
        ({"pattern": "sorry", "expect": "no_match"}, "Here you go", None, 1),
        ({"pattern": "sorry", "expect": "no_match"}, "I am sorry", None, 0),
        ({"pattern": r"^\{", "expect": "match"}, "{}", None, 1),
        ({"pattern": r"^\{", "expect": "match"}, "no", None, 0),
    ],
)
def test_the_pattern_decides(bench, options, text, target, value):
    assert bench.value({"type": "regex", **options}, text, target) == value


def test_what_was_found_is_the_answer(bench):
    assert bench.score({"type": "regex", "pattern": "x(.)"}, "xyz", "y").answer == "y"


@pytest.mark.parametrize("which", ["first", "last"])
def test_a_pattern_that_explodes_leaves_the_sample_unscored(bench, which, monkeypatch):
    monkeypatch.setattr(patterns, "MAX_SECONDS", 0.05)
    score = bench.score({"type": "regex", "pattern": r"(a|aa|b?a)+$", "which": which}, "a" * 5_000 + "c", "a")
    assert score.value is None
    assert "took too long" in score.reason


def test_only_the_start_of_a_huge_answer_is_searched(bench):
    text = "x" * patterns.MAX_TEXT + "needle"
    assert bench.value({"type": "regex", "pattern": "needle", "expect": "match"}, text) == 0


@pytest.mark.parametrize("pattern", ["(", "[a", "", "a" * 1_001, "(?P<x>a)(?P=y)"])
def test_what_is_no_pattern_is_refused_with_the_suite(bench, pattern):
    with pytest.raises(ValidationError):
        bench.make({"type": "regex", "pattern": pattern})


def test_a_target_is_needed_only_for_comparing(bench):
    assert bench.objection({"type": "regex", "pattern": "x"}) is not None
    assert bench.objection({"type": "regex", "pattern": "x", "expect": "match"}) is None
