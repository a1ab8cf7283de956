"""Kolmogorov-Smirnov from histograms."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from evalwindow.datasets.drift import drift, has_drifted
from evalwindow.datasets.flags import lengths
from evalwindow.datasets.report import Lengths


def of(values):
    return lengths(pl.Series(values, dtype=pl.Int64))


@given(st.lists(st.integers(0, 999), min_size=1, max_size=40), st.lists(st.integers(0, 999), min_size=1, max_size=40))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore:ks_2samp")
def test_of_short_lengths_it_is_that_of_the_values_themselves(now, before):
    seen, expected = drift(of(now), of(before), against="x"), stats.ks_2samp(now, before)
    assert seen is not None
    assert seen.statistic == pytest.approx(expected.statistic)
    assert seen.p_value == pytest.approx(expected.pvalue)


def test_the_same_lengths_have_not_drifted():
    seen = drift(of(range(500)), of(range(500)), against="x")
    assert seen is not None and seen.statistic == 0 and seen.p_value == 1
    assert not has_drifted(seen)


def test_other_lengths_have():
    seen = drift(of(range(400, 900)), of(range(500)), against="x")
    assert seen is not None and seen.statistic == pytest.approx(0.8) and seen.median_before in (249, 250)
    assert has_drifted(seen)


def test_a_small_shift_of_many_prompts_is_significant_but_no_drift():
    seen = drift(of([*range(1_000)] * 20), of([*range(60, 1_000)] * 20), against="x")
    assert seen is not None and seen.p_value < 0.01
    assert not has_drifted(seen)


def test_nothing_can_be_said_against_nothing():
    assert drift(of([1]), Lengths(), against="x") is None
    assert drift(Lengths(), of([1]), against="x") is None
