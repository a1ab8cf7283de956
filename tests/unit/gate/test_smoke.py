import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalwindow.gate import judge, next_reask
from evalwindow.gate.smoke import false_alarm
from evalwindow.model import Answer, SampleResult
from tests.unit.gate.examples import Suite, result, results, smoke_of


def reasks(sample_id: str, *values: float | None, **others: float | None) -> list[SampleResult]:
    return [result(sample_id, value, epoch=epoch, reask=True, **others) for epoch, value in enumerate(values, start=1)]


def play(suite: Suite, found: list[SampleResult], answers: dict[str, list[float | None]]) -> list[SampleResult]:
    """Ask again as long as the gate wants to; each prompt answers from its list."""
    found = list(found)
    while (sample_id := next_reask(suite, found)) is not None:
        epoch = 1 + max(each.epoch for each in found if each.sample_id == sample_id)
        found.append(result(sample_id, answers[sample_id].pop(0), epoch=epoch, reask=True))
    return found


def test_two_failures_of_ten_are_a_false_alarm_in_1_6_percent() -> None:
    assert false_alarm(prompts=10, red_at=2, failure_rate=0.02) == pytest.approx(0.016, abs=5e-4)


@pytest.mark.parametrize("failure_rate, detected", [(0.2, 0.62), (0.3, 0.85), (0.4, 0.95)])
def test_a_broken_candidate_is_caught(failure_rate: float, detected: float) -> None:
    chance = false_alarm(prompts=10, red_at=2, failure_rate=failure_rate)
    assert chance == pytest.approx(detected, abs=5e-3)
    assert chance == pytest.approx(stats.binom.sf(1, 10, failure_rate))


def test_all_right_is_no_evidence_of_breakage_and_says_no_more() -> None:
    verdict = judge(smoke_of(10), results([1.0] * 10))
    assert verdict.answer is Answer.PASS
    assert verdict.title == "no evidence of breakage: 10 of 10 must-pass prompts passed"
    assert "false alarm 1.6 %" in verdict.power
    assert "below 25.9 %" in verdict.power


def test_two_failures_are_red_at_once() -> None:
    suite, found = smoke_of(10), results([0.0, 1.0, 0.0] + [1.0] * 7)
    assert next_reask(suite, found) is None
    verdict = judge(suite, found)
    assert verdict.answer is Answer.FAIL
    assert "2 of 10 must-pass prompts failed (s0, s2)" in verdict.title


def test_one_failure_is_asked_again_until_it_counts_as_chance() -> None:
    suite = smoke_of(10)
    found = play(suite, results([1.0, 0.0] + [1.0] * 8), {"s1": [1.0] * 30})
    assert sum(each.reask for each in found) == 10
    verdict = judge(suite, found)
    assert verdict.answer is Answer.PASS
    assert any("s1 failed, 10 of 10 re-asks passed, so it counts as chance" in check.text for check in verdict.checks)


def test_one_failure_that_fails_again_is_broken() -> None:
    suite = smoke_of(10)
    found = play(suite, results([1.0, 0.0] + [1.0] * 8), {"s1": [1.0, 0.0, 0.0] + [1.0] * 30})
    assert sum(each.reask for each in found) == 3
    assert judge(suite, found).answer is Answer.FAIL
    assert next_reask(suite, found) is None


def test_thirty_calls_are_the_most() -> None:
    suite = smoke_of(10)
    hesitant = [1.0] * 5 + [0.0] + [1.0] * 12 + [None] * 30
    found = play(suite, results([0.0] + [1.0] * 9), {"s0": hesitant})
    assert sum(each.reask for each in found) == 30
    assert judge(suite, found).answer is Answer.INCONCLUSIVE


def test_a_failure_that_nobody_asked_again_is_inconclusive() -> None:
    verdict = judge(smoke_of(10), results([0.0] + [1.0] * 9))
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "s0 failed and was not asked again" in verdict.title


def test_each_of_several_failures_below_red_is_asked_again() -> None:
    suite = smoke_of(10, smoke={"red_at": 3})
    found = play(suite, results([0.0, 0.0] + [1.0] * 8), {"s0": [1.0] * 30, "s1": [0.0] * 30})
    assert judge(suite, found).answer is Answer.FAIL
    assert [each.sample_id for each in found if each.reask] == ["s0"] * 10 + ["s1"] * 2


def test_nothing_is_asked_again_before_every_prompt_was_asked_once() -> None:
    assert next_reask(smoke_of(10), results([0.0, 1.0])) is None


def test_nothing_is_asked_again_when_no_pass_can_come_of_it() -> None:
    assert next_reask(smoke_of(10), results([0.0, None] + [1.0] * 8)) is None
    suite = smoke_of(2, assertion="json")
    assert next_reask(suite, [result("s0", 0.0, json=1.0), result("s1", 1.0, json=0.0)]) is None


@pytest.mark.parametrize("missing", [None, "absent"])
def test_an_unscored_prompt_is_never_a_pass_whatever_the_limit(missing: str | None) -> None:
    suite = smoke_of(10, max_unscored=0.9)
    found = results([1.0] * 9) + ([result("s9", None)] if missing is None else [])
    verdict = judge(suite, found)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "1 of 10 must-pass prompts unscored (s9)" in verdict.title


def test_two_failures_are_red_even_beside_unscored_prompts() -> None:
    assert judge(smoke_of(10), results([0.0, 0.0] + [None] * 8)).answer is Answer.FAIL


def test_a_broken_assertion_is_red_on_any_prompt() -> None:
    suite = smoke_of(1, others=1, assertion="json")
    found = [result("s0", 1.0, json=1.0), result("o0", 0.0, json=0.0)]
    verdict = judge(suite, found)
    assert verdict.answer is Answer.FAIL
    assert "assertion json is broken by o0" in verdict.title


def test_a_prompt_that_is_not_must_pass_matters_by_its_assertions_only() -> None:
    suite = smoke_of(1, others=1, assertion="json")
    assert judge(suite, [result("s0", 1.0, json=1.0), result("o0", 0.0, json=1.0)]).answer is Answer.PASS
    assert judge(suite, [result("s0", 1.0, json=1.0), result("o0", None, json=1.0)]).answer is Answer.PASS


def test_an_assertion_that_could_not_be_judged_is_never_a_pass() -> None:
    suite = smoke_of(2, assertion="json")
    found = [result("s0", 1.0, json=1.0), result("s1", 1.0, json=None)]
    assert judge(suite, found).answer is Answer.INCONCLUSIVE


def test_a_re_ask_fails_by_its_assertion_too() -> None:
    suite = smoke_of(2, assertion="json")
    found = [result("s0", 0.0, json=1.0), result("s1", 1.0, json=1.0), *reasks("s0", 1.0, 1.0, json=0.0)]
    assert judge(suite, found).answer is Answer.FAIL


def test_re_asks_are_read_in_the_order_of_their_epochs() -> None:
    again = reasks("s0", 0.0, 0.0, *[1.0] * 10)
    assert judge(smoke_of(2), results([0.0, 1.0]) + again[::-1]).answer is Answer.FAIL


def test_a_suite_that_tests_nothing_is_inconclusive_and_says_so() -> None:
    verdict = judge(smoke_of(5, must_pass=False), results([1.0] * 5))
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "no must-pass prompt and no assertion" in verdict.title


def test_a_prompt_passes_from_pass_at_on_by_its_mean_over_epochs() -> None:
    found = [result("s0", value, epoch=epoch) for epoch, value in enumerate([1.0, 1.0, 0.0, 1.0])]
    assert judge(smoke_of(1, epochs=4, pass_at=0.75), found).answer is Answer.PASS
    assert judge(smoke_of(1, epochs=4, pass_at=0.8, smoke={"red_at": 1}), found).answer is Answer.FAIL


def test_a_floor_stands_beside_the_tripwire() -> None:
    suite = smoke_of(2, others=2, floors={"all": 0.9})
    found = [*results([1.0, 1.0]), result("o0", 0.0), result("o1", 1.0)]
    assert judge(suite, found).answer is Answer.FAIL


values = st.lists(st.sampled_from([0.0, 1.0, None]), min_size=10, max_size=10)
again = st.lists(st.sampled_from([0.0, 1.0, 1.0, 1.0, None]), max_size=35)


@given(first=values, more=again, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_results_does_not_matter(first, more, shuffle) -> None:
    suite = smoke_of(10)
    failed = next((index for index, value in enumerate(first) if value == 0), 0)
    found = results(first) + reasks(f"s{failed}", *more)
    shuffled = list(found)
    shuffle.shuffle(shuffled)
    assert judge(suite, shuffled) == judge(suite, found)
    assert next_reask(suite, shuffled) == next_reask(suite, found)


@given(first=values, more=again, lost=st.sets(st.integers(0, 9)))
def test_losing_scores_never_helps_to_pass(first, more, lost) -> None:
    suite = smoke_of(10)
    failed = next((index for index, value in enumerate(first) if value == 0), 0)
    fewer = [None if index in lost else value for index, value in enumerate(first)]
    before = judge(suite, results(first) + reasks(f"s{failed}", *more)).answer
    after = judge(suite, results(fewer) + reasks(f"s{failed}", *more)).answer
    assert after is not Answer.PASS or before is Answer.PASS


binary = st.sampled_from([0.0, 1.0])


@given(first=st.lists(binary, min_size=10, max_size=10), answers=st.lists(binary, min_size=30, max_size=30))
def test_after_all_re_asks_the_gate_is_decided_or_out_of_calls(first, answers) -> None:
    suite = smoke_of(10)
    found = play(suite, results(first), {f"s{index}": list(answers) for index in range(10)})
    calls = sum(each.reask for each in found)
    assert calls <= 30
    assert judge(suite, found).answer is not Answer.INCONCLUSIVE or calls == 30
