"""Breakers' rows under many reporters at once, and what waits for them."""

import pytest
from sqlalchemy import text

from evalwindow.breakers import GITHUB, SMTP, Phase, What
from evalwindow.config import Breaker
from evalwindow.errors import NotFound
from evalwindow.model import ShardState
from tests.real.store.world import LEASE_S, at_once

RULE = Breaker(failures=3, cooldown_s=600, longest_s=1000)
POOL, BIG = "pool:warm", "provider:big"
READER = "mail:ops@acme.example"
ALERTS = (READER,)


def _fail(world, breaker_id=POOL, *, times=RULE.failures, **more):
    for _ in range(times):
        standing = world.store.breaker_failed(breaker_id, reason="away", rule=RULE, alerts=ALERTS, **more)
    return standing


def _due(world, breaker_id=POOL):
    """Its time has come, and that of whatever waits for it."""
    values = {"id": breaker_id, "was": _standing(world, breaker_id).retry_at}
    with world.store._transaction() as connection:
        for statement in (
            "UPDATE breaker SET retry_at = clock_timestamp() WHERE id = :id",
            "UPDATE shard SET not_before = clock_timestamp() WHERE not_before = :was",
            "UPDATE delivery SET next_at = clock_timestamp() WHERE next_at = :was",
        ):
            connection.execute(text(statement), values)


def _probe(world, breaker_id=POOL):
    _due(world, breaker_id)
    turn = world.store.ask_breakers([breaker_id], probe_s=300)
    assert turn.probes == {breaker_id}


def _standing(world, breaker_id=POOL):
    return world.store.breaker(breaker_id).standing


def _whats(world):
    return [event.what for event in reversed(world.store.breaker_events(100))]


def _shards(world, run_id):
    with world.store._transaction() as connection:
        statement = text("SELECT attempts, not_before FROM shard WHERE run_id = :id ORDER BY seq")
        return [tuple(row) for row in connection.execute(statement, {"id": run_id})]


def test_what_never_failed_has_no_row_and_is_nobodys_business(world):
    world.store.breaker_succeeded(POOL)
    assert world.store.ask_breakers([POOL, BIG], probe_s=60).wait_until is None
    assert world.store.breakers() == []
    world.admit()
    assert world.claim_all(world.store.runs()[0].id)[0].suspects == frozenset()


def test_many_reporters_at_once_open_it_once(world):
    at_once(lambda _: _fail(world, times=1))
    assert _standing(world).phase is Phase.OPEN
    assert _standing(world).trips == 1
    [event] = world.store.breaker_events(10)
    assert (event.breaker_id, event.what, event.reason, event.by) == (POOL, What.OPENED, "away", None)
    assert world.count("delivery") == 1


def test_of_many_that_ask_at_once_one_is_the_probe(world):
    _fail(world)
    _due(world)
    turns = at_once(lambda _: world.store.ask_breakers([POOL], probe_s=300))
    assert [turn.probes for turn in turns if turn.wait_until is None] == [{POOL}]
    assert {turn.wait_until for turn in turns if turn.wait_until} == {_standing(world).retry_at}


def test_the_probe_closes_it_once_whoever_else_reports_meanwhile(world):
    _fail(world)
    _probe(world)
    at_once(lambda number: world.store.breaker_succeeded(POOL, probe=number % 2 == 0, alerts=ALERTS))
    assert _standing(world).phase is Phase.CLOSED
    assert _whats(world) == [What.OPENED, What.CLOSED]


def test_a_probe_that_fails_waits_twice_as_long_and_is_told_nobody(world):
    _fail(world)
    _probe(world)
    standing = world.store.breaker_failed(POOL, reason="still away", rule=RULE, probe=True, alerts=ALERTS)
    [row] = world.store.breakers()
    assert standing == row.standing
    assert (standing.retry_at - row.at).total_seconds() == pytest.approx(1000, abs=5)
    assert _whats(world) == [What.OPENED]


def test_nobody_probes_one_thing_while_another_that_it_needs_is_away(world):
    _fail(world)
    _fail(world, BIG)
    _due(world)
    turn = world.store.ask_breakers([POOL, BIG], probe_s=300)
    assert (turn.wait_until, turn.probes) == (_standing(world, BIG).retry_at, frozenset())
    assert _standing(world).phase is Phase.OPEN
    _due(world, BIG)
    assert world.store.ask_breakers([POOL, BIG], probe_s=300).probes == {POOL, BIG}


def test_shards_of_the_pool_wait_together_and_go_on_together(world):
    mine, other = world.admit("mine"), world.admit("other", pool="cold")
    _fail(world)
    until = _standing(world).retry_at
    assert _shards(world, mine) == [(0, until)] * 2
    assert _shards(world, other) == [(0, None)] * 2
    _probe(world)
    assert _shards(world, mine) == [(0, _standing(world).retry_at)] * 2
    world.store.breaker_succeeded(POOL, probe=True)
    assert _shards(world, mine) == [(0, None)] * 2


def test_shards_of_one_apis_model_wait_and_those_of_another_go_on(world):
    big, small = (world.admit(name, pool="api", model=name) for name in ("big", "small"))
    _fail(world, BIG)
    assert [not_before for _, not_before in _shards(world, big)] == [_standing(world, BIG).retry_at] * 2
    assert [not_before for _, not_before in _shards(world, small)] == [None] * 2
    _fail(world, "provider:small")
    world.store.reset_breaker(BIG, by="lea", reason="they mended it")
    assert [not_before for _, not_before in _shards(world, big)] == [None] * 2
    assert None not in [not_before for _, not_before in _shards(world, small)]  # theirs holds them


def test_the_opening_gives_back_the_attempts_that_nobody_could_have_won(world):
    run_id = world.admit(shards=[["s0"], ["s1"], ["s2"]])
    first, second, third = world.shard_ids(run_id)
    for shard_id in (first, first, second):
        claimed = world.claim(shard_id)
        world.store.release(shard_id, claimed.token, "away")
    running = world.claim(second)
    world.claim(third)
    _fail(world)
    assert [attempts for attempts, _ in _shards(world, run_id)] == [0, 1, 1]
    world.store.release(second, running.token, "away", not_before=_standing(world).retry_at)
    assert [attempts for attempts, _ in _shards(world, run_id)] == [0, 0, 1]


def test_a_shard_that_is_put_off_just_after_the_close_goes_on_at_once(world):
    """It had asked before the probe was through, and is handed back after it."""
    run_id = world.admit()
    [shard_id, _] = world.shard_ids(run_id)
    _fail(world)
    claimed = world.claim(shard_id)
    wait_until = world.store.ask_breakers([POOL], probe_s=300).wait_until
    _probe(world)
    world.store.breaker_succeeded(POOL, probe=True)
    world.store.release(shard_id, claimed.token, not_before=wait_until)
    world.store.wake_closed([POOL], was=wait_until)
    assert _shards(world, run_id) == [(0, None)] * 2


def test_a_probe_that_did_not_try_leaves_it_to_the_next_at_once(world):
    run_id = world.admit()
    _fail(world)
    _probe(world)
    world.store.breakers_untried([POOL])
    assert _shards(world, run_id) == [(0, None)] * 2
    assert world.store.ask_breakers([POOL], probe_s=300).probes == {POOL}


def test_a_claim_names_what_is_suspect_in_the_statement_that_it_is(world):
    _fail(world, times=1)
    _fail(world, BIG)
    _fail(world, GITHUB)
    _fail(world, "team:red/errors", times=1)
    _fail(world, "team:blue/errors")
    run_id = world.admit()
    [first, second] = world.shard_ids(run_id)
    assert world.claim(first).suspects == {POOL, BIG, "team:red/errors"}
    world.store.breaker_succeeded(POOL)
    world.store.breaker_succeeded("team:red/errors")
    assert world.claim(second).suspects == {BIG}
    assert world.store.shards(run_id)[1].state is ShardState.RUNNING


def test_deliveries_of_the_notifier_wait_without_losing_an_attempt(world):
    run_id, _ = world.store.admit(world.new_run(), [["s0"]], ["check", "page", "mail:a@b.example"])
    claimed = world.store.claim_delivery(LEASE_S)
    while claimed.channel != "check":
        claimed = world.store.claim_delivery(LEASE_S)
    _fail(world, GITHUB)
    until = _standing(world, GITHUB).retry_at
    world.store.delivery_put_off(run_id, "check", "502", until)
    known = {row.channel: row for row in world.store.deliveries(run_id)}
    assert (known["check"].state, known["check"].attempts, known["check"].next_at) == ("waiting", 0, until)
    assert known["check"].error == "502"
    assert known["mail:a@b.example"].next_at < until


def test_deliveries_go_on_when_it_closes_but_not_those_that_failed_by_themselves(world):
    runs = {channel: world.admit(channel) for channel in ("check", "comment")}
    for channel, run_id in runs.items():
        world.store.cancel_run(run_id, "")
        with world.store._transaction() as connection:
            connection.execute(
                text("INSERT INTO delivery (id, run_id, channel, state) VALUES (:id, :run_id, :channel, 'waiting')"),
                {"id": f"{run_id}:{channel}", "run_id": run_id, "channel": channel},
            )
    assert world.store.claim_delivery(LEASE_S).suspects == frozenset()
    world.store.delivery_failed(runs["check"], "check", "404", 3 * 3600.0)
    [paused] = world.store.deliveries(runs["check"])
    _fail(world, GITHUB)
    assert world.store.claim_delivery(LEASE_S) is not None  # the alert
    assert world.store.claim_delivery(LEASE_S) is None
    _probe(world, GITHUB)
    assert world.store.claim_delivery(LEASE_S) is None
    world.store.breaker_succeeded(GITHUB, probe=True)
    claimed = world.store.claim_delivery(LEASE_S)
    assert (claimed.run_id, claimed.channel, claimed.suspects) == (runs["comment"], "comment", frozenset())
    assert world.store.deliveries(runs["check"])[0].next_at == paused.next_at


def test_a_claimed_delivery_names_the_notifiers_that_are_suspect(world):
    _fail(world, SMTP, times=1)
    _fail(world, POOL)
    claimed = world.store.claim_delivery(LEASE_S)
    assert (claimed.channel, claimed.suspects) == (READER, {SMTP})
    assert world.store.breaker_event(claimed.subject).breaker_id == POOL


def test_a_reset_says_who_and_why_and_wakes_what_waited(world):
    run_id = world.admit()
    _fail(world)
    assert world.store.reset_breaker(POOL, by="lea", reason="restarted the unit", alerts=ALERTS)
    assert not world.store.reset_breaker(POOL, by="lea", reason="again", alerts=ALERTS)
    event, _ = world.store.breaker_events(10)
    assert (event.what, event.by, event.reason) == (What.RESET, "lea", "restarted the unit")
    assert _shards(world, run_id) == [(0, None)] * 2
    assert world.claim(world.shard_ids(run_id)[0]).suspects == frozenset()


def test_events_are_found_by_breaker_and_time(world):
    _fail(world)
    _fail(world, BIG)
    [event] = world.store.breaker_events(10, breaker_id=BIG)
    assert world.store.breaker_events(10, since=event.at, until=event.at) == [event]
    assert world.store.breaker_events(1)[0] == event
    with pytest.raises(NotFound, match="breaker event 'nobody'"):
        world.store.breaker_event("nobody")
