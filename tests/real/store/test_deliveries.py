import datetime as dt

from tests.real.store.world import LEASE_S, OVER, SUMMARY, VERDICT, at_once

NOW = dt.datetime.now(dt.UTC)
LATER_S, BEFORE_S = 3600.0, -3600.0


def _told(world, key="k", channels=("check",)):
    run_id, _ = world.store.admit(world.new_run(key), [["s0"]], channels)
    return run_id


def test_a_delivery_is_claimed_once_and_sent_once(world):
    run_id = _told(world)
    claims = at_once(lambda _: world.store.claim_delivery(LEASE_S))
    [won] = [claim for claim in claims if claim is not None]
    assert (won.run_id, won.channel, won.state, won.attempts) == (run_id, "check", "sending", 1)
    world.store.sent(run_id, "check", "42")
    [delivery] = world.store.deliveries(run_id)
    assert (delivery.state, delivery.external_id) == ("sent", "42")
    assert delivery.sent_at is not None
    assert world.store.claim_delivery(LEASE_S) is None


def test_many_senders_share_what_is_due(world):
    runs = {_told(world, f"k{number}") for number in range(10)}
    claims = at_once(lambda _: world.store.claim_delivery(LEASE_S), 10)
    assert {claim.run_id for claim in claims} == runs


def test_a_delivery_whose_sender_died_is_claimed_again(world):
    _told(world)
    world.store.claim_delivery(OVER)
    assert world.store.claim_delivery(LEASE_S).attempts == 2


def test_a_failed_delivery_waits_for_its_time(world):
    run_id = _told(world)
    world.store.claim_delivery(LEASE_S)
    world.store.delivery_failed(run_id, "check", "502", LATER_S)
    assert world.store.claim_delivery(LEASE_S) is None
    [delivery] = world.store.deliveries(run_id)
    assert (delivery.state, delivery.error) == ("waiting", "502")
    assert delivery.next_at > NOW + dt.timedelta(seconds=LATER_S - 1)


def test_a_failed_delivery_is_tried_again_when_its_time_has_come(world):
    run_id = _told(world)
    world.store.claim_delivery(LEASE_S)
    world.store.delivery_failed(run_id, "check", "502", BEFORE_S)
    assert world.store.claim_delivery(LEASE_S).attempts == 2


def test_a_delivery_that_is_given_up_stays_failed(world):
    run_id = _told(world)
    world.store.claim_delivery(LEASE_S)
    world.store.delivery_failed(run_id, "check", "404", None)
    assert world.store.claim_delivery(LEASE_S) is None
    assert world.store.deliveries(run_id)[0].state == "failed"


def test_the_verdict_is_told_by_editing_what_was_sent_before(world):
    run_id = _told(world)
    world.store.claim_delivery(LEASE_S)
    world.store.sent(run_id, "check", "42")
    world.store.conclude(run_id, SUMMARY, VERDICT, ["check", "comment"])
    due = {(each.channel, each.external_id, each.attempts) for each in (_claim(world), _claim(world))}
    assert due == {("check", "42", 1), ("comment", None, 1)}


def test_news_that_come_while_something_is_being_sent_are_sent_after_it(world):
    run_id = _told(world)
    world.store.claim_delivery(LEASE_S)
    world.store.conclude(run_id, SUMMARY, VERDICT, ["check"])
    assert world.store.claim_delivery(LEASE_S) is None  # not two senders of one check
    world.store.sent(run_id, "check", "42")
    again = _claim(world)
    assert (again.external_id, again.attempts) == ("42", 1)
    world.store.sent(run_id, "check", None)
    [delivery] = world.store.deliveries(run_id)
    assert (delivery.state, delivery.external_id) == ("sent", "42")


def test_news_give_a_failing_delivery_a_fresh_start(world):
    run_id = _told(world)
    world.store.claim_delivery(LEASE_S)
    world.store.conclude(run_id, SUMMARY, VERDICT, ["check"])
    world.store.delivery_failed(run_id, "check", "422", None)
    assert _claim(world).attempts == 1


def test_news_revive_a_delivery_that_was_given_up(world):
    run_id = _told(world)
    world.store.claim_delivery(LEASE_S)
    world.store.delivery_failed(run_id, "check", "404", None)
    world.store.conclude(run_id, SUMMARY, VERDICT, ["check"])
    assert _claim(world).attempts == 1


def test_a_late_report_of_an_ended_attempt_changes_nothing(world):
    run_id = _told(world)
    world.store.claim_delivery(OVER)
    world.store.claim_delivery(LEASE_S)
    world.store.sent(run_id, "check", "42")
    world.store.delivery_failed(run_id, "check", "timeout", LATER_S)
    assert world.store.deliveries(run_id)[0].state == "sent"


def _claim(world):
    claimed = world.store.claim_delivery(LEASE_S)
    assert claimed is not None
    return claimed
