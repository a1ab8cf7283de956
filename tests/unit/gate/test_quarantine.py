"""A prompt that was not asked because it ends engines keeps a run from passing, and says so first."""

from dataclasses import replace

import pytest

from evalwindow.gate import judge
from evalwindow.model import Answer
from tests.unit.gate.examples import flips, results, smoke_of, suite_of


def without(given, *numbers):
    """The results, with these samples quarantined."""
    names = {f"s{number}" for number in numbers}
    return [
        replace(each, scores={}, error="it ended engines", quarantined=True) if each.sample_id in names else each
        for each in given
    ]


def test_one_among_500_that_are_as_good_as_before_is_inconclusive() -> None:
    candidate, baseline = flips(n=500, down=0, up=0, right=500)
    suite = suite_of([[]] * 500)
    assert judge(suite, candidate, baseline).answer is Answer.PASS
    verdict = judge(suite, without(candidate, 7), baseline)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert verdict.title == "1 sample was not asked: it ended the engine (s7): INCONCLUSIVE"


def test_the_rest_may_fail_all_the_same() -> None:
    candidate, baseline = flips(n=500, down=200, up=0, right=500)
    quarantined = without(candidate, 490)
    assert judge(suite_of([[]] * 500), quarantined, baseline).answer is Answer.FAIL


def test_where_too_much_is_unscored_nothing_else_decides_and_the_cause_is_named_first() -> None:
    candidate, baseline = flips(n=100, down=60, up=0, right=100)
    verdict = judge(suite_of([[]] * 100), without(candidate, *range(70, 90)), baseline)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert verdict.title.startswith("20 samples were not asked: they ended the engine (s70, s71, s72, s73, s74 and 15")


@pytest.mark.parametrize("number", [0, 9])
def test_smoke_does_not_pass_either(number) -> None:
    suite, given = smoke_of(10), results([1.0] * 10)
    assert judge(suite, given).answer is Answer.PASS
    verdict = judge(suite, without(given, number))
    assert verdict.answer is Answer.INCONCLUSIVE
    assert verdict.title.startswith(f"1 sample was not asked: it ended the engine (s{number}): INCONCLUSIVE")
