"""Every way that a breaker can go: examples, and whatever may happen in any order."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.breakers import Leave, Phase, Standing, What, ask, counted, failed, reset, succeeded, untried
from evalwindow.config import Breaker

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
RULE = Breaker(failures=3, cooldown_s=30, longest_s=100)


def at(seconds: float) -> dt.datetime:
    return T0 + dt.timedelta(seconds=seconds)


def fail(standing: Standing, seconds: float, **more: object) -> Standing:
    return failed(standing, reason="away", now=at(seconds), rule=RULE, **more).standing  # type: ignore[arg-type]


def opened() -> Standing:
    standing = Standing()
    for second in (0, 1, 2):
        standing = fail(standing, second)
    return standing


def test_it_opens_with_the_last_of_so_many_failures_in_a_row_and_says_it_once() -> None:
    standing, events = Standing(), []
    for second in range(5):
        step = failed(standing, reason=f"away {second}", now=at(second), rule=RULE)
        standing = step.standing
        events.append(step.event)
    assert events == [None, None, What.OPENED, None, None]
    assert (standing.phase, standing.since, standing.opened_at) == (Phase.OPEN, at(0), at(2))
    assert (standing.retry_at, standing.reason) == (at(2 + 30), "away 2")


def test_a_success_between_them_begins_the_row_anew() -> None:
    standing = fail(fail(Standing(), 0), 1)
    step = succeeded(standing)
    assert (step.standing, step.event) == (Standing(), None)
    assert fail(step.standing, 2).phase is Phase.CLOSED


def test_while_it_is_open_nobody_may_then_one_may() -> None:
    standing, leave = ask(opened(), now=at(31), probe_s=60)
    assert leave == Leave(wait_until=at(32))
    standing, leave = ask(standing, now=at(32), probe_s=60)
    assert leave == Leave(probe=True)
    assert ask(standing, now=at(33), probe_s=60)[1] == Leave(wait_until=at(92))


def test_a_probe_that_says_nothing_is_taken_for_dead() -> None:
    standing, _ = ask(opened(), now=at(32), probe_s=60)
    standing, leave = ask(standing, now=at(92), probe_s=60)
    assert leave == Leave(probe=True)
    assert standing.retry_at == at(152)


def test_a_probe_that_succeeds_closes_it() -> None:
    standing, _ = ask(opened(), now=at(40), probe_s=60)
    step = succeeded(standing, probe=True)
    assert (step.standing, step.event) == (Standing(), What.CLOSED)


def test_probes_that_fail_open_it_again_for_twice_as_long_up_to_the_longest_and_are_no_news() -> None:
    standing, pauses = opened(), []
    for _ in range(4):
        now = standing.retry_at
        assert now is not None
        standing, _ = ask(standing, now=now, probe_s=60)
        step = failed(standing, reason="still away", now=now, rule=RULE, probe=True)
        standing = step.standing
        assert step.event is None and standing.retry_at is not None
        pauses.append((standing.retry_at - now).total_seconds())
    assert pauses == [60, 100, 100, 100]
    assert (standing.opened_at, standing.reason, standing.trips) == (at(2), "still away", 5)


def test_after_a_close_the_cooldown_is_the_first_again() -> None:
    standing, _ = ask(opened(), now=at(32), probe_s=60)
    standing, _ = ask(fail(standing, 32, probe=True), now=at(92), probe_s=60)
    standing = succeeded(standing, probe=True).standing
    for second in (200, 201, 202):
        standing = fail(standing, second)
    assert standing.retry_at == at(232)


@pytest.mark.parametrize("late", [fail(opened(), 90), succeeded(opened()).standing])
def test_who_began_before_it_opened_changes_nothing(late: Standing) -> None:
    assert late == opened()


def test_who_was_no_probe_decides_nothing_while_one_is_out() -> None:
    probing, _ = ask(opened(), now=at(32), probe_s=60)
    assert fail(probing, 33) == probing
    assert succeeded(probing).standing == probing


def test_a_probe_that_never_tried_leaves_it_to_the_next_at_once() -> None:
    probing, _ = ask(opened(), now=at(32), probe_s=60)
    standing = untried(probing, now=at(33)).standing
    assert ask(standing, now=at(33), probe_s=60)[1].probe
    assert untried(opened(), now=at(33)).standing == opened()


def test_who_asks_for_a_longer_pause_gets_it_up_to_the_longest() -> None:
    two = fail(fail(Standing(), 0), 1)
    assert fail(two, 2, at_least_s=50.0).retry_at == at(52)
    assert fail(two, 2, at_least_s=5000.0).retry_at == at(102)


def test_a_reset_closes_it_and_a_reset_of_nothing_is_no_event() -> None:
    assert reset(opened()).event is What.RESET
    assert reset(opened()).standing == Standing()
    assert reset(Standing()).event is None


MOVES = st.lists(st.tuples(st.sampled_from(["ask", "fail", "succeed", "untried", "reset"]), st.floats(0, 200)))


@dataclass
class Play:
    """One breaker with whoever probes it; what must never be is asserted at every move."""

    rule: Breaker
    standing: Standing = field(default_factory=Standing)
    probing_until: dt.datetime | None = None
    events: list[What] = field(default_factory=list)

    def ask(self, now: dt.datetime) -> None:
        self.standing, leave = ask(self.standing, now=now, probe_s=20)
        assert leave.wait_until is None or leave.wait_until > now
        if leave.probe:
            assert self.probing_until is None or now >= self.probing_until  # never two that live
            self.probing_until = now + dt.timedelta(seconds=20)

    def tell(self, move: str, now: dt.datetime) -> None:
        probe = self.probing_until is not None and now < self.probing_until
        step = {
            "fail": lambda: failed(self.standing, reason="r", now=now, rule=self.rule, probe=probe),
            "succeed": lambda: succeeded(self.standing, probe=probe),
            "untried": lambda: untried(self.standing, now=now),
            "reset": lambda: reset(self.standing),
        }[move]()
        self.standing = step.standing
        self.events += [step.event] if step.event else []
        if self.standing.phase is not Phase.HALF_OPEN:
            self.probing_until = None


@given(moves=MOVES, failures=st.integers(1, 4))
def test_in_any_order_there_is_one_probe_and_openings_and_ends_take_turns(
    moves: list[tuple[str, float]], failures: int
) -> None:
    play, seconds = Play(Breaker(failures=failures, cooldown_s=10, longest_s=40)), 0.0
    for move, pause in moves:
        seconds += pause
        if move == "ask":
            play.ask(at(seconds))
        else:
            play.tell(move, at(seconds))
        closed = play.standing.phase is Phase.CLOSED
        assert closed == (play.standing.retry_at is None)
        assert closed == (play.standing.trips == 0)
        assert not closed or play.standing.failures < failures
    told = [event for event in play.events if event is not What.RESET]
    assert (What.CLOSED, What.CLOSED) not in itertools.pairwise(told)
    opens, ends = play.events.count(What.OPENED), play.events.count(What.CLOSED)
    assert ends <= opens <= ends + play.events.count(What.RESET) + 1


def submissions(times: list[float], *, most: int = 3, rule: Breaker = RULE) -> tuple[list[bool], list[What]]:
    """Which of those that come at these seconds are let in, and what is told."""
    standing, let_in, events = Standing(), [], []
    for second in times:
        step, leave = counted(standing, now=at(second), most=most, reason="too many", rule=rule)
        standing = step.standing
        let_in.append(leave.wait_until is None)
        events += [step.event] if step.event else []
    return let_in, events


def test_so_many_a_minute_are_let_in_for_ever() -> None:
    let_in, events = submissions([minute * 61 + n for minute in range(5) for n in range(3)])
    assert all(let_in) and events == []


def test_the_one_too_many_opens_it_and_then_none_is_let_in_until_its_time() -> None:
    let_in, events = submissions([0, 1, 2, 3, 4, 32.9])
    assert let_in == [True, True, True, False, False, False]
    assert events == [What.OPENED]


def test_who_keeps_to_it_for_a_minute_of_trial_closes_it() -> None:
    let_in, events = submissions([0, 1, 2, 3, 33, 34, 35, 94])
    assert let_in == [True, True, True, False, True, True, True, True]
    assert events == [What.OPENED, What.CLOSED]


def test_who_goes_on_flooding_is_refused_for_longer_and_it_is_one_incident() -> None:
    let_in, events = submissions([0, 1, 2, 3, *range(33, 37), 36 + 59, 36 + 60])
    assert let_in == [True, True, True, False, True, True, True, False, False, True]
    assert events == [What.OPENED]


def test_who_goes_on_while_it_is_open_is_not_let_in_to_find_out() -> None:
    let_in, events = submissions([0, 1, 2, *range(3, 200, 10), 313], rule=Breaker(cooldown_s=60))
    assert let_in == [True] * 3 + [False] * 20 + [True]
    assert events == [What.OPENED]


def test_who_asks_now_and_then_while_it_is_open_keeps_nobody_out() -> None:
    let_in, _ = submissions([0, 1, 2, 3, 10, 20, 32.9, 33])
    assert let_in == [True, True, True, False, False, False, False, True]


@given(pauses=st.lists(st.floats(0, 40), max_size=60), most=st.integers(1, 5))
def test_whoever_floods_never_gets_more_than_twice_the_rate_in_any_minute(pauses: list[float], most: int) -> None:
    times, second = [], 0.0
    for pause in pauses:
        second += pause
        times.append(second)
    let_in, _ = submissions(times, most=most)
    passed = [time for time, ok in zip(times, let_in, strict=True) if ok]
    for start in passed:  # minutes are counted one after another, so two of them may touch
        assert sum(start <= time < start + 60 for time in passed) <= 2 * most
