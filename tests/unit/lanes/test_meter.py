"""GPU-seconds: shares by tokens that add up to the busy time, whatever comes and goes."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.lanes.meter import Meter


def test_one_alone_pays_for_all_of_its_time():
    meter = Meter()
    meter.enter("a", prompt_tokens=10, most=20, now=5.0)
    assert meter.leave("a", now=9.0, tokens=(10, 20)) == 4.0
    assert meter.busy_s == 4.0


def test_two_side_by_side_pay_by_their_tokens():
    meter = Meter()
    meter.enter("a", prompt_tokens=0, most=30, now=0.0)
    meter.enter("b", prompt_tokens=0, most=30, now=0.0)
    meter.enter("teacher", prompt_tokens=0, most=30, now=0.0)
    meter.leave("teacher", now=1.0, tokens=(0, 10))  # from here on the pace is known: 10 tokens a second
    first = meter.leave("a", now=3.0, tokens=(0, 30))
    second = meter.leave("b", now=3.0, tokens=(0, 10))
    assert first + second == pytest.approx(3.0, rel=0.4)
    assert first > second * 0.9


def test_a_long_prompt_pays_more_than_a_short_one_beside_it():
    meter = Meter()
    meter.enter("long", prompt_tokens=1000, most=10, now=0.0)
    meter.enter("short", prompt_tokens=10, most=10, now=0.0)
    short = meter.leave("short", now=2.0, tokens=(10, 10))
    long = meter.leave("long", now=2.0, tokens=(1000, 10))
    assert long / short == pytest.approx(1010 / 20, rel=0.1)


def test_what_the_prefix_cache_had_costs_nothing():
    meter = Meter()
    for key in ("cached", "read"):
        meter.enter(key, prompt_tokens=500, most=1, now=0.0)
    cached = meter.leave("cached", now=1.0, tokens=(0, 1))
    assert cached < meter.leave("read", now=1.0, tokens=(500, 1)) / 100


def test_a_calibrated_prompt_token_weighs_what_it_was_measured_to_cost():
    meter = Meter(prefill_weight=0.01)
    meter.enter("reader", prompt_tokens=1000, most=1, now=0.0)
    meter.enter("writer", prompt_tokens=0, most=10, now=0.0)
    reader = meter.leave("reader", now=1.0, tokens=(1000, 0))
    assert reader + meter.leave("writer", now=1.0, tokens=(0, 10)) == pytest.approx(1.0)


def test_no_time_is_anybodys_while_the_engine_is_away():
    meter = Meter()
    meter.enter("a", prompt_tokens=1, most=1, now=0.0)
    meter.stop(2.0)
    meter.go_on(100.0)
    assert meter.leave("a", now=101.0, tokens=(1, 1)) == 3.0


def test_idle_time_is_nobodys():
    meter = Meter()
    meter.enter("a", prompt_tokens=1, most=1, now=10.0)
    meter.leave("a", now=11.0, tokens=(1, 1))
    meter.touch(500.0)
    assert meter.busy_s == 1.0


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "leave", "fail", "stop", "go on"]),
        st.integers(0, 50),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=60,
)


@given(EVENTS)
def test_the_shares_add_up_to_the_busy_time_exactly(events):
    meter, now, number, inside, shares = Meter(prefill_weight=Fraction(1, 3)), Fraction(0), 0, [], []
    meter.busy_s = meter._paid = meter._last = Fraction(0)
    for kind, wait, prompt, output in events:
        now += Fraction(wait, 7)
        if kind == "enter":
            number += 1
            meter.enter(number, prompt_tokens=Fraction(prompt), most=9, now=now)
            meter._pace = None  # keeps the arithmetic exact
            inside.append(number)
        elif kind in ("leave", "fail") and inside:
            tokens = (Fraction(prompt), Fraction(output)) if kind == "leave" else None
            meter._pace = None
            shares.append(meter.leave(inside.pop(prompt % len(inside)), now=now, tokens=tokens))
            assert shares[-1] >= 0
        elif kind == "stop":
            meter.stop(now)
        elif kind == "go on":
            meter.go_on(now)
    for key in inside:
        now += 1
        shares.append(meter.leave(key, now=now, tokens=(Fraction(1), Fraction(1))))
    assert float(sum(shares)) == pytest.approx(float(meter.busy_s), abs=1e-9)
