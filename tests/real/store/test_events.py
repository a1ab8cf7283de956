import pytest
from sqlalchemy import select

from evalwindow.errors import Replayed
from evalwindow.store.events import OVERTAKEN, REPEATED
from evalwindow.store.tables import event
from tests.real.store.world import LEASE_S, OVER, at_once

PAYLOAD = {"action": "opened", "number": 7, "title": "NUL \x00 and \ud800"}


def test_a_delivery_is_one_event_and_its_replay_is_refused(store):
    store.add_event("d1", "pull_request", PAYLOAD)
    with pytest.raises(Replayed, match="d1"):
        store.add_event("d1", "pull_request", PAYLOAD)


def test_an_event_comes_back_as_it_was_but_for_what_postgresql_refuses(store):
    event_id = store.add_event("d1", "pull_request", PAYLOAD)
    claimed = store.claim_event(event_id, LEASE_S)
    assert claimed.payload == {**PAYLOAD, "title": "NUL ␀ and �"}
    assert (claimed.id, claimed.delivery, claimed.kind, claimed.attempts) == (event_id, "d1", "pull_request", 1)


def test_events_are_claimed_oldest_first_and_each_once(store):
    ids = [store.add_event(f"d{number}", "push", {}) for number in range(3)]
    assert [store.claim_event(None, LEASE_S).id for _ in ids] == ids
    assert store.claim_event(None, LEASE_S) is None
    assert store.claim_event(ids[0], LEASE_S) is None


def test_one_of_many_handlers_wins_an_event(store):
    event_id = store.add_event("d1", "push", {})
    assert sum(won is not None for won in at_once(lambda _: store.claim_event(event_id, LEASE_S))) == 1


def test_many_handlers_share_events_without_waiting_for_each_other(store):
    ids = [store.add_event(f"d{number}", "push", {}) for number in range(20)]
    assert sorted(won.id for won in at_once(lambda _: store.claim_event(None, LEASE_S))) == ids


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


def test_of_events_that_wait_the_last_of_a_subject_is_handled_for_all(store):
    newer, older, newest, other, alone = (
        store.add_event(name, "pull_request", {}, subject=subject, ordinal=ordinal)
        for name, subject, ordinal in (
            ("newer", "acme/bot#7", 20),
            ("older", "acme/bot#7", 10),
            ("newest", "acme/bot#7", 20),
            ("another pull request's", "acme/bot#8", 5),
            ("one with a label", "acme/bot#7", None),
        )
    )
    assert store.claim_event(newer, LEASE_S).id == newest
    assert {each: _state(store, each) for each in (newer, older)} == dict.fromkeys((newer, older), ("done", OVERTAKEN))
    assert [store.claim_event(None, LEASE_S).id for _ in range(2)] == [other, alone]
    assert store.claim_event(None, LEASE_S) is None


def test_an_event_that_comes_while_another_of_its_subject_is_handled_waits_for_its_own_turn(store):
    first, second = (store.add_event(name, "pull_request", {}, subject="a/b#1", ordinal=1) for name in ("d1", "d2"))
    assert store.claim_event(None, LEASE_S).id == second
    third = store.add_event("d3", "pull_request", {}, subject="a/b#1", ordinal=1)
    assert _state(store, first) == ("done", OVERTAKEN)
    assert store.claim_event(None, LEASE_S).id == third


def test_an_event_whose_handler_died_is_overtaken_as_one_that_waits(store):
    died = store.add_event("d1", "pull_request", {}, subject="a/b#1", ordinal=1)
    store.claim_event(died, OVER)
    later = store.add_event("d2", "pull_request", {}, subject="a/b#1", ordinal=2)
    assert store.claim_event(died, LEASE_S).id == later
    assert _state(store, died) == ("done", OVERTAKEN)


def test_many_handlers_of_one_subject_s_events_handle_the_last_of_them(store):
    ids = [store.add_event(f"d{number}", "pull_request", {}, subject="a/b#1", ordinal=number) for number in range(40)]
    claimed = {won.id for won in at_once(lambda _: store.claim_event(None, LEASE_S)) if won is not None}
    assert ids[-1] in claimed
    store.claim_event(None, LEASE_S)
    assert store.claim_event(None, LEASE_S) is None


def test_of_one_repository_only_so_many_refusals_in_a_minute_are_told_and_of_one_commit_one(store):
    def refused(name, subject):
        return store.add_event(name, "pull_request", {}, subject=subject)

    mine = [refused(f"mine {number}", f"acme/bot#{number}") for number in range(12)]
    assert sum(at_once(lambda number: store.may_tell(mine[number], most=5), 12)) == 5
    theirs = refused("theirs", "acme/other#1")
    assert store.may_tell(theirs, most=5)
    assert store.may_tell(theirs, most=5)  # GitHub was away
    assert not store.may_tell(refused("theirs again", "acme/other#1"), most=5)
    with store._transaction() as connection:
        connection.exec_driver_sql("UPDATE event SET told_at = told_at - interval '61 seconds'")
    assert store.may_tell(refused("theirs a minute later", "acme/other#1"), most=5)
    assert store.may_tell(refused("later", "acme/bot#99"), most=5)


def _state(store, event_id):
    with store._transaction() as connection:
        return connection.execute(select(event.c.state, event.c.error).where(event.c.id == event_id)).one()


def test_an_event_is_a_repetition_when_the_one_before_it_did_all_for_the_same_commit(store):
    def came(name, sha, *, ordinal, ended="done", error=None):
        payload = {"pull_request": {"head": {"sha": sha}}}
        event_id = store.add_event(name, "pull_request", payload, subject="a/b#1", ordinal=ordinal)
        repeated = store.is_repeated(event_id)
        store.finish_event(event_id, ended, error)
        return repeated

    assert not came("first", "A", ordinal=1)
    assert came("again", "A", ordinal=2, error=REPEATED)
    assert came("and again", "A", ordinal=2, error=REPEATED)
    assert not came("a push", "B", ordinal=3, ended="refused", error="over its quota")
    assert not came("reopened, to try again", "B", ordinal=4)
    assert not came("a push back", "A", ordinal=5)
    assert not came("without a file", "C", ordinal=6, error="no .evalwindow.yaml")
    assert not came("without a file, again", "C", ordinal=7)
    assert not came("a label, which stands for itself", "C", ordinal=None)


def test_an_event_that_was_put_off_is_claimed_again_after_the_pause_and_not_before(store):
    event_id = store.add_event("put off", "pull_request", {})
    assert store.claim_event(event_id, 60) is not None
    store.postpone_event(event_id, 30)
    assert store.claim_event(event_id, 60) is None
    store.postpone_event(event_id, -1)
    assert store.claim_event(None, 60).attempts == 2
    store.finish_event(event_id, "done")
    store.postpone_event(event_id, -1)
    assert store.claim_event(event_id, 60) is None
