"""Runs that ask the same: the second waits for the first, whatever becomes of it."""

import datetime as dt

import pytest

from evalwindow.config import REPLAY_POOL
from evalwindow.model import Candidate, RunState, Source, Tier
from evalwindow.store.wakes import Topic
from tests.fixtures.results import mark_done
from tests.real.store.nightly import begun, ended, now
from tests.real.store.test_wakes import told_by
from tests.real.store.world import SUMMARY, VERDICT, at_once

SAME = Candidate(model="base", sampling={"temperature": 0.5})


def asks(world, key, **fields):
    return world.admit(key, **{"candidate": SAME, **fields})


def joined_to(world, run_id):
    return world.store.run(run_id).joined_to


def sent(world, tier=Tier.REGRESSION):
    return world.store.top_up("warm", tier, 100)


def agenda(world):
    return world.store.agenda(dispatched_older_than_s=30.0).shards


def test_a_run_that_asks_the_same_waits_for_the_first_also_the_third(world):
    first, second, third = [asks(world, key) for key in "abc"]
    assert [joined_to(world, each) for each in (first, second, third)] == [None, first, first]
    assert sent(world) == world.shard_ids(first)
    assert sent(world) == []
    assert agenda(world) is None


@pytest.mark.parametrize(
    "other",
    [
        {"team": "blue"},
        {"candidate": Candidate(model="base", sampling={"temperature": 0.6})},
        {"candidate": Candidate(model="base", sampling={"temperature": 0.5}, adapter="a" * 64)},
        {"model": "another"},
        {"pool": "cold"},
        {"use_cache": False},
        {"pool": REPLAY_POOL},
    ],
)
def test_whatever_could_be_answered_otherwise_is_asked_by_itself(world, other):
    asks(world, "a")
    assert joined_to(world, asks(world, "b", **other)) is None


def test_what_writes_no_cache_or_has_ended_is_not_waited_for(world):
    asks(world, "fresh", use_cache=False)
    world.conclude(asks(world, "done"))
    world.store.cancel_run(asks(world, "gone"), "enough")
    assert joined_to(world, asks(world, "new")) is None


def test_of_many_at_once_one_is_first_and_all_others_wait_for_it(world):
    runs = at_once(lambda number: asks(world, f"k{number}"), 12)
    [first] = [each for each in runs if joined_to(world, each) is None]
    assert {joined_to(world, each) for each in runs if each != first} == {first}


async def test_when_the_first_has_its_verdict_the_others_are_sent_at_once(world):
    first, second = asks(world, "a"), asks(world, "b")
    for held in world.claim_all(first):
        mark_done(world.store, held)
    assert await told_by(world.store, lambda: world.store.conclude(first, SUMMARY, VERDICT)) == [Topic.SHARDS]
    assert agenda(world) <= 0
    assert sent(world) == world.shard_ids(second)
    assert joined_to(world, second) == first  # it says where its answers are from


async def test_the_end_of_a_run_that_nobody_waits_for_wakes_nobody(world):
    first = asks(world, "a")
    assert await told_by(world.store, lambda: world.conclude(first)) == []


@pytest.mark.parametrize("how", ["cancelled", "failed", "superseded"])
async def test_when_the_first_leaves_answers_out_the_next_asks_and_the_others_wait_for_that_one(world, how):
    source = Source(repo="acme/app", pull_request=7, head_sha="aaa")
    first = asks(world, "a", source=source)
    second, third = asks(world, "b"), asks(world, "c")
    end = {
        "cancelled": lambda: world.store.cancel_run(first, "enough"),
        "failed": lambda: world.store.fail_run(first, "a defect"),
        "superseded": lambda: world.of_commit("bbb", tier=Tier.SMOKE),
    }[how]
    assert Topic.SHARDS in await told_by(world.store, end)
    assert world.store.run(first).state.final
    assert [joined_to(world, each) for each in (second, third)] == [None, second]
    assert sent(world) == world.shard_ids(second)
    assert joined_to(world, asks(world, "d")) == second
    world.conclude(second)
    assert set(sent(world)) >= set(world.shard_ids(third))


def test_who_is_cancelled_with_the_first_waits_for_nobody(world):
    pull = lambda sha: Source(repo="acme/app", pull_request=7, head_sha=sha)  # noqa: E731
    first, second = asks(world, "a", source=pull("aaa")), asks(world, "b", source=pull("aaa"))
    new = asks(world, "c", source=pull("bbb"))
    assert {world.store.run(each).state for each in (first, second)} == {RunState.SUPERSEDED}
    assert joined_to(world, new) is None
    assert sent(world) == world.shard_ids(new)


async def test_a_first_run_whose_window_is_over_is_not_waited_for(world):
    story = begun(world, candidate=SAME)
    second, third = asks(world, "second"), asks(world, "third")
    assert joined_to(world, second) == joined_to(world, third) == story.run_id
    assert sent(world) == story.shard_ids
    assert 3000 < agenda(world) <= 3600
    assert Topic.SHARDS in await told_by(world.store, lambda: world.store.close_night(story.night.id, "enough"))
    assert agenda(world) <= 0
    assert sent(world) == world.shard_ids(second)
    assert [joined_to(world, each) for each in (second, third, asks(world, "fourth"))] == [None, second, second]


def test_a_window_that_ends_by_itself_ends_the_wait(world):
    story = begun(world, candidate=SAME)
    second = asks(world, "second")
    ended(world, story.night)
    assert sent(world) == world.shard_ids(second)


def test_a_run_whose_own_window_is_over_is_not_sent_when_the_first_ends(world):
    first = asks(world, "a")
    second = asks(world, "b", window_end=now() - dt.timedelta(seconds=1))
    world.conclude(first)
    assert joined_to(world, second) == first
    assert sent(world) == []
    assert agenda(world) is None


def test_smoke_that_is_joined_is_sent_when_the_first_has_ended(world):
    first, second = asks(world, "a", tier=Tier.SMOKE), asks(world, "b", tier=Tier.SMOKE)
    assert world.store.dispatch_run(first) == world.shard_ids(first)
    assert world.store.dispatch_run(second) == []
    assert sent(world, Tier.SMOKE) == []
    world.conclude(first)
    assert sent(world, Tier.SMOKE) == world.shard_ids(second)


def test_smoke_whose_first_ended_before_it_was_sent_goes_past_the_dispatcher(world):
    first, second = asks(world, "a", tier=Tier.SMOKE), asks(world, "b", tier=Tier.SMOKE)
    world.conclude(first)
    assert world.store.dispatch_run(second) == world.shard_ids(second)


def test_a_commit_that_comes_late_joins_nothing(world):
    world.of_commit("bbb", ordinal=2)
    asks(world, "a")
    late = asks(world, "late", source=Source(repo="acme/app", pull_request=7, head_sha="aaa"), ordinal=1)
    assert (world.store.run(late).state, joined_to(world, late)) == (RunState.SUPERSEDED, None)


def test_ends_and_submissions_at_the_same_moment_leave_no_run_behind(world):
    """Whatever comes first: in the end every open run is sent, or waits for one that is."""
    for round_number in range(6):
        first = asks(world, f"first {round_number}")

        def step(number, first=first, round_number=round_number):
            if number == 0:
                world.store.cancel_run(first, "enough")
                return None
            return asks(world, f"{round_number} {number}")

        others = [each for each in at_once(step, 5) if each is not None]
        for _ in range(len(others)):
            for run_id in {shard_run(world, each) for each in sent(world)}:
                world.conclude(run_id)
        assert {world.store.run(each).state for each in others} == {RunState.CONCLUDED}


def shard_run(world, shard_id):
    return next(
        run.id for run in world.store.runs() if any(shard.id == shard_id for shard in world.store.shards(run.id))
    )
