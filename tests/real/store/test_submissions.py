"""A team's submissions in one row: counted by many at once, and what waits while there are too many."""

import datetime as dt
import random

import pytest
from sqlalchemy import text

from evalwindow.breakers import Standing, What, counted, of_submissions
from evalwindow.config import Breaker
from evalwindow.model import Tier
from tests.real.store.nightly import night_of
from tests.real.store.world import at_once

RULE = Breaker(failures=1, cooldown_s=600, longest_s=1000)
RED = of_submissions("red")
MOST = 2


def _submit(world, *, most=MOST, key=None, rule=RULE):
    return world.store.count_submission("red", key=key, most=most, reason="too many", rule=rule)


def _let_in(world, **more):
    return _submit(world, **more).wait_s is None


def _open(world):
    while _let_in(world):
        pass


def _later(world, seconds):
    """The breaker as it is so many seconds later."""
    moments = ("since", "opened_at", "retry_at", "at")
    earlier = ", ".join(f"{name} = {name} - CAST(:later AS interval)" for name in moments)
    with world.store._transaction() as connection:
        connection.execute(text(f"UPDATE breaker SET {earlier}"), {"later": dt.timedelta(seconds=seconds)})  # noqa: S608


def _standing(world):
    return world.store.breaker(RED).standing


def _waits(world, run_id):
    """Until when each of its shards waits."""
    statement = text("SELECT DISTINCT not_before FROM shard WHERE run_id = :id")
    with world.store._transaction() as connection:
        return set(connection.scalars(statement, {"id": run_id}))


def _refused(world):
    with world.store._transaction() as connection:
        return connection.scalar(text("SELECT coalesce(sum(refused), 0)::int FROM usage WHERE team = 'red'"))


def test_many_that_submit_at_once_are_counted_each_and_the_rest_refused(world):
    entries = at_once(lambda _: [_submit(world, most=50) for _ in range(10)], 10)
    let_in = [entry for batch in entries for entry in batch if entry.wait_s is None]
    assert len(let_in) == 50
    assert _refused(world) == 50
    assert [event.what for event in world.store.breaker_events(10)] == [What.OPENED]
    assert world.count("breaker") == 1


def test_a_minute_later_a_team_starts_anew(world):
    assert [_let_in(world) for _ in range(2)] == [True, True]
    _later(world, 61)
    assert [_let_in(world) for _ in range(3)] == [True, True, False]


def test_what_was_admitted_before_is_let_through_and_not_counted_as_refused(world):
    world.admit("known")
    _open(world)
    refused = _refused(world)
    assert _let_in(world, key="known")
    assert not _let_in(world, key="new")
    assert _refused(world) == refused + 1


def test_who_goes_on_too_fast_is_not_let_in_to_find_out(world):
    short = Breaker(failures=1, cooldown_s=60)
    while _let_in(world, rule=short):
        pass
    for _ in range(3):  # minutes of as many as before
        assert not any(_let_in(world, rule=short) for _ in range(MOST + 1))
        _later(world, 61)
    _later(world, 60)
    assert _let_in(world, rule=short)
    assert _standing(world).trips == 1


def test_what_is_refused_without_being_asked_counts_as_well(world):
    _open(world)
    before = _standing(world)
    for _ in range(MOST + 1):
        world.store.count_flood("red", most=MOST)
    assert _refused(world) == 1 + MOST + 1
    assert _standing(world).failures == before.failures + MOST + 1


def test_regression_that_was_submitted_waits_and_all_else_goes_on(world):
    night = night_of(world)
    mine = world.admit("mine")
    others = [
        world.admit("smoke", tier=Tier.SMOKE),
        world.admit("night", night_id=night.id),
        world.admit("blue", team="blue"),
    ]
    _open(world)
    assert _waits(world, mine) == {_standing(world).retry_at}
    assert [_waits(world, run_id) for run_id in others] == [{None}] * 3
    sent = world.store.top_up("warm", Tier.REGRESSION, 100)
    assert sorted(sent) == sorted(shard_id for run_id in others[1:] for shard_id in world.shard_ids(run_id))


def test_a_run_that_was_let_in_just_before_waits_too_but_for_smoke_and_a_nights(world):
    _open(world)
    assert _waits(world, world.admit("mine")) == {_standing(world).retry_at}
    assert _waits(world, world.admit("smoke", tier=Tier.SMOKE)) == {None}
    assert _waits(world, world.admit("night", night_id=night_of(world).id)) == {None}
    assert _waits(world, world.admit("blue", team="blue")) == {None}


def test_a_longer_pause_is_one_for_what_waits_and_a_reset_ends_it(world):
    mine = world.admit("mine")
    short = Breaker(failures=1, cooldown_s=1)
    while _let_in(world, rule=short):
        pass
    first = _standing(world).retry_at
    while _standing(world).retry_at == first:
        assert not _let_in(world, rule=short)
    assert _waits(world, mine) == {_standing(world).retry_at}
    world.store.reset_breaker(RED, by="lea", reason="it was a test")
    assert _waits(world, mine) == {None}


def test_an_engine_that_is_back_wakes_nothing_that_waits_for_its_team(world):
    mine = world.admit("mine")
    _open(world)
    away = Breaker(failures=1, cooldown_s=10)
    world.store.breaker_failed("pool:warm", reason="away", rule=away)
    world.store.reset_breaker("pool:warm", by="lea", reason="it is back")
    assert _waits(world, mine) == {_standing(world).retry_at}


@pytest.mark.parametrize("seed", range(5))
def test_the_row_counts_as_the_rule_says(world, seed):
    """The statement's quick way beside the pure function: what is let in, and what is open for how long."""
    dice, rule = random.Random(seed), Breaker(failures=1, cooldown_s=20, longest_s=90)
    pure, now = Standing(), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for number in range(60):
        step, leave = counted(pure, now=now, most=MOST, reason="too many", rule=rule)
        pure = step.standing
        entry = _submit(world, rule=rule)
        assert (entry.wait_s is None) == (leave.wait_until is None), number
        if entry.wait_s is not None:
            assert entry.wait_s == pytest.approx((leave.wait_until - now).total_seconds(), abs=2), number
        row = _standing(world)
        assert (row.phase, row.failures, row.trips) == (pure.phase, pure.failures, pure.trips), number
        pause = dice.choice([0, 3, 7, 13, 37, 67])  # no sum of which is close to a limit
        now += dt.timedelta(seconds=pause + 0.5)
        _later(world, pause + 0.5)
