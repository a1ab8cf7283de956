"""The end of a window at each step of a shard's life, and against everything that may happen at the same moment."""

import itertools
import math
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from evalwindow.errors import NotFound
from evalwindow.model import RunState, ShardState, Tier
from evalwindow.store.rows import Reaped
from evalwindow.store.tables import shard as shard_table
from tests.fixtures.results import mark_done
from tests.real.store.nightly import HOUR, Begun, begun, ended, night_of, now
from tests.real.store.test_interleavings import EVERYTHING, SHARDS, Story, step_of_story
from tests.real.store.world import LEASE_S, OVER, SUMMARY, VERDICT, at_once

_keys = itertools.count()


def states(story: Begun) -> list[ShardState]:
    return [shard.state for shard in story.world.store.shards(story.run_id)]


def top_up(world, room=10):
    return world.store.top_up("warm", Tier.REGRESSION, room)


def lease_ends(world, shard_id, moment):
    with world.store._transaction() as connection:
        connection.execute(update(shard_table).where(shard_table.c.id == shard_id).values(lease_until=moment))


def dispatches(world, shard_id):
    with world.store._transaction() as connection:
        return connection.scalar(select(shard_table.c.dispatches).where(shard_table.c.id == shard_id))


def test_a_claim_says_when_the_window_closes_by_the_holders_own_clock(world):
    story = begun(world)
    claimed = world.claim(story.shard_ids[0])
    after = time.monotonic()
    assert after < claimed.closes_at <= after + HOUR.total_seconds()


def test_a_run_without_a_window_never_closes(world):
    assert world.claim(world.shard_ids(world.admit())[0]).closes_at == math.inf


@pytest.mark.parametrize("end", ["by hand", "in time"])
def test_after_the_windows_end_a_message_gives_no_claim_and_its_shard_waits_for_the_next_night(world, end):
    story = begun(world)
    [first, second] = top_up(world)
    if end == "by hand":
        world.store.close_night(story.night.id, "enough")
    else:
        ended(world, story.night)
    assert world.store.claim(first, "worker", LEASE_S) is None
    assert states(story) == [ShardState.PENDING, ShardState.DISPATCHED]  # without any reaper
    assert dispatches(world, first) == 0
    assert world.store.claim(second, "worker", LEASE_S) is None
    assert top_up(world) == []
    assert story.run.state is RunState.QUEUED  # nobody has begun it
    assert {shard.attempts for shard in world.store.shards(story.run_id)} == {0}
    story.goes_on_in(night_of(world, "two"))
    assert sorted(top_up(world)) == sorted([first, second])
    assert world.claim(first).attempts == 1


def test_a_claim_refused_for_the_window_leaves_a_holder_alone(world):
    story = begun(world)
    held = world.claim(story.shard_ids[0])
    world.store.close_night(story.night.id, "enough")
    assert world.store.claim(held.id, "thief", LEASE_S) is None
    assert world.store.renew({held.id: held.token}, LEASE_S) == {held.id: "closing"}
    assert mark_done(world.store, held) is False
    assert states(story)[0] is ShardState.DONE


def test_a_holder_that_died_is_left_to_the_reaper(world):
    story = begun(world)
    dead = world.claim(story.shard_ids[0], lease_s=OVER)
    world.store.close_night(story.night.id, "enough")
    assert world.store.claim(dead.id, "worker", LEASE_S) is None
    assert states(story)[0] is ShardState.RUNNING


def test_renewing_says_closing_to_those_whose_window_is_over_and_to_nobody_else(world):
    first = begun(world)
    second = begun(world, night_of(world, "two"))
    closing, lost, cancelled = (world.claim(shard_id) for shard_id in (*first.shard_ids, second.shard_ids[0]))
    [free, _] = world.claim_all(world.admit("of no night"))
    world.store.release(lost.id, lost.token)
    world.store.close_night(first.night.id, "enough")
    world.store.cancel_run(second.run_id, "enough")
    held = [closing, lost, cancelled, free]
    answers = world.store.renew({each.id: each.token for each in held}, LEASE_S)
    assert [answers[each.id] for each in held] == ["closing", "lost", "cancelled", "held"]
    assert world.store.claim(closing.id, "thief", LEASE_S) is None  # prolonged all the same


def test_a_holder_whose_run_goes_on_in_another_night_may_go_on(world):
    story = begun(world)
    held = world.claim(story.shard_ids[0])
    world.store.close_night(story.night.id, "enough")
    story.goes_on_in(night_of(world, "two"))
    assert world.store.renew({held.id: held.token}, LEASE_S) == {held.id: "held"}


def test_a_shard_handed_back_at_the_end_counts_no_attempt_and_is_sent_in_the_next_night(world):
    story = begun(world)
    held = world.claim(story.shard_ids[0])
    world.store.close_night(story.night.id, "enough")
    world.store.release(held.id, held.token)
    assert top_up(world) == []
    assert world.store.in_hand(story.run_id) == 0
    story.goes_on_in(night_of(world, "two"))
    assert held.id in top_up(world)
    again = world.claim(held.id)
    assert (again.attempts, again.token) == (1, 2)


def test_a_lease_that_outlives_its_window_is_no_failed_attempt(world):
    story = begun(world)
    held = world.claim(story.shard_ids[0], lease_s=0.2)
    ended(world, story.night)  # and the holder with it
    lease_ends(world, held.id, now())
    assert world.store.reap(LEASE_S, 1) == Reaped(retried=1)  # one attempt is all that it has
    [shard, _] = world.store.shards(story.run_id)
    assert (shard.state, shard.attempts) == (ShardState.PENDING, 0)
    assert shard.error == "not handed back at the end of the window by worker"


def test_a_lease_that_ran_out_within_the_window_is_one(world):
    story = begun(world)
    held = world.claim(story.shard_ids[0], lease_s=OVER)
    world.store.close_night(story.night.id, "enough")
    lease_ends(world, held.id, now() - 2 * HOUR)
    assert world.store.reap(LEASE_S, 1) == Reaped(failed=1)
    assert world.store.shards(story.run_id)[0].error == "claimed 1 times and never finished; last by worker"


def test_messages_of_a_closed_window_are_taken_back_at_once_and_not_counted_as_lost(world):
    story = begun(world)
    others = world.shard_ids(world.admit("of no night"))
    top_up(world)
    world.store.close_night(story.night.id, "enough")
    assert world.store.in_hand(story.run_id) == 2
    assert world.store.reap(LEASE_S, 5) == Reaped()
    assert states(story) == [ShardState.PENDING] * 2
    assert world.store.in_hand(story.run_id) == 0
    assert [world.claim(shard_id).attempts for shard_id in others] == [1, 1]  # still on their way


def test_a_run_may_not_outlive_its_night(world):
    night = night_of(world)
    late, early = night.ends_at + HOUR, night.ends_at - HOUR / 2
    ends = [
        world.store.run(world.admit(str(end), night_id=night.id, window_end=end)).window_end
        for end in (None, late, early)
    ]
    assert ends == [night.ends_at, night.ends_at, early]


def test_a_run_admitted_to_a_closed_night_starts_nothing(world):
    night = night_of(world)
    world.store.close_night(night.id, "budget")
    run_id = world.admit(night_id=night.id, window_end=night.ends_at)
    assert world.store.run(run_id).window_end == world.store.night(night.id).closed_at
    assert top_up(world) == []


def test_a_run_of_an_unknown_night_is_not_admitted(world):
    with pytest.raises(NotFound, match="night 'none'"):
        world.admit(night_id="none")
    assert world.count("run") == 0


def test_whoever_closes_a_night_while_runs_are_admitted_closes_them_all(world):
    for attempt in range(3):
        night = night_of(world, f"night {attempt}")

        def either(number, *, night=night):
            if number == 5:
                return world.store.close_night(night.id, "enough")
            return world.admit(f"{night.key} {number}", night_id=night.id, window_end=night.ends_at)

        at_once(either, 10)
        mine = [run for run in world.store.runs() if run.night_id == night.id]
        assert len(mine) == 9
        assert all(run.window_end <= now() for run in mine)
        assert top_up(world, 100) == []


def test_whoever_claims_while_a_night_closes_is_told_to_finish_or_gets_nothing(world):
    story = begun(world, shards=[[f"s{number}"] for number in range(19)])
    top_up(world, 19)
    ids = story.shard_ids

    def either(number):
        if number == 19:
            return world.store.close_night(story.night.id, "enough")
        return world.store.claim(ids[number], "worker", LEASE_S)

    claims = [claim for claim in at_once(either, 20)[:19] if claim is not None]
    answers = world.store.renew({claim.id: claim.token for claim in claims}, LEASE_S)
    assert set(answers.values()) <= {"closing"}
    assert all(world.store.claim(shard_id, "late", LEASE_S) is None for shard_id in ids)
    assert states(story).count(ShardState.RUNNING) == len(claims)
    assert states(story).count(ShardState.PENDING) == 19 - len(claims)


def test_closing_the_old_night_does_not_touch_a_run_that_goes_on_in_a_new_one(world):
    for attempt in range(5):
        story = begun(world, night_of(world, f"old {attempt}"))
        new = night_of(world, f"new {attempt}", lasts=2 * HOUR)

        def either(number, *, story=story, new=new):
            if number:
                return world.store.close_night(story.night.id, "enough")
            return world.store.carry(story.run_id, new.id, "task 2")

        assert at_once(either, 2) == [True, True]
        assert (story.run.night_id, story.run.window_end) == (new.id, new.ends_at)


def test_of_many_that_close_a_night_one_does_it(world):
    night = night_of(world)
    assert sum(at_once(lambda number: world.store.close_night(night.id, f"reason {number}"))) == 1


def test_of_a_cancel_and_a_carry_at_once_one_wins(world):
    for attempt in range(10):
        story = begun(world, night_of(world, f"old {attempt}"))
        new = night_of(world, f"new {attempt}")

        def either(number, *, story=story, new=new):
            if number:
                return world.store.cancel_owned(story.run_id, "task 1", "marked as failed")
            return world.store.carry(story.run_id, new.id, "task 2")

        carried, cancelled = at_once(either, 2)
        assert carried is not cancelled
        assert story.run.state is (RunState.CANCELLED if cancelled else RunState.QUEUED)


class NightStory(Story):
    """A run through as many nights as it takes; workers fight over it, die and come late."""

    def __init__(self, world):
        self.world, self.store = world, world.store
        self.night = night_of(world, f"night {next(_keys)}")
        self.run_id = world.admit(f"run of {self.night.key}", shards=SHARDS, night_id=self.night.id)
        self.shard_ids = world.shard_ids(self.run_id)
        self.held, self.last = {}, 0

    def play(self, step, worker, number):
        before = dict(self.held)
        if step == "close":
            self.store.close_night(self.night.id, "enough")
        elif step == "carry":
            self.night = night_of(self.world, f"night {next(_keys)}")
            self.store.carry(self.run_id, self.night.id, "somebody")
        else:
            super().play(step, worker, number)
        self.check(before)

    def check(self, before):
        """While the window is closed nothing is given to anybody."""
        if self.store.night(self.night.id).closed_at is None:
            return
        assert all(held is before.get(worker) for worker, held in self.held.items() if held is not None)
        assert top_up(self.world) == []
        held = {held.id: held.token for held in self.held.values() if held is not None}
        assert "held" not in self.store.renew(held, LEASE_S).values()

    def end(self):
        self.play("carry", 0, None)
        super().end()


step_of_night = st.tuples(st.sampled_from(["close", "carry"]), st.just(0), st.none())


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=st.lists(st.one_of(step_of_story, step_of_night), max_size=40))
def test_any_story_over_many_nights_ends_with_one_result_for_each_sample_and_epoch(world, script):
    story = NightStory(world)
    for step in script:
        story.play(*step)
    story.end()
    assert [(each.sample_id, each.epoch) for each in world.store.results(story.run_id)] == EVERYTHING
    assert story.last == 1
    assert world.store.conclude(story.run_id, SUMMARY, VERDICT) is True


def test_workers_that_a_window_takes_away_again_and_again_fail_no_shard(world):
    """One attempt is all that a shard has here, and each night ends before anything is done."""
    story = begun(world)
    for number in range(5):
        held = world.claim(story.shard_ids[0], lease_s=0.2)
        ended(world, story.night)
        lease_ends(world, held.id, now())
        world.store.reap(LEASE_S, 1)
        story = story.goes_on_in(night_of(world, f"night {number}"))
    assert states(story) == [ShardState.PENDING] * 2
