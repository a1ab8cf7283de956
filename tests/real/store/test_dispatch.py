import datetime as dt

import pytest
from sqlalchemy import func, update

from evalwindow.model import EngineInfo, ShardState, Tier
from evalwindow.store.database import try_advisory_lock
from evalwindow.store.rows import Backlog, Reaped
from evalwindow.store.tables import shard
from tests.fixtures.results import mark_done
from tests.real.store.world import LEASE_S, OVER, at_once

REGRESSION = Tier.REGRESSION
FORGOTTEN = -1.0  # every dispatched shard counts as forgotten


def _flood(world, team, shards):
    return world.admit(f"run of {team}", team=team, shards=[["s0"]] * shards)


def _teams(world, shard_ids):
    teams = {shard.id: shard.team for run in world.store.runs() for shard in world.store.shards(run.id)}
    return [teams[shard_id] for shard_id in shard_ids]


def test_a_flood_of_one_team_does_not_delay_the_others(world):
    _flood(world, "loud", 400)
    _flood(world, "quiet", 15)
    _flood(world, "small", 15)
    first = world.store.top_up("warm", REGRESSION, 45)
    assert _teams(world, first) == ["loud", "quiet", "small"] * 15


def test_what_a_team_has_in_flight_counts_for_its_turn(world):
    _flood(world, "loud", 10)
    world.store.top_up("warm", REGRESSION, 3)
    _flood(world, "quiet", 10)
    assert _teams(world, world.store.top_up("warm", REGRESSION, 4)) == ["quiet", "quiet", "quiet", "loud"]


def test_no_team_gets_more_than_its_cap_however_much_room_there_is(world):
    _flood(world, "loud", 20)
    top_up = lambda room: world.store.top_up("warm", REGRESSION, room, team_cap=6)  # noqa: E731
    first = top_up(8)
    assert len(first) == 6
    assert top_up(2) == []
    _flood(world, "quiet", 3)
    assert _teams(world, top_up(2)) == ["quiet", "quiet"]  # at once: its next shards find room
    held = world.claim(first[0])
    mark_done(world.store, held)
    assert _teams(world, top_up(5)) == ["quiet", "loud"]


def test_shards_of_a_team_go_in_the_order_of_their_admission(world):
    ids = world.shard_ids(_flood(world, "red", 30))
    assert world.store.top_up("warm", REGRESSION, 10) == ids[:10]
    assert world.store.top_up("warm", REGRESSION, 100) == ids[10:]
    assert world.store.top_up("warm", REGRESSION, 100) == []


def test_a_shard_handed_back_for_a_later_moment_is_not_sent_before_it(world):
    run_id = world.admit()
    (
        put_off,
        past,
    ) = world.claim_all(run_id)
    now = dt.datetime.now(dt.UTC)
    world.store.release(put_off.id, put_off.token, not_before=now + dt.timedelta(seconds=600))
    world.store.release(past.id, past.token, not_before=now - dt.timedelta(seconds=1))
    assert world.store.top_up("warm", REGRESSION, 10) == [past.id]
    assert world.store.dispatch_run(run_id) == []
    with world.store._transaction() as connection:
        connection.execute(update(shard).where(shard.c.id == put_off.id).values(not_before=func.now()))
    assert world.store.dispatch_run(run_id) == [put_off.id]


@pytest.mark.parametrize("room", [0, -3])
def test_without_room_nothing_is_dispatched(world, room):
    _flood(world, "red", 3)
    assert world.store.top_up("warm", REGRESSION, room) == []


def test_pools_and_tiers_are_topped_up_on_their_own(world):
    here = world.shard_ids(world.admit("here"))
    there = world.shard_ids(world.admit("there", pool="cold"))
    smoke = world.shard_ids(world.admit("smoke", tier=Tier.SMOKE))
    assert world.store.backlog() == [
        Backlog(pool="cold", tier=REGRESSION, pending=2, dispatched=0, running=0, least=0),
        Backlog(pool="warm", tier=REGRESSION, pending=2, dispatched=0, running=0, least=0),
        Backlog(pool="warm", tier=Tier.SMOKE, pending=2, dispatched=0, running=0, least=0),
    ]
    assert world.store.top_up("warm", REGRESSION, 10) == here
    assert world.store.top_up("cold", REGRESSION, 10) == there
    assert world.store.top_up("warm", Tier.SMOKE, 10) == smoke


def test_the_backlog_counts_by_state_and_forgets_what_is_final(world):
    world.admit(shards=[["s0"]] * 4)
    first, second = world.store.top_up("warm", REGRESSION, 2)
    world.claim(first)
    held = world.claim(second)
    mark_done(world.store, held)
    world.store.top_up("warm", REGRESSION, 1)
    assert world.store.backlog() == [Backlog(pool="warm", tier=REGRESSION, pending=1, dispatched=1, running=1, least=2)]


def test_dispatchers_at_once_never_choose_the_same_shard(world):
    ids = world.shard_ids(_flood(world, "red", 100))
    chosen = at_once(lambda _: world.store.top_up("warm", REGRESSION, 10), 10)
    sent = [shard_id for each in chosen for shard_id in each]
    assert len(set(sent)) == len(sent) > 0
    rest = world.store.top_up("warm", REGRESSION, 1000)
    assert sorted(sent + rest) == sorted(ids)


def test_nothing_is_dispatched_after_the_windows_end(world):
    now = dt.datetime.now(dt.UTC)
    world.admit("over", window_end=now - dt.timedelta(hours=1))
    on = world.shard_ids(world.admit("on", window_end=now + dt.timedelta(hours=1)))
    assert world.store.top_up("warm", REGRESSION, 10) == on


def test_a_smoke_run_is_dispatched_past_the_fair_order(world):
    _flood(world, "loud", 5)
    run_id = world.admit("smoke")
    assert world.store.dispatch_run(run_id) == world.shard_ids(run_id)
    assert world.store.dispatch_run(run_id) == []


def test_past_the_fair_order_goes_only_what_finds_room_in_its_lane_and_in_its_team_s_share(world):
    def smoke(team):
        run_id = world.admit(f"smoke {world.count('run')}", team=team, tier=Tier.SMOKE, shards=[["s0"]])
        return world.store.dispatch_run(run_id, room=3, team_cap=2)

    _flood(world, "loud", 5)
    world.store.top_up("warm", REGRESSION, 5)  # another lane
    first, second = smoke("loud"), smoke("loud")
    assert (len(first), len(second), smoke("loud")) == (1, 1, [])
    assert len(smoke("quiet")) == 1
    assert smoke("small") == []  # the lane is full: its turn comes by the dispatcher, and before the flood's third
    mark_done(world.store, world.claim(first[0]))
    assert _teams(world, world.store.top_up("warm", Tier.SMOKE, 1, team_cap=2)) == ["small"]
    world.store.heartbeat("warm", "another engine", EngineInfo(engine="vllm", version="1", model_digest="m"), "ready")
    world.store.heartbeat("warm", "one more", EngineInfo(engine="vllm", version="1", model_digest="m"), "ready")
    assert len(smoke("loud")) == 1


def test_what_could_not_be_sent_is_pending_again(world):
    ids = world.shard_ids(_flood(world, "red", 4))
    world.store.top_up("warm", REGRESSION, 3)
    world.claim(ids[0])
    world.store.undispatch(ids)
    states = [shard.state for shard in world.store.shards(world.store.runs()[0].id)]
    assert states == [ShardState.RUNNING, ShardState.PENDING, ShardState.PENDING, ShardState.PENDING]


def test_a_lease_that_ran_out_goes_back_to_pending(world):
    run_id = world.admit()
    dead = world.claim(world.shard_ids(run_id)[0], lease_s=OVER)
    alive = world.claim(world.shard_ids(run_id)[1])
    assert world.store.reap(LEASE_S, 5) == Reaped(retried=1)
    assert [shard.state for shard in world.store.shards(run_id)] == [ShardState.PENDING, ShardState.RUNNING]
    assert world.store.renew({dead.id: dead.token, alive.id: alive.token}, LEASE_S)[dead.id] == "lost"
    assert mark_done(world.store, dead) is False


def test_a_poison_shard_fails_with_its_reason_after_so_many_attempts(world):
    run_id = world.admit(shards=[["s0"]])
    [shard_id] = world.shard_ids(run_id)
    reaped = []
    for _ in range(3):
        world.claim(shard_id, lease_s=OVER)
        reaped.append(world.store.reap(LEASE_S, 3))
    assert reaped == [Reaped(retried=1), Reaped(retried=1), Reaped(failed=1)]
    [shard] = world.store.shards(run_id)
    assert shard.state is ShardState.FAILED
    assert shard.error == "claimed 3 times and never finished; last by worker"
    assert world.store.stuck_runs(idle_s=0.0) == [run_id]


def test_a_shard_whose_message_got_lost_is_sent_again(world):
    ids = world.shard_ids(world.admit())
    world.store.top_up("warm", REGRESSION, 2)
    assert world.store.reap(LEASE_S, 5) == Reaped()
    assert world.store.reap(FORGOTTEN, 5) == Reaped(republished=2)
    assert world.store.top_up("warm", REGRESSION, 2) == ids


def test_many_reapers_put_each_shard_right_once(world):
    run_id = world.admit(shards=[["s0"]] * 50)
    for shard_id in world.shard_ids(run_id):
        world.claim(shard_id, lease_s=OVER)
    assert sum(reaped.retried for reaped in at_once(lambda _: world.store.reap(LEASE_S, 5))) == 50


def test_a_reaper_leaves_the_work_to_one_that_is_at_it(world):
    world.claim(world.shard_ids(world.admit())[0], lease_s=OVER)
    with world.store._transaction() as other:
        assert try_advisory_lock(other, "reaper")
        assert world.store.reap(LEASE_S, 5) == Reaped()
    assert world.store.reap(LEASE_S, 5) == Reaped(retried=1)


def test_messages_that_nobody_takes_are_sent_again_at_growing_pauses(world):
    world.admit(shards=[["s0"]])
    for _ in range(3):
        world.store.top_up("warm", REGRESSION, 1)
        assert world.store.reap(FORGOTTEN, 5) == Reaped(republished=1)
    [shard_id] = world.store.top_up("warm", REGRESSION, 1)  # the fourth message: 8 times the first pause
    _age_dispatch(world, shard_id, seconds=70)
    assert world.store.reap(10.0, 5) == Reaped()
    _age_dispatch(world, shard_id, seconds=90)
    assert world.store.reap(10.0, 5) == Reaped(republished=1)


def _age_dispatch(world, shard_id, *, seconds):
    then = func.now() - dt.timedelta(seconds=seconds)
    with world.store._transaction() as connection:
        connection.execute(update(shard).where(shard.c.id == shard_id).values(dispatched_at=then))
