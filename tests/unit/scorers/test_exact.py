import pytest


@pytest.mark.parametrize(
    "options, text, target, value",
    [
        ({}, "Paris", "Paris", 1),
        ({}, " Paris\n", "Paris", 1),
        ({}, "paris", "Paris", 0),
        ({}, "Paris.", "Paris", 0),
        ({}, "a  b", "a b", 0),
        ({}, "42", 42, 1),
        ({}, "true", True, 1),
        ({}, "B", ["A", "B"], 1),
        ({}, "C", ["A", "B"], 0),
        ({}, "caf\u00e9", "cafe\u0301", 1),
        ({"strip": False}, " Paris", "Paris", 0),
        ({"ignore_case": True}, "PARIS", "Paris", 1),
        ({"ignore_case": True}, "STRASSE", "straße", 1),
        ({"ignore_whitespace": True}, "a \n b", "a b", 1),
        ({"ignore_punctuation": True}, "«Paris!»", "Paris", 1),
        ({"ignore_punctuation": True, "strip": True}, "Paris !", "Paris", 1),
    ],
)
def test_the_answer_is_the_target_as_strictly_as_asked(bench, options, text, target, value):
    assert bench.value({"type": "exact", **options}, text, target) == value


def test_a_bare_name_means_the_scorer_without_options(bench):
    assert bench.make("exact") == bench.make({"type": "exact"})


def test_a_sample_without_target_is_objected_to(bench):
    assert bench.objection("exact") == "has no target, which scorer 'exact' needs"
    assert bench.objection({"type": "exact", "name": "strict"}) == "has no target, which scorer 'strict' needs"
    assert bench.objection("exact", "x") is None
