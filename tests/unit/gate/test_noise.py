"""The noise floor: what a baseline does by itself can't be a candidate's fault."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from evalwindow.gate import judge
from evalwindow.gate.noise import Counted, Normal, net_flips, noise_of, size_of
from evalwindow.metrics import ALL
from evalwindow.model import Answer, Check, NoiseFloor, NoiseRates, Verdict
from evalwindow.store.documents import from_document, to_document
from tests.unit.gate.examples import flips, results, smoke_of, suite_of

WORSE = {Answer.PASS: 0, Answer.INCONCLUSIVE: 1, Answer.FAIL: 2}


def rates(*, samples: int, down: int, up: int) -> NoiseRates:
    return NoiseRates(samples=samples, down=down, up=up, lost=down, gained=up, squares=down + up)


def floor(*, samples: int, down: int, up: int, **slices: NoiseRates) -> NoiseFloor:
    whole = rates(samples=samples, down=down, up=up)
    return NoiseFloor(rates=whole, slices=slices, runs=("r2", "r1"), since="2026-11-18")


def judged(*, n: int, down: int, up: int, noise: NoiseFloor | None, margin: float = 0.03) -> Verdict:
    return judge(suite_of([[]] * n, margin=margin), *flips(n=n, down=down, up=up, right=n - down - up), noise=noise)


def paired(verdict: Verdict, name: str = ALL) -> Check:
    return next(check for check in verdict.checks if check.kind == "paired" and check.slice == name)


LUCKY = floor(samples=1000, down=100, up=20)  # what was promoted had a good day: it falls by 8 points every time


def test_a_fall_that_the_baseline_makes_by_itself_is_no_fail() -> None:
    without, with_it = (judged(n=500, down=50, up=10, noise=noise) for noise in (None, LUCKY))
    assert without.answer is Answer.FAIL
    assert with_it.answer is Answer.INCONCLUSIVE
    check = paired(with_it)
    assert check.p_value == paired(without).p_value
    assert check.p_noise is not None
    assert check.p_noise > 0.05
    assert (check.p_adjusted, check.needed) == (check.p_noise, None)


def test_it_is_said_with_its_numbers_and_what_would_decide() -> None:
    text = paired(judged(n=500, down=50, up=10, noise=LUCKY)).text
    assert text == (
        "all fell by 8.0 points (95 % bounds: -10.5 to -5.5), margin 3, but noise alone takes up to 11.1 points from "
        "500 samples (100 of 1000 samples fell and 20 rose in 2 A/A runs since 2026-11-18): INCONCLUSIVE, a baseline "
        "that holds its score, or more A/A runs of this one, would decide"
    )


def test_a_drop_on_top_of_the_noise_fails() -> None:
    verdict = judged(n=500, down=90, up=10, noise=LUCKY)
    assert verdict.answer is Answer.FAIL
    assert paired(verdict).p_noise == pytest.approx(0, abs=1e-4)


def test_the_floor_is_told_after_the_power_and_kept_in_the_verdict() -> None:
    verdict = judged(n=500, down=1, up=0, noise=floor(samples=4000, down=40, up=32))
    assert verdict.answer is Answer.PASS
    assert verdict.power.endswith(
        "Noise floor: 40 of 4000 samples fell and 32 rose in 2 A/A runs since 2026-11-18, so by itself the mean of 500 "
        "falls by up to 1.2 points (95 %)."
    )
    assert from_document(Verdict, to_document(verdict)) == verdict
    assert "Noise floor" not in judged(n=500, down=1, up=0, noise=None).power


def test_a_margin_below_the_noise_is_said_to_decide_nothing_here() -> None:
    check = paired(judged(n=30, down=1, up=1, noise=floor(samples=3000, down=300, up=300)))
    assert check.answer is Answer.INCONCLUSIVE
    assert (
        "margin 3, noise alone takes up to 13.3 points from 30 samples: INCONCLUSIVE, about 602 samples" in check.text
    )
    assert check.needed == 602  # 0.2 * (1.645 / 0.03)^2: more than the two flips that were seen ask for
    drifting = paired(judged(n=30, down=2, up=1, noise=floor(samples=3000, down=300, up=30)))
    assert drifting.needed is None
    assert drifting.text.endswith("a larger margin, or a baseline that holds its score, would decide")


def test_a_slice_has_its_own_rates_once_it_was_seen_often_enough() -> None:
    suite = suite_of([["sort"]] * 40 + [[]] * 460, blocking=["sort"], slice_margin=0.03)
    candidate, baseline = results([0.0] * 12 + [1.0] * 488), results([1.0] * 500)
    quiet = floor(samples=4000, down=40, up=40)
    noisy = replace(quiet, slices={"sort": rates(samples=320, down=90, up=30)})
    rarely = replace(quiet, slices={"sort": rates(samples=80, down=23, up=8)})
    assert paired(judge(suite, candidate, baseline, noise=quiet), "sort").answer is Answer.FAIL
    assert paired(judge(suite, candidate, baseline, noise=rarely), "sort").answer is Answer.FAIL
    check = paired(judge(suite, candidate, baseline, noise=noisy), "sort")
    assert check.answer is Answer.INCONCLUSIVE
    assert "90 of 320 samples fell" in check.text


def test_what_noise_explains_is_adjusted_among_the_slices_like_everything_else() -> None:
    """Half of two slices at 3 % each would fail one time in twenty by noise alone."""
    suite = suite_of([["a"]] * 250 + [["b"]] * 250, blocking=["a", "b"])
    candidate, baseline = results([0.0] * 30 + [1.0] * 470), results([1.0] * 500)
    for down in range(40, 400, 20):
        verdict = judge(suite, candidate, baseline, noise=floor(samples=2000, down=down, up=down // 4))
        check = paired(verdict, "a")
        assert check.p_adjusted is not None
        assert check.p_value is not None
        assert check.p_noise is not None
        assert check.p_adjusted >= min(1, 2 * max(check.p_value, check.p_noise)) - 1e-12
        assert (check.answer is Answer.FAIL) <= (check.p_adjusted <= 0.05)


def test_smoke_has_an_allowance_of_its_own() -> None:
    found = results([0.0, 0.0] + [1.0] * 8)
    assert judge(smoke_of(10), found, noise=LUCKY) == judge(smoke_of(10), found)


def test_clusters_make_the_noise_of_few() -> None:
    known = floor(samples=2000, down=100, up=80)
    alone = noise_of(known, ALL, samples=500, independent=500.0)
    together = noise_of(known, ALL, samples=500, independent=50.0)
    assert alone is not None
    assert together is not None
    assert together.reach(0.95) > 2 * alone.reach(0.95)


def test_graded_scores_keep_their_mean_and_variance() -> None:
    """200 samples lost 0.2 and 200 won 0.2: flips of a fifth, not a fifth of flips."""
    graded = NoiseRates(samples=1000, down=200, up=200, lost=40, gained=40, squares=16)
    assert size_of(graded) == pytest.approx(0.2)
    noise = noise_of(NoiseFloor(rates=graded, runs=("r",), since="2026-11-18"), ALL, samples=1000, independent=1000.0)
    assert noise is not None
    deviation = (2 * 16 / 1000 / 1000) ** 0.5  # twice: the rates are known from as many samples only
    assert noise.reach(0.95) == pytest.approx(1.645 * deviation, rel=0.05)
    assert noise.p_fall(2 * deviation) == pytest.approx(stats.norm.sf(2), rel=0.1)


def test_no_samples_are_no_floor() -> None:
    nothing = floor(samples=0, down=0, up=0)
    assert noise_of(nothing, ALL, samples=10, independent=10.0) is None
    assert judged(n=500, down=50, up=10, noise=nothing).answer is Answer.FAIL


@pytest.mark.parametrize("n, seen, down, up", [(12, 40, 3, 1), (30, 30, 0, 0), (60, 500, 12.5, 30.25)])
def test_net_flips_are_dirichlet_multinomial(n: int, seen: float, down: float, up: float) -> None:
    """The brute force: every table of flips down and up."""
    net = net_flips(n=n, seen=seen, down=down, up=up)
    weights = [down + 0.5, up + 0.5, seen - down - up + 0.5]
    tables = [[d, u, n - d - u] for d in range(n + 1) for u in range(n + 1 - d)]
    chances = stats.dirichlet_multinomial(weights, n).pmf(np.array(tables))
    for wanted in range(-n, n + 1):
        expected = sum(chance for chance, (d, u, _) in zip(chances, tables, strict=True) if d - u >= wanted)
        assert net.at_least(wanted) == pytest.approx(expected, abs=1e-8)


def test_many_flips_are_as_good_by_their_normal_bound() -> None:
    counted = net_flips(n=500, seen=2000, down=100, up=90)
    normal = net_flips(n=500, seen=2000, down=110, up=99)
    assert isinstance(counted, Counted)
    assert isinstance(normal, Normal)
    assert counted.bound(0.95) == pytest.approx(normal.bound(0.95), abs=2)
    drawn = np.random.default_rng(3).dirichlet([110.5, 99.5, 1791.5], 40_000)
    net = [down - up for down, up, _ in np.random.default_rng(4).multinomial(500, drawn)]
    for wanted in (0, 10, 20, 30):
        assert normal.at_least(wanted) == pytest.approx(np.mean(np.array(net) >= wanted), abs=0.01)


@given(n=st.integers(1, 300), samples=st.integers(1, 2000), share=st.floats(0, 1), side=st.floats(0, 1))
def test_the_bound_is_where_the_chance_gets_rare(n: int, samples: int, share: float, side: float) -> None:
    changed = round(share * samples)
    net = net_flips(n=n, seen=samples, down=round(side * changed), up=changed - round(side * changed))
    bound = net.bound(0.95)
    assert net.at_least(bound + 1) <= 0.05 + 1e-9
    assert net.at_least(bound - 1) >= 0.05 - 1e-9


counts = st.tuples(st.integers(0, 60), st.integers(0, 60))


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[int, int, int, NoiseFloor]:
    n, (down, up) = draw(st.sampled_from([30, 130, 400])), draw(counts)
    samples, (fell, rose) = draw(st.sampled_from([150, 900, 4000])), draw(counts)
    assume(down + up <= n)
    return n, down, up, floor(samples=samples, down=fell, up=rose)


@settings(max_examples=60, deadline=None)
@given(given_=comparisons(), margin=st.sampled_from([0.01, 0.03, 0.1]))
def test_the_floor_turns_some_fails_into_inconclusive_and_nothing_else(given_, margin: float) -> None:
    n, down, up, known = given_
    before = judged(n=n, down=down, up=up, noise=None, margin=margin)
    after = judged(n=n, down=down, up=up, noise=known, margin=margin)
    assert after.answer is before.answer or (before.answer, after.answer) == (Answer.FAIL, Answer.INCONCLUSIVE)
    for name in ("low", "high", "delta", "p_value", "p_worse"):
        assert getattr(paired(after), name) == getattr(paired(before), name)


@settings(max_examples=40, deadline=None)
@given(given_=comparisons())
def test_another_fall_never_betters_the_answer(given_) -> None:
    n, down, up, known = given_
    assume(down + up < n)
    fewer, more = (judged(n=n, down=each, up=up, noise=known) for each in (down, down + 1))
    assert WORSE[more.answer] >= WORSE[fewer.answer]


@settings(max_examples=40, deadline=None)
@given(given_=comparisons(), more=st.integers(1, 40))
def test_a_noisier_baseline_never_makes_a_fail(given_, more: int) -> None:
    n, down, up, known = given_
    noisier = floor(samples=known.rates.samples, down=known.rates.down + more, up=known.rates.up)
    fewer, further = (judged(n=n, down=down, up=up, noise=noise) for noise in (known, noisier))
    assert WORSE[further.answer] <= WORSE[fewer.answer]


@cache
def fails(*, n: int, down: int, up: int) -> bool:
    return judged(n=n, down=down, up=up, noise=None).answer is Answer.FAIL


def share_failed(*, n: int, down: float, up: float, drop: float = 0.0, runs: int, times: int) -> tuple[float, float]:
    """(without, with the floor): how often a candidate fails whose noise is the baseline's, and that falls by `drop`.

    The floor is measured anew each time, from so many A/A runs.
    """
    random = np.random.default_rng(20261121)
    bare = told = 0
    for _ in range(times):
        fell, rose, _ = random.multinomial(n * runs, [down, up, 1 - down - up])
        lost, won, _ = random.multinomial(n, [down + drop, up, 1 - down - up - drop])
        if fails(n=n, down=int(lost), up=int(won)):
            bare += 1
            known = floor(samples=n * runs, down=int(fell), up=int(rose))
            told += judged(n=n, down=int(lost), up=int(won), noise=known).answer is Answer.FAIL
    return bare / times, told / times


@pytest.mark.parametrize("n", [30, 100, 500])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("runs", [1, 4])
def test_noise_alone_hardly_ever_fails(n: int, rate: float, runs: int) -> None:
    bare, told = share_failed(n=n, down=rate, up=rate, runs=runs, times=200)
    assert told <= bare <= 0.03


@pytest.mark.parametrize("n, least_bare", [(30, 0.01), (100, 0.2), (500, 0.8)])
@pytest.mark.parametrize("runs", [1, 4])
def test_a_baseline_on_a_good_day_fails_nobody(n: int, least_bare: float, runs: int) -> None:
    """Run again it falls by 8 points. Without the floor that is every candidate's fault."""
    bare, told = share_failed(n=n, down=0.1, up=0.02, runs=runs, times=150)
    assert bare >= least_bare
    assert told <= 0.1  # 5 % and what 150 trials allow


@pytest.mark.parametrize("n", [30, 100, 500])
@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1])
@pytest.mark.parametrize("runs, most", [(1, 0.05), (4, 0.02)])
def test_even_noise_costs_a_real_drop_little_power(n: int, rate: float, runs: int, most: float) -> None:
    """A drop of 5 points beside a margin of 3: the interval has seen the flips already."""
    bare, told = share_failed(n=n, down=rate, up=rate, drop=0.05, runs=runs, times=120)
    assert bare - most <= told <= bare
