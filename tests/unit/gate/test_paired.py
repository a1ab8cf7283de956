import pytest
from scipy import stats

from evalwindow.gate import judge
from evalwindow.model import Answer, Check, SampleResult
from tests.unit.gate.examples import Suite, flips, result, results, suite_of


def compared(suite: Suite, candidate: list[SampleResult], baseline: list[SampleResult]) -> Check:
    return next(check for check in judge(suite, candidate, baseline).checks if check.kind == "paired")


def check_of_flips(*, n: int, down: int, up: int, margin: float = 0.03) -> Check:
    return compared(suite_of([[]] * n, margin=margin), *flips(n=n, down=down, up=up, right=n - down - up))


def test_flips_and_their_difference_are_counted() -> None:
    check = check_of_flips(n=200, down=30, up=6)
    assert (check.flips_down, check.flips_up, check.n) == (30, 6, 200)
    assert check.delta == pytest.approx(-0.12)
    assert check.candidate == pytest.approx(1 - 0.15)
    assert check.baseline == pytest.approx(1 - 0.03)


def test_the_p_of_any_drop_is_exact_mcnemar() -> None:
    expected = stats.binomtest(30, 36, alternative="greater").pvalue
    assert check_of_flips(n=200, down=30, up=6).p_worse == pytest.approx(expected)
    expected = stats.binomtest(200, 350, alternative="greater").pvalue
    assert check_of_flips(n=500, down=200, up=150).p_worse == pytest.approx(expected)


def test_many_flips_are_judged_by_the_paired_standard_error() -> None:
    check = check_of_flips(n=1000, down=110, up=90)
    differences = [-1.0] * 110 + [1.0] * 90 + [0.0] * 800
    low = stats.ttest_1samp(differences, 0).confidence_interval(0.90).low
    assert check.test == "normal"
    assert check.low == pytest.approx(low)
    p = stats.ttest_1samp(differences, -0.03, alternative="less").pvalue
    assert check.p_value == pytest.approx(p)


def test_few_flips_are_judged_by_exact_limits() -> None:
    assert check_of_flips(n=1000, down=5, up=3).test == "mcnemar"


def test_ten_unchanged_samples_decide_nothing() -> None:
    check = check_of_flips(n=10, down=0, up=0)
    assert check.answer is Answer.INCONCLUSIVE
    assert check.low == pytest.approx(-0.259, abs=5e-4)
    assert check.needed is not None
    assert check.needed >= 99


def test_99_unchanged_samples_pass_a_margin_of_three_and_98_do_not() -> None:
    assert check_of_flips(n=99, down=0, up=0).answer is Answer.PASS
    assert check_of_flips(n=98, down=0, up=0).answer is Answer.INCONCLUSIVE


def test_a_certain_drop_within_the_margin_passes_and_shows_that_it_is_certain() -> None:
    check = check_of_flips(n=2000, down=30, up=5)
    assert check.answer is Answer.PASS
    assert check.p_worse is not None
    assert check.p_worse < 0.001


def test_a_drop_beyond_the_margin_that_may_be_chance_is_no_pass_and_no_fail() -> None:
    check = check_of_flips(n=100, down=10, up=5)
    assert check.delta == pytest.approx(-0.05)
    assert check.answer is Answer.INCONCLUSIVE
    assert check.needed is not None
    assert check.needed > 100
    assert check.text.endswith(f"INCONCLUSIVE, about {check.needed} samples would decide (100 here)")


def test_what_is_said_to_decide_decides() -> None:
    """The same rates at half as many samples again: exact limits ask for more than the normal formula behind it."""
    few = check_of_flips(n=300, down=15, up=13)
    assert few.answer is Answer.INCONCLUSIVE
    assert few.needed is not None
    scale = 1.5 * few.needed / 300
    enough = check_of_flips(n=round(300 * scale), down=round(15 * scale), up=round(13 * scale))
    assert enough.answer is Answer.PASS


def test_the_sentence_names_slice_fall_bound_margin_and_answer() -> None:
    text = check_of_flips(n=500, down=100, up=0).text
    assert text == "all fell by 20.0 points (95 % bound: at least 17.0), margin 3: FAIL"


def test_the_sentence_of_a_rise_bounds_it_from_below() -> None:
    assert check_of_flips(n=500, down=0, up=100).text.startswith(
        "all rose by 20.0 points (95 % bound: a rise of at least 17"
    )


def test_epochs_are_averaged_before_anything_else() -> None:
    suite = suite_of([[]] * 2, epochs=4)
    candidate = [result(name, value, epoch=e) for name in ("s0", "s1") for e, value in enumerate([1, 1, 0, 0])]
    baseline = [result(name, value, epoch=e) for name in ("s0", "s1") for e, value in enumerate([1, 1, 1, 0])]
    check = compared(suite, candidate, baseline)
    assert (check.n, check.delta, check.flips_down) == (2, pytest.approx(-0.25), 2)


def test_clusters_widen_the_bounds() -> None:
    values = [0.0 if index // 10 % 3 == 0 else 1.0 for index in range(600)]
    baseline = [0.0 if index // 10 % 3 == 1 else 1.0 for index in range(600)]
    clusters = [str(index // 10) for index in range(600)]
    alone = compared(suite_of([[]] * 600), results(values), results(baseline))
    together = compared(suite_of([[]] * 600, clusters=clusters), results(values), results(baseline))
    assert (alone.test, together.test) == ("normal", "clustered")
    assert alone.low is not None
    assert together.low is not None
    assert together.low < alone.low < 0


def test_a_missing_epoch_counts_as_wrong_for_a_pass_only() -> None:
    suite = suite_of([[]] * 400, epochs=2, max_unscored=0.05)
    full = [result(f"s{index}", 1.0, epoch=epoch) for index in range(400) for epoch in (0, 1)]
    gappy = [each for each in full if each.epoch == 0 or each.sample_id not in {f"s{index}" for index in range(30)}]
    check = compared(suite, gappy, full)
    assert check.delta == 0
    assert check.high == compared(suite, full, full).high
    assert check.low is not None
    assert check.low < -0.03
    assert check.answer is Answer.INCONCLUSIVE
    assert "30 unscored taken as wrong" in check.text
    assert "scoring the unscored would decide" in check.text
    assert check.needed is None
