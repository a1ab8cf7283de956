import pytest

from evalwindow.errors import Replayed
from tests.real.store.world import LEASE_S, OVER, at_once

PAYLOAD = {"action": "opened", "number": 7, "title": "NUL \x00 and \ud800"}


def test_a_delivery_is_one_event_and_its_replay_is_refused(store):
    store.add_event("d1", "pull_request", PAYLOAD)
    with pytest.raises(Replayed, match="d1"):
        store.add_event("d1", "pull_request", PAYLOAD)


def test_an_event_comes_back_as_it_was_but_for_what_postgresql_refuses(store):
    event_id = store.add_event("d1", "pull_request", PAYLOAD)
    event = store.claim_event(event_id, LEASE_S)
    assert event.payload == {**PAYLOAD, "title": "NUL ␀ and �"}
    assert (event.id, event.delivery, event.kind, event.attempts) == (event_id, "d1", "pull_request", 1)


def test_events_are_claimed_oldest_first_and_each_once(store):
    ids = [store.add_event(f"d{number}", "push", {}) for number in range(3)]
    assert [store.claim_event(None, LEASE_S).id for _ in ids] == ids
    assert store.claim_event(None, LEASE_S) is None
    assert store.claim_event(ids[0], LEASE_S) is None


def test_one_of_many_handlers_wins_an_event(store):
    event_id = store.add_event("d1", "push", {})
    assert sum(event is not None for event in at_once(lambda _: store.claim_event(event_id, LEASE_S))) == 1


def test_many_handlers_share_events_without_waiting_for_each_other(store):
    ids = [store.add_event(f"d{number}", "push", {}) for number in range(20)]
    assert sorted(event.id for event in at_once(lambda _: store.claim_event(None, LEASE_S))) == ids


def test_an_event_whose_handler_died_is_claimed_again(store):
    event_id = store.add_event("d1", "push", {})
    store.claim_event(event_id, OVER)
    assert store.claim_event(None, LEASE_S).attempts == 2


@pytest.mark.parametrize("state", ["done", "refused", "failed"])
def test_a_finished_event_is_never_claimed_again(store, state):
    event_id = store.add_event("d1", "push", {})
    store.claim_event(event_id, OVER)
    store.finish_event(event_id, state, "why")
    assert store.claim_event(event_id, LEASE_S) is None
