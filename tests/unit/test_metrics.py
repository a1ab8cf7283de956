import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evalwindow import metrics
from evalwindow.metrics import summarise
from evalwindow.model import Completion, Metric, SampleResult, Score, Summary, Usage
from tests.unit.gate.examples import Scorer, result, results, suite_of

values = st.lists(st.floats(0, 1), min_size=2, max_size=60)


def metric(summary: Summary, name: str, of: str = "all") -> Metric:
    found = next(each for each in summary.slices if each.slice == of)
    return next(each for each in found.metrics if each.name == name)


@given(found=values)
def test_the_standard_error_is_scipys(found: list[float]) -> None:
    assert metrics.standard_error(found) == pytest.approx(stats.sem(found), abs=1e-12)


@given(found=values, names=st.data())
def test_the_clustered_standard_error_is_that_of_statsmodels_regression(
    found: list[float], names: st.DataObject
) -> None:
    clusters = names.draw(st.lists(st.sampled_from("abcde"), min_size=len(found), max_size=len(found)))
    error = metrics.clustered_error(found, clusters)
    if len(set(clusters)) < 2:
        assert error is None
        return
    groups = np.unique(clusters, return_inverse=True)[1]
    fit = sm.OLS(found, np.ones(len(found))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False, "df_correction": False}
    )
    assert error == pytest.approx(math.sqrt(max(0.0, fit.cov_params()[0, 0])), abs=1e-7)


def test_the_clustered_standard_error_by_hand() -> None:
    error = metrics.clustered_error([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "c"])
    assert error == pytest.approx(math.sqrt(1 + 1 + 0) / 6)


@pytest.mark.parametrize(
    "n, passed, k", [(n, p, k) for n in range(1, 7) for p in range(n + 1) for k in range(1, n + 1)]
)
def test_pass_at_k_and_pass_hat_k_are_what_enumeration_gives(n: int, passed: int, k: int) -> None:
    drawn = list(combinations([True] * passed + [False] * (n - passed), k))
    assert metrics.pass_at_k(n, passed, k) == pytest.approx(np.mean([any(each) for each in drawn]))
    assert metrics.pass_hat_k(n, passed, k) == pytest.approx(np.mean([all(each) for each in drawn]))


def test_a_mean_is_over_samples_after_epochs() -> None:
    found = [result("s0", 1.0), result("s0", 0.0, epoch=1), result("s1", 1.0)]
    summary = summarise(suite_of([[], []], epochs=2), found, 3.5)
    exact = metric(summary, "exact")
    assert (exact.value, exact.n, exact.unscored) == (0.75, 2, 1)
    assert exact.stderr == pytest.approx(stats.sem([0.5, 1.0]))
    assert summary.wall_s == 3.5


def test_slices_come_after_all_and_by_name() -> None:
    summary = summarise(suite_of([["b", "a"], ["b"], []]), results([1.0, 0.0, 0.0]), 0)
    assert [each.slice for each in summary.slices] == ["all", "a", "b"]
    assert metric(summary, "exact", "a").value == 1
    assert metric(summary, "exact", "b").value == 0.5
    assert metric(summary, "exact").value == pytest.approx(1 / 3)


def test_every_scorer_has_its_mean() -> None:
    suite = suite_of([[]], scorers=(Scorer(label="exact"), Scorer(label="f1")))
    summary = summarise(suite, [result("s0", 0.0, f1=0.4)], 0)
    assert (metric(summary, "exact").value, metric(summary, "f1").value) == (0, 0.4)


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf, -0.5, 2.0])
def test_a_value_that_is_no_score_is_unscored_and_poisons_nothing(broken: float) -> None:
    summary = summarise(suite_of([[], []]), results([1.0, broken]), 0)
    assert metric(summary, "exact") == Metric(name="exact", value=1.0, stderr=None, n=1, unscored=1)
    assert summary.unscored == 1
    assert str(broken) in metrics.sound(Score(value=broken)).reason


def test_unscored_is_not_zero() -> None:
    summary = summarise(suite_of([[], [], []]), results([1.0, None]), 0)
    exact = metric(summary, "exact")
    assert (exact.value, exact.n, exact.unscored) == (1.0, 1, 2)
    assert (summary.samples, summary.results, summary.unscored) == (3, 2, 1)


def test_nothing_scored_has_no_mean() -> None:
    assert metric(summarise(suite_of([[]]), [], 0), "exact") == Metric(name="exact", value=None, unscored=1)


def test_clusters_give_the_clustered_error_and_its_count() -> None:
    suite = suite_of([[]] * 6, clusters=["a", "a", "b", "b", None, None])
    exact = metric(summarise(suite, results([1.0, 1.0, 0.0, 0.0, 1.0, 0.0]), 0), "exact")
    assert exact.clusters == 4
    assert exact.stderr == pytest.approx(metrics.clustered_error([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "x", "y"]))


def test_one_epoch_has_no_pass_at_k() -> None:
    summary = summarise(suite_of([[]]), results([1.0]), 0)
    assert [each.name for each in summary.slices[0].metrics] == ["exact"]


def test_epochs_give_pass_at_k_for_powers_of_two_and_all_of_them() -> None:
    found = [result("s0", value, epoch=epoch) for epoch, value in enumerate([1.0, 0.0, 0.0, 0.9, 1.0])]
    summary = summarise(suite_of([[]], epochs=5), found, 0)
    names = [each.name for each in summary.slices[0].metrics]
    assert names == ["exact", "pass@2", "pass^2", "pass@4", "pass^4", "pass@5", "pass^5"]
    assert metric(summary, "pass@2").value == pytest.approx(metrics.pass_at_k(5, 2, 2))
    assert metric(summary, "pass^2").value == pytest.approx(0.1)


def test_pass_at_moves_what_counts_as_a_pass() -> None:
    found = [result("s0", value, epoch=epoch) for epoch, value in enumerate([0.7, 0.8])]
    assert metric(summarise(suite_of([[]], epochs=2, pass_at=0.8), found, 0), "pass@2").value == 1
    assert metric(summarise(suite_of([[]], epochs=2, pass_at=0.9), found, 0), "pass@2").value == 0


def test_a_sample_with_too_few_epochs_says_nothing_about_k() -> None:
    found = [result("s0", 1.0), result("s0", 1.0, epoch=1), result("s1", 0.0), result("s1", None, epoch=1)]
    pass_2 = metric(summarise(suite_of([[], []], epochs=2), found, 0), "pass@2")
    assert (pass_2.value, pass_2.n, pass_2.unscored) == (1.0, 1, 1)


def _costly(sample_id: str, *, reask: bool = False, cached: bool = False) -> SampleResult:
    usage = Usage(prompt_tokens=10, cached_tokens=4, output_tokens=3, gpu_s=0.5, cost=0.01)
    completion = Completion(text="?", usage=usage, cached=cached)
    return replace(result(sample_id, 1.0, epoch=int(reask), reask=reask), completion=completion)


def test_re_asks_cost_but_are_never_measured() -> None:
    found = [_costly("s0"), _costly("s0", reask=True), _costly("s1", cached=True), result("s2", None)]
    summary = summarise(suite_of([[], [], []]), found, 0)
    assert (summary.results, summary.unscored, summary.cache_hits) == (3, 1, 1)
    assert (summary.prompt_tokens, summary.cached_tokens, summary.output_tokens) == (30, 12, 9)
    assert (summary.gpu_s, summary.cost) == (pytest.approx(1.5), pytest.approx(0.03))
    assert metric(summary, "exact").n == 2


@given(found=st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=40), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_results_does_not_matter(found: list[float | None], shuffle) -> None:
    suite = suite_of([["odd"] if index % 2 else [] for index in range(len(found))])
    shuffled = results(found)
    shuffle.shuffle(shuffled)
    assert summarise(suite, shuffled, 1.0) == summarise(suite, results(found), 1.0)
