import datetime as dt

from sqlalchemy import text

from evalwindow.model import Candidate, Tier
from evalwindow.store.night_rows import NewNight
from tests.real.store.world import OVER, World

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def sql(world: World, statement: str, **values: object) -> None:
    with world.store._transaction() as connection:
        assert connection.execute(text(statement), values).rowcount > 0


def night(world: World, key: str, *, ended: dt.timedelta, dry_run: bool = False) -> str:
    end = dt.datetime.now(dt.UTC) - ended
    new = NewNight(key=key, window="nightly", team="red", branch="main", starts_at=end - HOUR, ends_at=end)
    return world.store.open_night(NewNight(**{**new.__dict__, "dry_run": dry_run})).id


def test_a_lease_that_nobody_reaps_is_told_with_its_holder(world):
    ends, held = (world.shard_ids(world.admit(key))[0] for key in ("ends", "held"))
    world.claim(ends, lease_s=OVER)
    world.claim(held)
    assert world.store.expired_leases(HOUR) == []
    sql(world, "UPDATE shard SET lease_until = lease_until - interval '2 hours' WHERE id = :id", id=ends)
    [late] = world.store.expired_leases(HOUR)
    assert (late.id, late.worker) == (ends, "worker")
    world.store.reap(20, 5)
    assert world.store.expired_leases(HOUR) == []


def test_a_shard_that_many_messages_named_in_vain_is_told_until_its_window_closes(world):
    run_id = world.admit()
    first, second = world.shard_ids(run_id)
    world.store.dispatch_run(run_id)
    assert world.store.untaken(3) == []
    sql(world, "UPDATE shard SET dispatches = 3 WHERE id = :id", id=second)
    assert [shard.id for shard in world.store.untaken(3)] == [second]
    sql(world, "UPDATE run SET window_end = now() - interval '1 second' WHERE id = :id", id=run_id)
    assert world.store.untaken(3) == []
    sql(world, "UPDATE run SET window_end = now() + interval '1 hour' WHERE id = :id", id=run_id)
    assert [shard.id for shard in world.store.untaken(3)] == [second]
    world.claim(second)
    assert world.store.untaken(1) == [world.store.shards(run_id)[0]]
    assert world.store.shards(run_id)[0].id == first
    world.store.cancel_run(run_id, "enough")
    assert world.store.untaken(1) == []


def test_shards_that_nobody_sends_are_told_unless_their_lane_is_busy(world):
    run_id = world.admit()
    assert world.store.unsent(HOUR) == []  # it has only just come
    sql(world, "UPDATE run SET created_at = now() - interval '2 hours'")
    assert [shard.run_id for shard in world.store.unsent(HOUR)] == [run_id, run_id]
    busy = world.admit("busy")
    world.claim(world.shard_ids(busy)[0])
    assert world.store.unsent(HOUR) == []
    other = world.admit("other lane", pool="cold")
    sql(world, "UPDATE run SET created_at = now() - interval '2 hours'")
    assert {shard.run_id for shard in world.store.unsent(HOUR)} == {other}
    recorded = world.admit("scored elsewhere", pool="replay", tier=Tier.REGRESSION)
    sql(world, "UPDATE run SET created_at = now() - interval '2 hours' WHERE id = :id", id=recorded)
    assert {shard.run_id for shard in world.store.unsent(HOUR)} == {other}


def test_shards_that_wait_for_another_run_or_for_the_next_period_are_no_trouble(world):
    same = {"candidate": Candidate(model="base")}
    first, second = world.admit("first", **same), world.admit("second", **same)
    for held in world.claim_all(first):
        world.store.release(held.id, held.token, not_before=dt.datetime.now(dt.UTC) + HOUR)
    other = world.admit("other", team="blue")
    sql(world, "UPDATE run SET created_at = now() - interval '2 hours'")
    assert {shard.run_id for shard in world.store.unsent(HOUR)} == {other}
    assert world.store.unsent(HOUR, held={"blue"}) == []
    world.store.cancel_run(first, "enough")
    assert {shard.run_id for shard in world.store.unsent(HOUR, held={"blue"})} == {second}


def test_a_run_that_stays_open_is_told_while_its_window_is_closed(world):
    run_id, young = world.admit("old"), world.admit("young")
    sql(world, "UPDATE run SET created_at = now() - interval '3 days' WHERE id = :id", id=run_id)
    assert [run.id for run in world.store.long_open(DAY)] == [run_id]
    sql(world, "UPDATE run SET window_end = now() + interval '1 hour' WHERE id = :id", id=run_id)
    assert world.store.long_open(DAY) == []
    sql(world, "UPDATE run SET window_end = now() - interval '1 hour' WHERE id = :id", id=run_id)
    assert [run.id for run in world.store.long_open(DAY)] == [run_id]
    world.store.cancel_run(run_id, "enough")
    assert world.store.long_open(DAY) == []
    assert not world.store.run(young).state.final


def test_what_could_not_be_told_is_kept_in_sight_for_a_while(world):
    run_id = world.conclude(world.admit(), channels=["page", "check"])
    assert world.store.undeliverable(DAY) == []
    delivery = world.store.claim_delivery(60)
    world.store.delivery_failed(run_id, delivery.channel, "disk full", None)
    [failed] = world.store.undeliverable(DAY)
    assert (failed.subject, failed.channel, failed.error) == (run_id, delivery.channel, "disk full")
    sql(world, "UPDATE delivery SET next_at = now() - interval '2 days' WHERE id = :id", id=failed.id)
    assert world.store.undeliverable(DAY) == []


def test_a_night_that_nobody_settled_is_told(world):
    late, settled = night(world, "late", ended=2 * HOUR), night(world, "settled", ended=2 * HOUR)
    night(world, "just over", ended=HOUR / 2)
    night(world, "dry", ended=2 * HOUR, dry_run=True)
    night(world, "long ago", ended=40 * DAY)
    world.store.settle(settled, void=None)
    assert [night.id for night in world.store.unsettled(HOUR, within=30 * DAY)] == [late]
