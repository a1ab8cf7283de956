import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import special, stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from evalwindow.gate import distributions as own

shapes = st.floats(0.05, 5000)
levels = st.floats(1e-6, 0.49)


@given(x=st.floats(0, 1), a=shapes, b=shapes)
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    assert own.beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-7, abs=1e-12)


@given(p=st.floats(0.5, 0.9999), df=st.integers(1, 100_000))
@example(p=0.5000000000000001, df=16_384)  # sixteen digits beside the middle
def test_students_quantile_is_scipys(p: float, df: int) -> None:
    assert own.student_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-6, abs=1e-6)


@given(t=st.floats(-40, 40), df=st.integers(1, 100_000))
def test_students_distribution_is_scipys(t: float, df: int) -> None:
    assert own.student_cdf(t, df) == pytest.approx(stats.t.cdf(t, df), rel=1e-6, abs=1e-12)


@given(n=st.integers(1, 2000), share=st.floats(0, 1), alpha=levels)
def test_the_limits_of_a_rate_are_clopper_and_pearsons(n: int, share: float, alpha: float) -> None:
    count = round(share * n)
    expected = stats.binomtest(count, n).proportion_ci(confidence_level=1 - 2 * alpha, method="exact")
    assert own.rate_at_least(count, n, alpha) == pytest.approx(expected.low, abs=1e-9)
    assert own.rate_at_most(count, n, alpha) == pytest.approx(expected.high, abs=1e-9)


@given(down=st.integers(0, 300), up=st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_test_on_the_discordant_pairs(down: int, up: int) -> None:
    one_sided = stats.binomtest(down, down + up, alternative="greater").pvalue if down + up else 1.0
    assert own.mcnemar(down, up) == pytest.approx(one_sided, rel=1e-9)
    two_sided = min(1.0, 2 * min(own.mcnemar(down, up), own.mcnemar(up, down)))
    assert two_sided == pytest.approx(statsmodels_mcnemar([[0, down], [up, 0]], exact=True).pvalue, rel=1e-9)


def test_ten_prompts_need_five_flips_against_none() -> None:
    assert own.mcnemar(5, 0) < 0.05 < own.mcnemar(4, 0)


def test_ten_of_ten_right_bound_the_failure_rate_below_25_9_percent() -> None:
    assert own.rate_at_most(0, 10, 0.05) == pytest.approx(0.259, abs=5e-4)
