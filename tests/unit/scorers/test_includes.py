import pytest


@pytest.mark.parametrize(
    "options, text, target, value",
    [
        ({}, "It is Paris, I think.", "Paris", 1),
        ({}, "It is paris.", "Paris", 0),
        ({"ignore_case": True}, "It is paris.", "Paris", 1),
        ({}, "red and blue", ["green", "blue"], 1),
        ({}, "red", ["green", "blue"], 0),
        ({"match": "all"}, "red and blue", ["red", "blue"], 1),
        ({"match": "all"}, "red", ["red", "blue"], 0),
        ({}, "it is 42", 42, 1),
    ],
)
def test_the_target_stands_in_the_answer(bench, options, text, target, value):
    assert bench.value({"type": "includes", **options}, text, target) == value


def test_the_reason_names_what_is_missing(bench):
    assert bench.score({"type": "includes", "match": "all"}, "red", ["red", "blue"]).reason == "not found: blue"


@pytest.mark.parametrize("target", ["", ["a", ""], []])
def test_an_empty_target_is_objected_to_for_every_answer_includes_it(bench, target):
    assert "empty target" in bench.objection("includes", target)
