import pytest
from scipy import stats

from evalwindow.gate import power


@pytest.mark.parametrize("discordant, n", [(0.02, 138), (0.05, 344), (0.10, 687), (0.20, 1374)])
def test_samples_needed_to_see_a_drop_of_three_points(discordant: float, n: int) -> None:
    assert power.samples_needed(variance=discordant, drop=0.03, confidence=0.95) == n


@pytest.mark.parametrize("discordant, points", [(0.02, 1.6), (0.05, 2.5), (0.10, 3.5), (0.20, 4.9)])
def test_the_smallest_drop_that_500_samples_show(discordant: float, points: float) -> None:
    assert round(100 * power.smallest_drop(n=500, discordant=discordant, confidence=0.95), 1) == points


def test_without_pairing_500_samples_show_no_less_than_7_9_points() -> None:
    assert round(100 * power.smallest_drop_unpaired(n=500, confidence=0.95), 1) == 7.9


def test_millers_example_needs_969_questions() -> None:
    assert power.samples_needed(variance=1 / 9, drop=0.03, confidence=0.975) == 969


def test_a_flip_as_rare_as_the_margin_is_seen_in_so_many_samples() -> None:
    n = power.samples_to_see(share=0.03, confidence=0.95)
    assert stats.binom.cdf(0, n, 0.03) <= 0.05 < stats.binom.cdf(0, n - 1, 0.03)
    assert power.unseen_drop(n=n, confidence=0.95) <= 0.03 < power.unseen_drop(n=n - 1, confidence=0.95)


def decide(delta: float, n: int = 100) -> int | None:
    return power.samples_to_decide(delta=delta, variance=0.1, margin=0.03, n=n, independent=n, confidence=0.95)


def test_a_difference_at_the_margin_itself_is_never_decided() -> None:
    assert decide(-0.03) is None
    assert decide(-0.0301) is None


def test_what_would_decide_is_more_than_there_is() -> None:
    assert decide(0.0) == 687
    assert decide(0.0, n=5000) == 5001


def test_the_line_says_what_could_be_seen() -> None:
    line = power.power_line(n=500, independent=500, discordant=0.05, confidence=0.95, margin=0.03)
    assert "2.5 points (7.9 without pairing)" in line
    assert "344 samples" in line


def test_the_line_of_clustered_samples_says_what_they_are_worth() -> None:
    line = power.power_line(n=500, independent=125, discordant=0.05, confidence=0.95, margin=0.03)
    assert "worth 125 independent ones" in line
    assert "1376 samples" in line


def test_the_line_of_an_unchanged_run_bounds_what_it_did_not_see() -> None:
    assert "25.9 points" in power.power_line(n=10, independent=10, discordant=0, confidence=0.95, margin=0.03)
