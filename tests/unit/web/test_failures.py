import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.web.failures import BURST, MOST_ADDRESSES, REFILL_S, Failures, network


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failures(clock: Clock) -> Failures:
    return Failures(clock)


def exhaust(failures: Failures, address: str) -> None:
    for number in range(BURST):
        assert failures.wait_s(address, f"guess {number}") == 0
        failures.failed(address, f"guess {number}")


def test_so_many_guesses_are_checked_and_the_next_one_waits(failures: Failures, clock: Clock) -> None:
    exhaust(failures, "192.0.2.1")
    assert failures.wait_s("192.0.2.1", "guess") == pytest.approx(REFILL_S)
    clock.now += REFILL_S
    assert failures.wait_s("192.0.2.1", "guess") == 0
    failures.failed("192.0.2.1", "guess")
    assert failures.wait_s("192.0.2.1", "guess") > 0


def test_whoever_was_right_before_is_not_locked_out_by_a_neighbour(failures: Failures) -> None:
    failures.succeeded("mine")
    exhaust(failures, "192.0.2.1")
    assert failures.wait_s("192.0.2.1", "mine") == 0
    assert failures.wait_s("192.0.2.2", "guess") == 0


def test_a_token_that_is_right_no_more_is_a_guess(failures: Failures) -> None:
    failures.succeeded("mine")
    exhaust(failures, "192.0.2.1")
    failures.failed("192.0.2.1", "mine")
    assert failures.wait_s("192.0.2.1", "mine") > 0


def test_an_ipv6_customer_is_one_address_and_an_ipv4_in_disguise_is_ipv4(failures: Failures) -> None:
    exhaust(failures, "2001:db8:1:2::1")
    assert failures.wait_s("2001:db8:1:2:ffff::9", "guess") > 0
    assert failures.wait_s("2001:db8:1:3::1", "guess") == 0
    assert network("::ffff:192.0.2.1") == network("192.0.2.1")


def test_memory_is_bounded_and_the_oldest_is_forgotten_first(failures: Failures) -> None:
    exhaust(failures, "192.0.2.1")
    for number in range(MOST_ADDRESSES):
        failures.failed(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}")
    assert len(failures._buckets) == MOST_ADDRESSES
    assert failures.wait_s("192.0.2.1", "guess") == 0


@given(st.none() | st.text(max_size=50))
def test_any_address_has_a_name(address: str | None) -> None:
    assert network(address)
