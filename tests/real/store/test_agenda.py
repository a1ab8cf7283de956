"""When a dispatcher has something to do next."""

import datetime as dt

from evalwindow.model import Tier
from tests.fixtures.results import mark_done
from tests.real.store.world import LEASE_S, OVER, SUMMARY, VERDICT


def agenda(store, older=LEASE_S, idle=0.0):
    return store.agenda(dispatched_older_than_s=older, idle_s=idle)


def test_an_empty_store_has_nothing_to_do(store):
    assert set(vars(agenda(store)).values()) == {None}


def test_the_agenda_knows_when_leases_run_out(world):
    run_id = world.admit()
    first, second = world.shard_ids(run_id)
    assert agenda(world.store).shards <= 0
    world.claim(first, lease_s=1000)
    world.claim(second, lease_s=500)
    known = agenda(world.store)
    assert known.shards is None
    assert 400 < known.upkeep <= 500
    world.store.renew({second: 1}, 2000)
    assert 900 < agenda(world.store).upkeep <= 1000


def test_the_agenda_knows_when_a_shard_that_was_put_off_may_be_sent(world):
    first, second = world.claim_all(world.admit())
    now = dt.datetime.now(dt.UTC)
    world.store.release(first.id, first.token, not_before=now + dt.timedelta(seconds=700))
    world.store.release(second.id, second.token, not_before=now + dt.timedelta(seconds=500))
    assert 400 < agenda(world.store).shards <= 500
    world.admit("other")
    assert agenda(world.store).shards <= 0


def test_the_agenda_knows_when_a_message_counts_as_lost_or_is_of_no_use_any_more(world):
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=700)
    world.admit(shards=[["s0"]], window_end=ends)
    world.store.top_up("warm", Tier.REGRESSION, 1)
    assert 400 < agenda(world.store, older=500).upkeep <= 500
    assert 600 < agenda(world.store, older=5000).upkeep <= 700
    world.store.reap(OVER, 5)
    world.store.top_up("warm", Tier.REGRESSION, 1)
    assert 500 < agenda(world.store, older=300).upkeep <= 600  # the second message has twice the time


def test_the_agenda_knows_of_a_run_that_nobody_concluded(world):
    run_id = world.admit()
    for held in world.claim_all(run_id):
        assert agenda(world.store).upkeep > 0
        mark_done(world.store, held)
    assert agenda(world.store, idle=1000.0).upkeep is None
    assert agenda(world.store).upkeep <= 0
    world.store.conclude(run_id, SUMMARY, VERDICT)
    assert agenda(world.store).upkeep is None


def test_the_agenda_knows_of_events_until_they_are_handled(store):
    event_id = store.add_event("d", "pull_request", {})
    assert agenda(store).events <= 0
    store.claim_event(event_id, 1000)
    assert 900 < agenda(store).events <= 1000
    store.finish_event(event_id, "done")
    assert agenda(store).events is None
