"""Whose turn it is: reserved slots, tightening, fairness, budgets, and that nobody is forgotten."""

from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalwindow.lanes.governor import Governor
from evalwindow.lanes.hold import Ticket, Used
from evalwindow.lanes.limits import LaneLimits
from evalwindow.model import Tier

SMOKE, REGRESSION = Tier.SMOKE, Tier.REGRESSION
LIMITS = LaneLimits(
    sequences=8,
    regression=6,
    beside_smoke=2,
    held_back=0.5,
    team_share={SMOKE: 1.0, REGRESSION: 0.5},
)
USED = Used(prompt=10, cached=0, output=10)


class Engine:
    """A governor with its clock, and who is inside."""

    def __init__(self, limits=LIMITS, *, ready=True):
        self.now, self.governor, self.inside, self._numbers = 0.0, Governor(limits, now=0.0), [], count()
        self.shares = 0.0
        if ready:
            self.governor.open(limits, now=0.0)

    def ask(self, tier, how_many=1, *, team="a", chars=20, most=10, alone=False):
        keys = [(0, next(self._numbers)) for _ in range(how_many)]
        for key in keys:
            self.governor.ask(key, Ticket(tier=tier, team=team, chars=chars, max_tokens=most, alone=alone))
        return keys

    def turns(self):
        started = self.governor.turns(self.now)
        self.inside += started
        return started

    def leave(self, key, used=USED):
        share = self.governor.leave(key, now=self.now, used=used)
        if key in self.inside:
            self.inside.remove(key)
            self.shares += share
        return share


def test_regression_leaves_smokes_slots_free():
    engine = Engine()
    engine.ask(REGRESSION, 20)
    assert len(engine.turns()) == 6
    engine.ask(SMOKE, 2)
    assert len(engine.turns()) == 2


def test_smoke_may_have_the_whole_engine_when_nobody_else_wants_it():
    engine = Engine()
    engine.ask(SMOKE, 20)
    assert len(engine.turns()) == 8


def test_while_smoke_is_there_regression_starts_nothing_above_the_measured_number():
    engine = Engine()
    engine.ask(REGRESSION, 20)
    running = engine.turns()
    [smoke] = engine.ask(SMOKE)
    assert engine.turns() == [smoke]
    for key in running[:4]:
        engine.leave(key)
        assert engine.turns() == []  # 5, 4, 3, 2 are inside
    engine.leave(running[4])
    assert len(engine.turns()) == 1


def test_it_opens_again_the_moment_smoke_is_gone():
    engine = Engine()
    engine.ask(REGRESSION, 20)
    running = engine.turns()
    [smoke] = engine.ask(SMOKE)
    engine.turns()
    for key in running:
        engine.leave(key)
    engine.turns()
    engine.leave(smoke)
    assert len(engine.turns()) == 4  # up to 6


def test_smoke_without_end_does_not_starve_regression():
    engine = Engine(replace(LIMITS, beside_smoke=0))
    engine.ask(REGRESSION, 500)
    engine.ask(SMOKE, 500)
    done = 0
    for _ in range(1000):
        engine.now += 0.1
        started = engine.turns()
        done += sum(key[1] < 500 for key in started)
        for key in list(engine.inside):
            engine.leave(key)
        engine.ask(SMOKE, 8)
    assert done > 100


def test_when_the_allowance_ends_regression_starts_without_any_other_event():
    engine = Engine(replace(LIMITS, beside_smoke=0))
    engine.ask(SMOKE)
    engine.turns()
    engine.ask(REGRESSION, 3)
    assert engine.turns() == []
    engine.now += engine.governor.look_again_s()
    assert len(engine.turns()) == 3
    assert engine.governor.look_again_s() is None


def test_without_smoke_for_a_while_its_slots_are_lent():
    engine = Engine(replace(LIMITS, lend_after_s=60.0))
    engine.ask(REGRESSION, 20)
    assert len(engine.turns()) == 8  # none has come yet
    [smoke] = engine.ask(SMOKE)
    assert engine.turns() == []
    engine.leave(engine.inside[0])
    assert engine.turns() == [smoke]
    engine.leave(smoke)
    for key in list(engine.inside):
        engine.leave(key)
    assert len(engine.turns()) == 6  # another one may come soon


def test_they_are_lent_without_any_other_event():
    engine = Engine(replace(LIMITS, lend_after_s=60.0))
    [smoke] = engine.ask(SMOKE)
    engine.turns()
    engine.leave(smoke)
    engine.ask(REGRESSION, 20)
    assert len(engine.turns()) == 6
    engine.now += engine.governor.look_again_s()
    assert engine.now == 60.0
    assert len(engine.turns()) == 2
    assert engine.governor.look_again_s() is None


def test_smoke_that_is_here_for_long_lends_nothing():
    engine = Engine(replace(LIMITS, lend_after_s=60.0, held_back=0))
    engine.ask(SMOKE)
    engine.turns()
    engine.now = 100.0
    engine.ask(REGRESSION, 20)
    assert len(engine.turns()) == 6


def test_one_team_s_flood_of_smoke_leaves_the_steps_of_another_s_as_they_are():
    engine = Engine(replace(LIMITS, smoke_of_team=3))
    engine.ask(SMOKE, 20, team="flood")
    assert len(engine.turns()) == 3
    mine = engine.ask(SMOKE, 3, team="quiet")
    assert engine.turns() == mine
    engine.leave(engine.inside[0])
    assert len(engine.turns()) == 1
    for key in list(engine.inside):
        engine.leave(key)
    assert len(engine.turns()) == 3


def test_nobody_starts_while_it_is_shut():
    engine = Engine(ready=False)
    engine.ask(SMOKE, 3)
    assert engine.turns() == []
    engine.governor.open(LIMITS, now=1.0)
    [first, *_] = engine.turns()
    engine.governor.shut(now=2.0)
    engine.ask(SMOKE)
    assert engine.turns() == []
    assert engine.leave(first) >= 0  # who is in may end


def test_a_teams_long_prompts_do_not_stall_anothers_short_ones():
    engine = Engine(replace(LIMITS, kv_tokens=10_000))
    engine.ask(REGRESSION, 50, team="long", chars=4_000, most=500)  # 2,500 tokens each, 5,000 may be the team's
    assert len(engine.turns()) == 2
    short = engine.ask(REGRESSION, 30, team="short")
    assert engine.turns() == short[:4]
    for _ in range(26):
        engine.leave(next(key for key in engine.inside if key in short))
        [started] = engine.turns()
        assert started in short


def test_a_prompt_that_has_no_room_is_passed_only_by_as_many_tokens_as_it_has():
    engine = Engine(replace(LIMITS, kv_tokens=1_000, team_share={SMOKE: 1.0, REGRESSION: 1.0}))
    engine.ask(REGRESSION, 1, team="small", chars=800, most=100)
    engine.turns()
    [big] = engine.ask(REGRESSION, 1, team="big", chars=1_400, most=100)  # 800: fits when little else is there
    small = engine.ask(REGRESSION, 100, team="small", chars=200, most=100)
    passed = 0
    for _ in range(60):
        started = engine.turns()
        if big in started:
            break
        passed += len(started)
        engine.leave(engine.inside[0], replace(USED, prompt=100, output=100))
    assert big in engine.inside
    assert passed <= 10
    assert small[-1] not in engine.inside


def test_a_prompt_larger_than_all_budgets_still_gets_in_when_it_is_alone():
    engine = Engine(replace(LIMITS, kv_tokens=100))
    [key] = engine.ask(REGRESSION, chars=10_000)
    assert engine.turns() == [key]


def test_who_stops_waiting_costs_nothing_and_who_failed_costs_nobody():
    engine = Engine()
    first, *_, last = engine.ask(REGRESSION, 8)
    engine.turns()
    assert engine.leave(last) is None
    engine.now = 3.0
    lost = engine.leave(first, None)
    report = engine.governor.report(3.0)
    assert report["lost_s"] == lost > 0
    assert report["lanes"]["regression"]["prompts"] == 0


def test_figures_add_up_to_the_engines_busy_time():
    engine = Engine()
    engine.ask(SMOKE, 3)
    engine.ask(REGRESSION, 5)
    engine.turns()
    for key in list(engine.inside):
        engine.now += 0.5
        engine.leave(key)
    report = engine.governor.report(engine.now)
    lanes = report["lanes"]
    assert report["busy_s"] == pytest.approx(engine.now)
    assert lanes["smoke"]["gpu_s"] + lanes["regression"]["gpu_s"] == pytest.approx(report["busy_s"])
    assert lanes["smoke"]["output_tokens"] == 30


def test_it_knows_since_when_nobody_was_there():
    engine = Engine()
    [key] = engine.ask(SMOKE)
    assert engine.governor.idle_s(50.0) == 0
    engine.turns()
    engine.now = 60.0
    engine.leave(key)
    assert engine.governor.idle_s(75.0) == 15.0


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["smoke", "regression", "alone", "regression", "leave", "leave", "fail", "give up", "wait", "shut", "open"]
        ),
        st.integers(0, 5),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from([1, 40, 400]),
    ),
    max_size=80,
)


class Story:
    """Events on an engine, and what must hold after each."""

    def __init__(self, kv_tokens):
        self.engine, self.waiting, self.alone = Engine(replace(LIMITS, kv_tokens=kv_tokens)), [], []

    def play(self, kind, number, team, chars):
        self.engine.now += 0.25
        if kind in ("smoke", "regression"):
            self.waiting += self.engine.ask(Tier(kind), number, team=team, chars=chars)
        elif kind == "alone":
            self.alone += self.engine.ask(Tier.SMOKE if number % 2 else Tier.REGRESSION, team=team, alone=True)
            self.waiting.append(self.alone[-1])
        elif kind in ("leave", "fail"):
            self.end(number, USED if kind == "leave" else None)
        elif kind == "give up" and self.waiting:
            self.engine.leave(self.waiting.pop(number % len(self.waiting)))
        elif kind == "wait":
            self.engine.now += number
        else:
            self.turn(kind)

    def end(self, number, used):
        if self.engine.inside:
            self.engine.leave(self.engine.inside[number % len(self.engine.inside)], used)

    def turn(self, kind):
        governor = self.engine.governor
        if kind == "shut":
            governor.shut(now=self.engine.now)
        elif kind == "open":
            governor.open(governor._limits, now=self.engine.now)

    def check(self):
        started = self.engine.turns()
        self.waiting = [key for key in self.waiting if key not in started]
        assert len(self.engine.inside) <= LIMITS.sequences
        assert self.engine.governor._count[REGRESSION] <= LIMITS.regression
        assert self.engine.governor.waiting == len(self.waiting)
        assert len(self.engine.inside) == 1 or not set(self.alone) & set(self.engine.inside)

    def play_out(self):
        self.turn("open")
        for _ in range(2 * len(self.waiting) + len(self.engine.inside) + 2):
            self.engine.now += 0.25
            self.check()
            for key in list(self.engine.inside):
                self.engine.leave(key)


@settings(max_examples=200)
@given(STEPS, st.sampled_from([None, 300]))
def test_whatever_happens_the_limits_hold_and_everybody_gets_a_turn(steps, kv_tokens):
    story = Story(kv_tokens)
    for step in steps:
        story.play(*step)
        story.check()
    story.play_out()
    assert story.waiting == []
    assert story.engine.shares == pytest.approx(story.engine.governor.report(story.engine.now)["busy_s"], abs=1e-6)
