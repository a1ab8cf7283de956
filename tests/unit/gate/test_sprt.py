from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalwindow.gate.sprt import limits, sprt, steps
from evalwindow.model import Answer
from evalwindow.policy import SmokePolicy

POLICY = SmokePolicy()
outcomes = st.lists(st.sampled_from([True, False, None]), max_size=40)


def test_steps_and_limits_are_walds() -> None:
    assert steps(POLICY) == pytest.approx((-0.203, 2.303), abs=5e-4)
    assert limits(POLICY) == pytest.approx((-1.846, 2.833), abs=5e-4)


def test_ten_passes_in_a_row_are_healthy_and_nine_are_not_yet() -> None:
    assert sprt([True] * 10, POLICY).answer is Answer.PASS
    assert sprt([True] * 9, POLICY).answer is Answer.INCONCLUSIVE


def test_two_failures_are_broken_even_after_some_passes() -> None:
    assert sprt([False, False], POLICY).answer is Answer.FAIL
    assert sprt([True, False, True, False], POLICY).answer is Answer.FAIL


def test_nothing_after_the_decision_counts() -> None:
    assert sprt([False, False] + [True] * 28, POLICY) == sprt([False, False], POLICY)


def test_undecided_after_the_last_call_stays_undecided() -> None:
    never = SmokePolicy(max_calls=5)
    assert sprt([True] * 30, never).answer is Answer.INCONCLUSIVE
    assert sprt([True] * 30, never).calls == 5


@given(found=outcomes)
def test_unscored_calls_use_up_calls_and_decide_nothing(found: list[bool | None]) -> None:
    with_unscored, without = sprt(found, POLICY), sprt([each for each in found if each is not None], POLICY)
    if with_unscored.answer is not Answer.INCONCLUSIVE:
        assert with_unscored.answer is without.answer
    assert with_unscored.passed + with_unscored.failed <= with_unscored.calls <= POLICY.max_calls


@pytest.mark.parametrize("rate, wrong, level", [(0.98, Answer.FAIL, 0.05), (0.80, Answer.PASS, 0.15)])
def test_both_error_rates_keep_near_their_levels(rate: float, wrong: Answer, level: float) -> None:
    """Wald's limits keep alpha / (1 - beta) and beta / (1 - alpha)."""
    draw, runs = np.random.default_rng(2), 4000
    mistakes = sum(sprt((draw.random(30) < rate).tolist(), POLICY).answer is wrong for _ in range(runs))
    bound = level / (1 - POLICY.beta) if wrong is Answer.FAIL else level / (1 - POLICY.alpha)
    assert mistakes <= stats.binom.ppf(0.999, runs, bound)


def test_every_short_sequence_stops_at_its_first_crossing() -> None:
    pass_step, fail_step = steps(POLICY)
    low, high = limits(POLICY)
    for sequence in product([True, False], repeat=11):
        walk = np.cumsum([pass_step if passed else fail_step for passed in sequence])
        crossed = next((step for step in walk if step <= low or step >= high), None)
        expected = Answer.INCONCLUSIVE if crossed is None else Answer.PASS if crossed <= low else Answer.FAIL
        assert sprt(sequence, POLICY).answer is expected
