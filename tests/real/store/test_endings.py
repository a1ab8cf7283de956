import pytest

from evalwindow.model import Answer, RunState, ShardState
from tests.fixtures.results import mark_done
from tests.real.store.world import SUMMARY, VERDICT, at_once


def _finished(world, key="k"):
    run_id = world.admit(key)
    for held in world.claim_all(run_id):
        mark_done(world.store, held)
    return run_id


def test_a_run_is_concluded_once_and_keeps_its_verdict(world):
    run_id = _finished(world)
    wins = at_once(lambda _: world.store.conclude(run_id, SUMMARY, VERDICT, ["check", "comment"]))
    run = world.store.run(run_id)
    assert sum(wins) == 1
    assert (run.state, run.answer) == (RunState.CONCLUDED, Answer.FAIL)
    assert (run.summary, run.verdict) == (SUMMARY, VERDICT)
    assert run.concluded_at >= run.started_at
    assert [delivery.channel for delivery in world.store.deliveries(run_id)] == ["check", "comment"]


def test_a_final_run_keeps_its_end(world):
    ends = {
        RunState.FAILED: lambda run_id: world.store.fail_run(run_id, "broken"),
        RunState.CANCELLED: lambda run_id: world.store.cancel_run(run_id, "enough"),
        RunState.CONCLUDED: lambda run_id: world.store.conclude(run_id, SUMMARY, VERDICT),
    }
    for state, end in ends.items():
        run_id = world.admit(f"ends {state}")
        assert end(run_id) is True
        assert [other(run_id) for other in ends.values()] == [False, False, False]
        assert world.store.run(run_id).state is state


@pytest.mark.parametrize("end", ["fail_run", "cancel_run"])
def test_an_ended_run_keeps_the_reason_and_cancels_what_is_left(world, end):
    run_id = world.admit(shards=[["s0"], ["s1"], ["s2"]])
    done, _ = (world.claim(shard_id) for shard_id in world.shard_ids(run_id)[:2])
    mark_done(world.store, done)
    assert getattr(world.store, end)(run_id, "why")
    assert world.store.run(run_id).error == "why"
    states = [shard.state for shard in world.store.shards(run_id)]
    assert states == [ShardState.DONE, ShardState.CANCELLED, ShardState.CANCELLED]


def test_a_failed_run_is_told_to_its_channels(world):
    run_id = world.admit()
    world.store.fail_run(run_id, "why", ["check"])
    assert [delivery.channel for delivery in world.store.deliveries(run_id)] == ["check"]


def test_a_cancelled_run_is_told_only_where_it_was_told_before(world):
    quiet = world.admit("quiet")
    told, _ = world.store.admit(world.new_run("told"), [["s0"]], ["check"])
    world.store.sent(told, world.store.claim_delivery(30.0).channel, "1")
    for run_id in (quiet, told):
        world.store.cancel_run(run_id, "enough")
    assert world.store.deliveries(quiet) == []
    assert [delivery.state for delivery in world.store.deliveries(told)] == ["waiting"]


def test_ending_an_unknown_run_ends_nothing(world):
    assert world.store.cancel_run("nope", "why") is False


def test_a_run_that_nobody_concluded_is_found(world):
    stuck = _finished(world, "stuck")
    world.conclude(world.admit("concluded"))
    world.claim(world.shard_ids(world.admit("at work"))[0])
    world.admit("waiting")
    failed = world.admit("failed", shards=[["s0"]])
    world.store.fail_shard(world.shard_ids(failed)[0], None, "poison")
    assert world.store.stuck_runs(idle_s=0.0) == [stuck, failed]


def test_a_run_that_has_just_finished_is_left_to_its_finisher(world):
    _finished(world)
    assert world.store.stuck_runs(idle_s=60.0) == []


def test_even_a_run_that_was_never_claimed_can_be_concluded(world):
    run_id = world.admit(shards=[["s0"]])
    world.store.fail_shard(world.shard_ids(run_id)[0], None, "poison")
    assert world.store.conclude(run_id, SUMMARY, VERDICT)
