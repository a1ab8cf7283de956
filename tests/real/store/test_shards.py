import datetime as dt

import pytest

from evalwindow.model import EngineInfo, RunState, ShardState
from tests.fixtures.results import mark_done
from tests.real.store.world import LEASE_S, OVER, at_once


def test_a_claim_is_won_once(world):
    [shard_id, _] = world.shard_ids(world.admit())
    claims = at_once(lambda number: world.store.claim(shard_id, f"worker {number}", LEASE_S))
    [won] = [claim for claim in claims if claim is not None]
    assert (won.id, won.token, won.attempts, won.sample_ids) == (shard_id, 1, 1, ("s0",))


def test_the_first_claim_starts_the_run(world):
    run_id = world.admit()
    first, second = world.shard_ids(run_id)
    assert world.store.run(run_id).started_at is None
    world.claim(first)
    started = world.store.run(run_id).started_at
    world.claim(second)
    run = world.store.run(run_id)
    assert (run.state, run.started_at) == (RunState.RUNNING, started)
    assert world.store.shards(run_id)[0].worker == "worker"


@pytest.mark.parametrize("end", ["cancel_run", "fail_run"])
def test_a_shard_of_a_final_run_can_not_be_claimed(world, end):
    run_id = world.admit()
    getattr(world.store, end)(run_id, "enough")
    assert world.store.claim(world.shard_ids(run_id)[0], "worker", LEASE_S) is None


def test_an_unknown_shard_can_not_be_claimed(world):
    assert world.store.claim("nope", "worker", LEASE_S) is None


def test_a_shard_whose_lease_ran_out_is_claimed_by_another_with_a_new_token(world):
    [shard_id, _] = world.shard_ids(world.admit())
    dead = world.claim(shard_id, lease_s=OVER)
    heir = world.claim(shard_id)
    assert (dead.token, heir.token, heir.attempts) == (1, 2, 2)
    assert mark_done(world.store, dead) is False
    assert world.store.shards(heir.run_id)[0].state is ShardState.RUNNING


def test_renewing_tells_each_holder_what_became_of_its_shard(world):
    store, run_id, cancelled_run = world.store, world.admit(), world.admit("other", shards=[["s0"]])
    held, lost = (world.claim(shard_id, lease_s=OVER) for shard_id in world.shard_ids(run_id))
    [cancelled] = world.claim_all(cancelled_run)
    world.claim(lost.id)
    store.cancel_run(cancelled_run, "enough")
    asked = {held.id: held.token, lost.id: lost.token, cancelled.id: cancelled.token, "gone": 1}
    assert store.renew(asked, LEASE_S) == {held.id: "held", lost.id: "lost", cancelled.id: "cancelled", "gone": "lost"}
    assert store.claim(held.id, "thief", LEASE_S) is None  # prolonged, though its lease had run out


def test_renewing_nothing_is_nothing(world):
    assert world.store.renew({}, LEASE_S) == {}


def test_a_released_shard_is_free_at_once_and_the_attempt_is_not_counted(world):
    run_id = world.admit()
    held = world.claim(world.shard_ids(run_id)[0])
    world.store.release(held.id, held.token)
    assert world.store.renew({held.id: held.token}, LEASE_S) == {held.id: "lost"}
    again = world.claim(held.id)
    assert (again.attempts, again.token) == (1, 2)


def test_a_shard_released_for_a_reason_counts_the_attempt_and_keeps_the_reason(world):
    run_id = world.admit()
    held = world.claim(world.shard_ids(run_id)[0])
    world.store.release(held.id, held.token, "the engine is away")
    assert world.store.shards(run_id)[0].error == "the engine is away"
    assert world.claim(held.id).attempts == 2


def test_a_shard_put_off_keeps_the_reason_and_its_attempts(world):
    run_id = world.admit()
    held = world.claim(world.shard_ids(run_id)[0])
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=600)
    world.store.release(held.id, held.token, "the engine is away", not_before=later)
    assert world.store.shards(run_id)[0].error == "the engine is away"
    assert world.claim(held.id).attempts == 1


def test_a_release_by_an_old_holder_changes_nothing(world):
    [shard_id, _] = world.shard_ids(world.admit())
    dead, heir = world.claim(shard_id, lease_s=OVER), world.claim(shard_id)
    world.store.release(shard_id, dead.token)
    assert world.store.renew({shard_id: heir.token}, LEASE_S) == {shard_id: "held"}


def test_exactly_one_of_many_finishers_is_told_that_nothing_remains(world):
    run_id = world.admit(shards=[[f"s{number}"] for number in range(20)])
    claims = world.claim_all(run_id)
    last = at_once(lambda number: mark_done(world.store, claims[number]))
    assert sum(last) == 1
    assert {shard.state for shard in world.store.shards(run_id)} == {ShardState.DONE}


def test_finishing_twice_is_told_only_once(world):
    run_id = world.admit(shards=[["s0"]])
    [held] = world.claim_all(run_id)
    assert mark_done(world.store, held) is True
    assert mark_done(world.store, held) is False
    assert world.store.claim(held.id, "worker", LEASE_S) is None


def test_a_failed_shard_counts_as_finished_and_keeps_its_reason(world):
    run_id = world.admit()
    first, second = world.claim_all(run_id)
    assert world.store.fail_shard(first.id, first.token, "poison") is False
    assert mark_done(world.store, second) is True
    failed = world.store.shards(run_id)[0]
    assert (failed.state, failed.error) == (ShardState.FAILED, "poison")


def test_without_a_token_a_shard_is_failed_whoever_holds_it(world):
    run_id = world.admit(shards=[["s0"]])
    [held] = world.claim_all(run_id)
    assert world.store.fail_shard(held.id, held.token + 1, "stale") is False
    assert world.store.fail_shard(held.id, None, "given up") is True
    assert mark_done(world.store, held) is False


def test_provenance_keeps_every_engine_once(world):
    run_id = world.admit()
    one = EngineInfo(engine="vllm", version="1", model_digest="abc")
    two = EngineInfo(engine="vllm", version="1", model_digest="abc", details={"gpu": "x"})
    at_once(lambda number: world.store.note_engine(run_id, (two, one)[number % 2]), 10)
    noted = world.store.run(run_id).provenance
    assert sorted(noted, key=repr) == sorted([one, two], key=repr)


def test_claims_ends_and_supersessions_of_one_pull_request_never_deadlock(world):
    runs = [world.of_commit("sha 0", ordinal=0)]

    def anything(number: int) -> None:
        if number % 4 == 0:
            world.of_commit(f"sha {number}", ordinal=number)
        for shard_id in world.shard_ids(runs[0]):
            held = world.store.claim(shard_id, "worker", LEASE_S if number % 2 else OVER)
            if held:
                world.store.renew({held.id: held.token}, LEASE_S)
                mark_done(world.store, held)
            world.store.reap(0.0, 5)

    at_once(anything)
