import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from evalwindow.gate.interval import Flips, Student, error_of, independent, interval, telling

flips = st.lists(st.sampled_from([-1.0, 0.0, 0.0, 0.0, 1.0]), min_size=1, max_size=150)
graded = st.lists(st.floats(-1, 1), min_size=1, max_size=150)
differences = st.one_of(flips, graded)
confidences = st.floats(0.6, 0.999)


@st.composite
def clustered(draw: st.DrawFn) -> tuple[list[float], list[str] | None]:
    values = draw(differences)
    names = draw(st.none() | st.lists(st.sampled_from("abcdefgh"), min_size=len(values), max_size=len(values)))
    return values, names


@given(data=clustered(), confidence=confidences)
def test_the_estimate_lies_between_its_bounds(data: tuple[list[float], list[str] | None], confidence: float) -> None:
    seen = interval(*data)
    assert -1 <= seen.lower(confidence) <= np.mean(data[0]) + 1e-9
    assert np.mean(data[0]) - 1e-9 <= seen.upper(confidence) <= 1


@given(data=clustered(), low=confidences, high=confidences)
def test_more_confidence_never_narrows(data: tuple[list[float], list[str] | None], low: float, high: float) -> None:
    low, high = sorted((low, high))
    seen = interval(*data)
    assert seen.lower(high) <= seen.lower(low) + 1e-9
    assert seen.upper(high) >= seen.upper(low) - 1e-9


@given(data=clustered(), confidence=confidences)
def test_swapping_the_sides_mirrors_the_bounds(data: tuple[list[float], list[str] | None], confidence: float) -> None:
    values, clusters = data
    seen, swapped = interval(values, clusters), interval([-value for value in values], clusters)
    assert swapped.lower(confidence) == pytest.approx(-seen.upper(confidence), abs=1e-9)
    assert swapped.upper(confidence) == pytest.approx(-seen.lower(confidence), abs=1e-9)


@given(data=clustered(), confidence=confidences, shuffle=st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(data, confidence, shuffle) -> None:
    values, clusters = data
    order = list(range(len(values)))
    shuffle.shuffle(order)
    shuffled = interval([values[i] for i in order], clusters and [clusters[i] for i in order])
    assert shuffled == interval(values, clusters)


@settings(max_examples=50)
@given(data=clustered(), value=st.floats(-0.5, 0.2))
def test_p_is_the_level_at_which_the_bound_reaches_the_value(data, value: float) -> None:
    seen = interval(*data)
    p = seen.p_below(value)
    if 1e-6 < p < 0.45 and not (isinstance(seen, Student) and seen.error < 1e-9):
        assert seen.upper(1 - p * 1.01) <= value + 1e-6
        assert seen.upper(1 - p * 0.99) >= value - 1e-6


def test_no_flips_in_ten_samples_leave_a_fall_of_25_9_points_possible() -> None:
    assert interval([0.0] * 10).lower(0.95) == pytest.approx(-0.259, abs=5e-4)


def test_no_change_in_graded_scores_is_no_certainty_either() -> None:
    assert interval([-0.3] * 10).lower(0.95) < -0.3 < interval([-0.3] * 10).upper(0.95)


@pytest.mark.parametrize("down, up", [(4, 0), (5, 0), (7, 1), (9, 3), (12, 4), (30, 18)])
def test_a_bound_passes_zero_only_with_exact_mcnemar(down: int, up: int) -> None:
    p = stats.binomtest(down, down + up, alternative="greater").pvalue
    assert (Flips(down=down, up=up, n=400).upper(0.95) < 0) == (p <= 0.05)


def _table(n: int, most: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Every (down, up) with at most `most` each, and the exact method's lower bound there."""
    pairs = np.array([(d, u) for d in range(most + 1) for u in range(most + 1) if d + u <= n])
    return pairs, np.array([Flips(down=float(d), up=float(u), n=n).lower(0.95) for d, u in pairs])


@pytest.mark.parametrize(
    "n, most, rates",
    [
        (10, 10, (0, 0.03, 0.1, 0.3, 0.6)),
        (25, 25, (0, 0.01, 0.05, 0.2, 0.5)),
        (100, 22, (0, 0.01, 0.03, 0.06, 0.09)),
    ],
)
def test_the_exact_bound_holds_at_every_pair_of_rates(n: int, most: int, rates: tuple[float, ...]) -> None:
    """Computed from the trinomial distribution, not simulated; outcomes beyond `most` count as misses."""
    pairs, lower = _table(n, most)
    outcomes = np.column_stack([pairs, n - pairs.sum(axis=1)])
    for down in rates:
        for up in (rate for rate in rates if rate + down < 1):
            chances = stats.multinomial.pmf(outcomes, n, [down, up, 1 - down - up])
            assert chances[lower <= up - down + 1e-12].sum() >= 0.95, (down, up)


def test_the_normal_bound_holds_where_it_is_used() -> None:
    draw = np.random.default_rng(11)
    runs = [draw.choice([-1.0, 0.0, 1.0], p=[0.11, 0.81, 0.08], size=500) for _ in range(1000)]
    seen = [interval(run.tolist()) for run in runs]
    missed = sum(each.lower(0.95) > -0.03 for each in seen)
    assert sum(each.name == "normal" for each in seen) > 900
    assert missed <= stats.binom.ppf(0.999, len(runs), 0.05)


def test_rare_deep_falls_among_small_changes_are_not_averaged_away() -> None:
    """A plain t bound misses the truth here in more than one of ten."""
    draw = np.random.default_rng(5)
    missed = 0
    for _ in range(400):
        broken = draw.random(60) < 0.03
        run = np.where(broken, -1.0, draw.normal(0, 0.02, 60))
        missed += interval(run.tolist()).lower(0.95) > -0.03
    assert missed <= stats.binom.ppf(0.999, 400, 0.05)


def test_the_clustered_bound_holds_when_clusters_break_together() -> None:
    draw = np.random.default_rng(7)
    names = [str(cluster) for cluster in np.repeat(np.arange(30), 10)]
    missed = 0
    for _ in range(400):
        together = np.repeat(draw.choice([-1.0, 1.0], size=30), 10)
        run = np.where(draw.random(300) < 0.3, together, 0.0)
        missed += interval(run.tolist(), names).lower(0.95) > 0
    assert missed <= stats.binom.ppf(0.999, 400, 0.05)


@given(values=differences)
def test_clusters_of_one_sample_change_nothing(values: list[float]) -> None:
    names = [str(index) for index in range(len(values))]
    assert error_of(values, names) == pytest.approx(error_of(values, None), abs=1e-12)
    assert independent(values, names) == pytest.approx(len(values))


def test_flips_that_come_in_bunches_count_as_fewer() -> None:
    bunched = [-1.0] * 10 + [0.0] * 90
    names = [str(index // 10) for index in range(100)]
    assert independent(bunched, names) == pytest.approx(10)
    assert interval(bunched, names).upper(0.95) >= 0 > interval(bunched).upper(0.95)


def test_flips_that_cancel_within_clusters_prove_nothing() -> None:
    cancelling = [-1.0, 1.0] * 100
    names = [str(index // 2) for index in range(200)]
    assert interval(cancelling, names).lower(0.95) <= interval(cancelling).lower(0.95) < 0


def test_one_cluster_alone_is_judged_as_it_stands() -> None:
    values = [-1.0] * 10 + [0.0] * 90
    assert interval(values, ["a"] * 100) == interval(values)


def test_telling_samples_are_the_flips_when_flips_are_rare() -> None:
    assert telling([-1.0] * 4 + [1.0] * 3 + [0.0] * 1000) == pytest.approx(7, rel=0.02)
    assert telling([0.25] * 30) == 0
    assert telling(np.random.default_rng(1).normal(0, 0.1, 3000).tolist()) == pytest.approx(1000, rel=0.1)
