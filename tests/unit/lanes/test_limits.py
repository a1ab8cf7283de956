"""Limits from measured step times; expectations; how long smoke may hold regression back."""

from dataclasses import asdict

import pytest

from evalwindow.config import Lane, Lanes, Pool
from evalwindow.lanes.allowance import AGAIN_S, BURST_S, Allowance
from evalwindow.lanes.calibration import Calibration
from evalwindow.lanes.expect import Expectations
from evalwindow.lanes.hold import Ticket
from evalwindow.lanes.limits import LaneLimits
from evalwindow.model import CompletionRequest, Message, Sampling, Tier

FLAT = Calibration(steps=((1, 0.0100), (64, 0.0101)), prefill_s=1e-5, kv_tokens=100_000)  # a GPU: a step is a step
STEEP = Calibration(steps=((1, 0.010), (10, 0.019), (64, 0.0855)), prefill_s=1e-3)  # a CPU: rows cost


def limits(calibration, **lanes):
    return LaneLimits.of(Lanes(**lanes), Pool(model="m", max_num_seqs=64), calibration)


def test_where_a_wider_step_costs_nothing_smoke_holds_nobody_back():
    assert limits(FLAT).beside_smoke == 54


def test_where_rows_cost_as_many_may_start_beside_smoke_as_the_factor_allows():
    beside = limits(STEEP).beside_smoke
    assert 0 < beside < 10
    assert STEEP.step_s(10 + beside) <= 1.25 * STEEP.step_s(10) < STEEP.step_s(11 + beside)
    assert limits(STEEP, beside_smoke=1.0).beside_smoke == 0


def test_one_team_s_smoke_is_as_many_as_leave_a_step_about_as_quick():
    assert limits(FLAT).smoke_of_team == 64
    assert limits(STEEP).smoke_of_team == 10 + limits(STEEP).beside_smoke
    assert limits(None).smoke_of_team == 10


def test_without_a_measurement_nothing_starts_beside_smoke():
    assert limits(None).beside_smoke == 0
    assert limits(None).tokens_of(Tier.REGRESSION) == float("inf")


def test_steps_between_and_beyond_measurements_lie_on_their_lines():
    assert STEEP.step_s(1) == 0.010
    assert STEEP.step_s(10) == 0.019
    assert STEEP.step_s(37) == pytest.approx((0.019 + 0.0855) / 2)
    assert STEEP.step_s(128) > 0.0855
    assert Calibration(steps=((4, 0.5),), prefill_s=1).step_s(60) == 0.5
    assert Calibration.from_document(asdict(STEEP)) == STEEP


def test_regression_leaves_a_part_of_the_kv_cache_to_smoke_and_a_team_a_part_to_others():
    mine = limits(FLAT, regression=Lane(slots=54, team_tokens=0.25))
    assert mine.tokens_of(Tier.SMOKE) == 100_000
    assert mine.tokens_of(Tier.REGRESSION) == 90_000
    assert mine.tokens_of_team(Tier.REGRESSION) == 25_000


def test_expected_tokens_are_learned_from_answers():
    expectations, ticket = Expectations(), Ticket(tier=Tier.SMOKE, team="a", chars=400, max_tokens=100)
    assert expectations.of(ticket).total == 300  # cautious: half a token a character, and all it may write
    for _ in range(60):
        expectations.learn(ticket, prompt_tokens=100, output_tokens=10)
    assert expectations.of(ticket).prompt == pytest.approx(100, rel=0.02)
    assert expectations.of(ticket).output == pytest.approx(10, rel=0.05)
    other = Ticket(tier=Tier.SMOKE, team="b", chars=400, max_tokens=100)
    assert expectations.of(other).output == 100  # another team's answers may be long


def test_a_ticket_tells_what_the_engine_will_read():
    messages = (Message(role="system", content="xx"), Message(role="user", content="yyy"))
    asked = CompletionRequest(model="m", messages=messages, sampling=Sampling(max_tokens=7), tier=Tier.SMOKE)
    assert Ticket.of(asked, team="a") == Ticket(tier=Tier.SMOKE, team="a", chars=5, max_tokens=7)
    chosen = CompletionRequest(model="m", messages=messages, sampling=Sampling(), choices=("A", "B"))
    assert (Ticket.of(chosen, team="a").chars, Ticket.of(chosen, team="a").max_tokens) == (10, 1)


def held(share, *, seconds, step=0.1):
    """How long regression was held back while smoke never ended."""
    allowance = Allowance(share, now=0.0)
    for tick in range(int(seconds / step)):
        allowance.may_hold(True, tick * step)
    return allowance.held_s


def test_smoke_that_never_ends_holds_regression_back_for_its_share_of_the_time():
    assert held(0.5, seconds=2000) == pytest.approx(1000, rel=0.05)
    assert held(0.2, seconds=2000) == pytest.approx(400, rel=0.1)
    assert held(1.0, seconds=100) == pytest.approx(100, rel=0.01)
    assert held(0.0, seconds=100) == 0


def test_smoke_now_and_then_is_never_refused():
    allowance = Allowance(0.5, now=0.0)
    for minute in range(100):
        assert allowance.may_hold(True, minute * 60.0)
        assert not allowance.may_hold(False, minute * 60.0 + 3)


def test_what_is_used_up_comes_back_in_whole_stretches():
    allowance = Allowance(0.5, now=0.0)
    assert allowance.may_hold(True, 0.0)
    assert allowance.left_s() == pytest.approx(BURST_S / 0.5)
    end = allowance.left_s()
    assert not allowance.may_hold(True, end)
    assert allowance.left_s() is None
    assert not allowance.may_hold(True, end + AGAIN_S / 0.5 - 0.1)
    assert allowance.may_hold(True, end + AGAIN_S / 0.5 + 0.1)
