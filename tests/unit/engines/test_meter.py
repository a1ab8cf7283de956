"""GPU seconds are shared among the requests in flight, and none is lost or counted twice."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from evalwindow.engines.meter import BusyMeter, metered


def test_two_requests_that_overlap_share_the_overlap() -> None:
    meter = BusyMeter()
    one = meter.enter(0.0)
    two = meter.enter(1.0)
    assert meter.exit(one, 3.0) == 1.0 + 2.0 / 2
    assert meter.exit(two, 4.0) == 2.0 / 2 + 1.0
    assert meter.busy_s == 4.0


def test_idle_time_is_nobodys() -> None:
    meter = BusyMeter()
    assert meter.exit(meter.enter(0.0), 1.0) == 1.0
    assert meter.exit(meter.enter(10.0), 12.0) == 2.0
    assert meter.busy_s == 3.0


@given(st.lists(st.tuples(st.fractions(0, 100), st.fractions(0, 100)), min_size=1, max_size=12))
def test_the_shares_sum_to_the_busy_time_exactly(spans: list[tuple[Fraction, Fraction]]) -> None:
    spans = [(min(span), max(span)) for span in spans]
    events = [(begin, 0, index) for index, (begin, _) in enumerate(spans)]
    events += [(end, 1, index) for index, (_, end) in enumerate(spans)]
    meter, entered, shares = BusyMeter(), {}, []
    for now, kind, index in sorted(events):
        if kind == 0:
            entered[index] = meter.enter(now)  # type: ignore[arg-type]  # exact numbers in place of floats
        else:
            shares.append(meter.exit(entered[index], now))  # type: ignore[arg-type]
    assert sum(shares) == meter.busy_s == covered(spans)
    assert all(share >= 0 for share in shares)


def covered(spans: list[tuple[Fraction, Fraction]]) -> Fraction:
    """Length of the union of the spans."""
    total, reached = Fraction(0), Fraction(0)
    for begin, end in sorted(spans):
        total += max(Fraction(0), end - max(begin, reached))
        reached = max(reached, end)
    return total


def test_a_block_that_fails_is_counted_too() -> None:
    meter = BusyMeter()
    try:
        with metered(meter) as share:
            raise ValueError
    except ValueError:
        pass
    assert share.gpu_s == meter.busy_s > 0
