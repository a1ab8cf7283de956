import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from evalwindow.gate import judge
from evalwindow.gate.slices import benjamini_hochberg, holm, questions
from evalwindow.model import Answer, Check, Verdict
from evalwindow.policy import Policy
from tests.unit.gate.examples import flips, results, suite_of

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@settings(max_examples=20)  # the oracle takes a tenth of a second
@given(found=p_values)
def test_holm_is_statsmodels(found: list[float]) -> None:
    assert holm(found) == pytest.approx(multipletests(found, method="holm")[1].tolist())


@given(found=p_values)
def test_benjamini_hochberg_is_statsmodels(found: list[float]) -> None:
    assert benjamini_hochberg(found) == pytest.approx(multipletests(found, method="fdr_bh")[1].tolist())


def test_no_p_values_are_adjusted_to_none() -> None:
    assert holm([]) == benjamini_hochberg([]) == []


def test_a_slice_is_asked_about_once_and_all_samples_first() -> None:
    policy = Policy(blocking=("sort", "copy", "sort", "all"), advisory=("copy", "json"), margin=0.02, slice_margin=0.05)
    asked = [(question.slice, question.blocking, question.margin) for question in questions(policy)]
    assert asked == [("all", True, 0.02), ("sort", True, 0.05), ("copy", True, 0.05), ("json", False, 0.05)]


def paired(verdict: Verdict, name: str) -> Check:
    return next(check for check in verdict.checks if check.kind == "paired" and check.slice == name)


def test_a_lost_skill_fails_its_slice_while_the_others_pass() -> None:
    suite = suite_of([["sort"]] * 100 + [["copy"]] * 400, blocking=("sort", "copy"))
    verdict = judge(suite, *flips(n=500, down=90, up=0, right=410))
    assert verdict.answer is Answer.FAIL
    assert paired(verdict, "sort").answer is Answer.FAIL
    assert paired(verdict, "copy").answer is Answer.PASS
    assert verdict.title.startswith("sort fell by 90.0 points (95 % bound: at least ")


def test_a_drop_that_is_no_news_among_many_slices_does_not_fail_but_never_passes() -> None:
    """13 of 100 down, 4 up: beyond a margin of 1 on its own, not after Holm over ten slices and the whole."""
    names = [f"skill{index}" for index in range(10)]
    suite = suite_of([[name] for name in names for _ in range(100)], blocking=tuple(names), margin=0.01)
    candidate, baseline = flips(n=1000, down=13, up=0, right=983)
    candidate[13:17], baseline[13:17] = results([1.0] * 17)[13:], results([0.0] * 17)[13:]
    check = paired(judge(suite, candidate, baseline), "skill0")
    assert check.high is not None
    assert check.p_value is not None
    assert check.high < -0.01
    assert check.p_value <= 0.05 < (check.p_adjusted or 0)
    assert check.answer is Answer.INCONCLUSIVE
    assert "among all slices" in check.text


def test_an_advisory_slice_never_decides() -> None:
    suite = suite_of([["odd"]] * 20 + [["rest"]] * 1980, advisory=("odd",))
    verdict = judge(suite, *flips(n=2000, down=20, up=0, right=1980))
    assert paired(verdict, "odd").answer is Answer.FAIL
    assert not paired(verdict, "odd").blocking
    assert verdict.answer is Answer.PASS


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slice_without_samples_is_never_a_pass(blocking: bool) -> None:
    policy = {"blocking" if blocking else "advisory": ("sotr",)}
    suite = suite_of([["sort"]] * 500, **policy)
    verdict = judge(suite, *flips(n=500, down=0, up=0, right=500))
    check = paired(verdict, "sotr")
    assert check.answer is Answer.INCONCLUSIVE
    assert "no sample has the slice 'sotr' (did you mean 'sort'?)" in check.text
    assert verdict.answer is (Answer.INCONCLUSIVE if blocking else Answer.PASS)


def test_a_slice_of_which_nothing_was_scored_is_never_a_pass() -> None:
    suite = suite_of([["json"]] * 2 + [["sort"]] * 498, blocking=("json",))
    candidate, baseline = flips(n=500, down=0, up=0, right=500)
    verdict = judge(suite, candidate[2:], baseline)
    assert paired(verdict, "json").answer is Answer.INCONCLUSIVE
    assert "no sample was scored on both sides" in paired(verdict, "json").text
    assert verdict.answer is Answer.INCONCLUSIVE
