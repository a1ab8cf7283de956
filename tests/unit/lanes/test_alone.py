"""A prompt that may end engines is asked alone: nobody with it, nobody starved by it."""

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.unit.lanes.test_governor import LIMITS, REGRESSION, SMOKE, Engine


def leave_all(engine):
    for key in list(engine.inside):
        engine.leave(key)


def test_it_waits_until_the_engine_is_empty_and_nobody_starts_meanwhile():
    engine = Engine()
    running = engine.ask(REGRESSION, 3)
    engine.turns()
    [alone] = engine.ask(REGRESSION, alone=True)
    smoke = engine.ask(SMOKE, 2)
    for key in running:
        assert engine.turns() == []
        engine.leave(key)
    assert engine.turns() == [alone]
    assert engine.turns() == []
    engine.leave(alone)
    assert engine.turns() == smoke


def test_between_two_of_them_as_many_others_start_as_wait_or_have_a_place():
    engine = Engine(replace(LIMITS, beside_smoke=8))
    suspects = engine.ask(REGRESSION, 3, alone=True)
    engine.ask(REGRESSION, 30)
    order = []
    for _ in range(12):
        order.append(engine.turns())
        leave_all(engine)
    at = [order.index([key]) for key in suspects]
    between = [sum(map(len, order[low + 1 : high])) for low, high in pairwise(at)]
    assert at[0] == 0
    assert between == [12, 12]  # 8 are owed: two lanes full of 6


def test_smoke_without_end_does_not_starve_it_and_it_does_not_starve_smoke():
    engine = Engine(replace(LIMITS, held_back=1.0))
    suspects = engine.ask(REGRESSION, 20, alone=True)
    smokes = engine.ask(SMOKE, 4)
    order = []
    for _ in range(100):
        order += engine.turns()
        leave_all(engine)
        smokes += engine.ask(SMOKE, 4)
    assert set(suspects) <= set(order)
    positions = [order.index(key) for key in suspects]
    assert all(high - low >= 4 for low, high in pairwise(positions))


def test_in_a_new_engine_those_that_wait_go_before_what_may_end_it():
    engine = Engine(ready=False)
    suspects = engine.ask(REGRESSION, 2, alone=True)
    others = engine.ask(REGRESSION, 3) + engine.ask(SMOKE, 1)
    engine.governor.open(replace(LIMITS, beside_smoke=8), now=1.0)
    assert set(engine.turns()) == set(others)
    leave_all(engine)
    assert engine.turns() == suspects[:1]


def test_without_others_they_go_one_after_another():
    engine = Engine()
    suspects = engine.ask(SMOKE, 2, alone=True) + engine.ask(REGRESSION, 1, alone=True)
    for key in suspects:
        assert engine.turns() == [key]
        engine.leave(key)


def test_one_that_gives_up_lets_the_others_in():
    engine = Engine()
    engine.ask(REGRESSION)
    engine.turns()
    [alone] = engine.ask(REGRESSION, alone=True)
    [other] = engine.ask(REGRESSION)
    assert engine.turns() == []
    engine.leave(alone)
    assert engine.turns() == [other]


def test_others_that_give_up_are_not_waited_for():
    engine = Engine()
    first, second = engine.ask(REGRESSION, 2, alone=True)
    others = engine.ask(REGRESSION, 5)
    assert engine.turns() == [first]
    engine.leave(first)
    for key in others:
        engine.leave(key)
    assert engine.turns() == [second]


def test_it_pays_like_everybody_and_is_counted_while_it_waits():
    engine = Engine()
    [alone] = engine.ask(SMOKE, alone=True)
    assert engine.governor.report(0.0)["lanes"]["smoke"]["waiting"] == 1
    engine.turns()
    engine.now = 2.0
    assert engine.leave(alone) == pytest.approx(2.0)


def test_time_in_which_an_engine_hung_is_nobodys():
    engine = Engine()
    first, second = engine.ask(REGRESSION, 2)
    engine.turns()
    engine.now = 1.0
    engine.leave(first)
    engine.now = 10.0
    engine.governor.forgive(8.0, now=engine.now)
    engine.governor.shut(now=engine.now)
    engine.leave(second, None)
    report = engine.governor.report(engine.now)
    assert report["busy_s"] == pytest.approx(2.0)
    assert report["lanes"]["regression"]["gpu_s"] + report["lost_s"] == pytest.approx(2.0)
