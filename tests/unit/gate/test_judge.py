import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evalwindow.gate import combine, judge
from evalwindow.model import Answer, Check, Sample, Verdict
from tests.unit.gate.examples import Suite, flips, result, results, suite_of


def kinds(verdict: Verdict) -> dict[str, Answer]:
    return {check.kind: check.answer for check in verdict.checks}


def check(answer: Answer, *, blocking: bool = True) -> Check:
    return Check(kind="floor", slice="all", answer=answer, blocking=blocking, text="")


def test_a_blocking_fail_outweighs_everything() -> None:
    assert combine([check(Answer.PASS), check(Answer.INCONCLUSIVE), check(Answer.FAIL)]) is Answer.FAIL


def test_an_open_question_is_no_pass() -> None:
    assert combine([check(Answer.PASS), check(Answer.INCONCLUSIVE)]) is Answer.INCONCLUSIVE


def test_only_blocking_checks_count_and_none_is_no_pass() -> None:
    assert combine([check(Answer.PASS), check(Answer.FAIL, blocking=False)]) is Answer.PASS
    assert combine([check(Answer.PASS, blocking=False)]) is Answer.INCONCLUSIVE
    assert combine([]) is Answer.INCONCLUSIVE


def test_without_a_baseline_nothing_is_concluded_and_the_way_out_is_named() -> None:
    verdict = judge(suite_of([[]] * 500), results([1.0] * 500))
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "evalwindow baseline promote" in verdict.title


def test_a_broken_floor_fails_even_without_a_baseline() -> None:
    verdict = judge(suite_of([[]] * 500, floors={"all": 0.5}), results([1.0] * 200 + [0.0] * 300))
    assert verdict.answer is Answer.FAIL
    assert "all scored 40.0, floor 50: FAIL" in verdict.title


def test_a_baseline_that_knows_too_few_samples_is_said_and_no_pass() -> None:
    candidate, baseline = flips(n=500, down=0, up=0, right=500)
    verdict = judge(suite_of([[]] * 500), candidate, baseline[:400], baseline_run="r7")
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "baseline run r7 has scores for 400 of 500 samples, which is too few" in verdict.title
    assert verdict.baseline_run == "r7"


def test_a_baseline_of_other_samples_is_no_baseline() -> None:
    strangers = [replace(each, sample_id=f"other-{each.sample_id}") for each in results([1.0] * 500)]
    verdict = judge(suite_of([[]] * 500), results([1.0] * 500), strangers)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert kinds(verdict)["baseline"] is Answer.INCONCLUSIVE


def test_a_floor_that_is_met_exactly_holds() -> None:
    candidate, baseline = flips(n=500, down=0, up=0, right=400)
    assert judge(suite_of([[]] * 500, floors={"all": 0.8}), candidate, baseline).answer is Answer.PASS


def test_a_floor_holds_only_if_the_unscored_could_all_be_wrong() -> None:
    candidate, baseline = flips(n=500, down=0, up=0, right=400)
    candidate[0] = result("s0", None)
    verdict = judge(suite_of([[]] * 500, floors={"all": 0.799}), candidate, baseline)
    assert kinds(verdict)["floor"] is Answer.INCONCLUSIVE
    assert "with the unscored taken as wrong" in verdict.title


def test_a_floor_of_an_unknown_slice_is_no_pass() -> None:
    candidate, baseline = flips(n=500, down=0, up=0, right=500)
    verdict = judge(suite_of([["sort"]] * 500, floors={"sotr": 0.5}), candidate, baseline)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "did you mean 'sort'?" in verdict.title


def test_too_many_unscored_results_conclude_nothing_not_even_a_fail() -> None:
    candidate, baseline = flips(n=500, down=300, up=0, right=200)
    candidate[489:] = [result(f"s{index}", None) for index in range(489, 500)]
    verdict = judge(suite_of([[]] * 500), candidate, baseline)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert verdict.title == "11 of 500 results unscored, limit 2 %: INCONCLUSIVE"
    shown = next(check for check in verdict.checks if check.kind == "paired")
    assert (shown.answer, shown.blocking) == (Answer.FAIL, False)


def test_unscored_results_up_to_the_limit_are_tolerated() -> None:
    candidate, baseline = flips(n=500, down=0, up=0, right=400)
    candidate[490:] = [result(f"s{index}", None) for index in range(490, 500)]  # wrong in the baseline too
    verdict = judge(suite_of([[]] * 500), candidate, baseline)
    assert kinds(verdict)["unscored"] is Answer.PASS
    assert verdict.answer is Answer.PASS


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5, -0.1])
def test_a_score_that_is_no_score_is_unscored(value: float) -> None:
    candidate, baseline = flips(n=500, down=0, up=0, right=500)
    candidate[:11] = [result(f"s{index}", value) for index in range(11)]
    verdict = judge(suite_of([[]] * 500), candidate, baseline)
    assert verdict.title == "11 of 500 results unscored, limit 2 %: INCONCLUSIVE"


def test_re_asks_and_strangers_are_not_judged() -> None:
    suite = suite_of([[]] * 200)
    candidate, baseline = flips(n=200, down=3, up=2, right=190)
    noise = [result("s0", 1.0, epoch=1, reask=True), result("stranger", 0.0)]
    assert judge(suite, candidate + noise, baseline + noise) == judge(suite, candidate, baseline)


def test_the_judged_scorer_is_the_suites_primary() -> None:
    suite = replace(suite_of([[]] * 200), primary="f1")
    candidate = [result(f"s{index}", 0.0, f1=1.0) for index in range(200)]
    baseline = [result(f"s{index}", 1.0, f1=1.0) for index in range(200)]
    assert judge(suite, candidate, baseline).answer is Answer.PASS


def test_a_pass_says_what_it_rules_out() -> None:
    verdict = judge(suite_of([[]] * 500), *flips(n=500, down=2, up=3, right=450))
    assert verdict.title == "no drop beyond the margin of 3 points"
    assert "smallest drop seen with 80 % power" in verdict.power


scores = st.sampled_from([0.0, 0.0, 1.0, 1.0, 1.0, 0.5])


margins = st.sampled_from([0.03, 0.1, 0.3, 0.6])


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[Suite, list[float | None], list[float]]:
    n = draw(st.integers(1, 120))
    tags = draw(st.lists(st.lists(st.sampled_from(["sort", "copy"]), unique=True), min_size=n, max_size=n))
    clusters = draw(st.none() | st.lists(st.sampled_from(["a", "b", "c", None]), min_size=n, max_size=n))
    policy = {"blocking": ("sort",), "advisory": ("copy",), "floors": {"all": 0.4}, "max_unscored": 0.3}
    suite = suite_of(tags, clusters=clusters, margin=draw(margins), **policy)
    baseline = draw(st.lists(scores, min_size=n, max_size=n))
    candidate = [draw(st.sampled_from([value, value, value, 0.0, 1.0, None])) for value in baseline]
    return suite, candidate, baseline


@settings(max_examples=40)
@given(case=comparisons(), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_samples_and_results_does_not_matter(case, shuffle) -> None:
    suite, candidate, baseline = case
    found, known, samples = results(candidate), results(baseline), list(suite.samples)
    before = judge(suite, found, known)
    for each in (found, known, samples):
        shuffle.shuffle(each)
    assert judge(replace(suite, samples=tuple(samples)), found, known) == before


@settings(max_examples=60)
@given(case=comparisons(), lost=st.sets(st.integers(0, 119)))
def test_leaving_wrong_answers_unscored_never_helps_to_pass(case, lost) -> None:
    suite, candidate, baseline = case
    hidden = [None if value == 0 and index in lost else value for index, value in enumerate(candidate)]
    before = judge(suite, results(candidate), results(baseline)).answer
    assert judge(suite, results(hidden), results(baseline)).answer is not Answer.PASS or before is Answer.PASS


@settings(max_examples=60)
@given(case=comparisons(), known=st.booleans())
def test_one_more_unscored_sample_never_helps_to_pass(case, known: bool) -> None:
    suite, candidate, baseline = case
    more = replace(suite, samples=(*suite.samples, Sample(id="new", input="?", slices=("sort",))))
    before = judge(suite, results(candidate), results(baseline)).answer
    extended = [*results(baseline), result("new", 1.0 if known else None)]
    after = judge(more, [*results(candidate), result("new", None)], extended).answer
    assert after is not Answer.PASS or before is Answer.PASS


@settings(max_examples=40)
@given(case=comparisons())
def test_swapping_candidate_and_baseline_mirrors_the_numbers(case) -> None:
    suite, candidate, baseline = case
    complete = [value if value is not None else known for value, known in zip(candidate, baseline, strict=True)]
    there = judge(suite, results(complete), results(baseline))
    back = judge(suite, results(baseline), results(complete))
    for one, other in zip(there.checks, back.checks, strict=True):
        if one.kind == "paired" and one.delta is not None and one.low is not None and one.high is not None:
            assert other.delta == pytest.approx(-one.delta, abs=1e-9)
            assert (other.low, other.high) == (pytest.approx(-one.high, abs=1e-9), pytest.approx(-one.low, abs=1e-9))
            assert (other.flips_down, other.flips_up) == (one.flips_up, one.flips_down)
            assert {one.answer, other.answer} != {Answer.FAIL}


OUTCOMES = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])  # candidate, baseline


def _answers(*, runs: int, down: float, up: float) -> list[Answer]:
    """Verdicts on 300 samples in three blocking slices, the baseline right in 80 % of them, margin 5 points."""
    draw = np.random.default_rng(20)
    skills = [f"skill{index % 3}" for index in range(300)]
    suite = suite_of([[skill] for skill in skills], blocking=sorted(set(skills)), margin=0.05)
    answers = []
    for _ in range(runs):
        values = OUTCOMES[draw.choice(4, p=[down, up, 0.8 - down, 0.2 - up], size=300)]
        answers.append(judge(suite, results(values[:, 0].tolist()), results(values[:, 1].tolist())).answer)
    return answers


@pytest.fixture(scope="module")
def at_the_margin() -> list[Answer]:
    """The least favourable truth for either mistake: a drop of exactly the margin, in the whole and in every slice."""
    return _answers(runs=250, down=0.08, up=0.03)


def test_a_candidate_exactly_at_the_margin_fails_in_5_percent_at_most(at_the_margin: list[Answer]) -> None:
    assert at_the_margin.count(Answer.FAIL) <= stats.binom.ppf(0.999, 250, 0.05)


def test_a_candidate_exactly_at_the_margin_passes_in_5_percent_at_most(at_the_margin: list[Answer]) -> None:
    assert at_the_margin.count(Answer.PASS) <= stats.binom.ppf(0.999, 250, 0.05)


def test_an_equal_candidate_never_fails() -> None:
    assert Answer.FAIL not in _answers(runs=60, down=0.03, up=0.03)


def test_a_broken_candidate_always_fails() -> None:
    assert set(_answers(runs=30, down=0.27, up=0.02)) == {Answer.FAIL}
