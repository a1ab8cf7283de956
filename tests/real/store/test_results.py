import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import event, func, text, update

from evalwindow.model import Completion, RunState, Score, ShardState, Usage
from evalwindow.recorder import Page, Renewal
from evalwindow.store import Store
from evalwindow.store.tables import run
from tests.fixtures.results import mark_done, write_down
from tests.real.house import until
from tests.real.store.world import LEASE_S, OVER, at_once, result


def test_a_result_comes_back_as_it_was(world):
    [held, _] = world.claim_all(world.admit())
    given = [
        result("s0", 0),
        result("s0", 1, reask=True),
        result("s1", 0, completion=None, error="over-long prompt", scores={"exact": Score.unscored("refused")}),
        result("s2", 0, completion=Completion(text="", cached=True, finish_reason="length")),
    ]
    assert write_down(world.store, held.run_id, held.id, held.token, list(reversed(given))) == 4
    assert world.store.results(held.run_id) == given


def test_what_postgresql_refuses_in_an_answer_is_replaced_visibly(world):
    [held, _] = world.claim_all(world.admit())
    answer = result(
        "s0",
        text="a\x00b\ud800",
        scores={"exact\x00": Score(value=0.0, reason="\ud83d", answer="\x00")},
        error="\x00",
    )
    write_down(world.store, held.run_id, held.id, held.token, [answer])
    [kept] = world.store.results(held.run_id)
    assert kept.completion.text == "a␀b�"
    assert kept.scores == {"exact␀": Score(value=0.0, reason="�", answer="␀")}
    assert kept.error == "␀"


def test_impossible_choices_have_a_log_likelihood_of_minus_infinity(world):
    [held, _] = world.claim_all(world.admit())
    answer = result(completion=Completion(text="", choice_logprobs=(-math.inf, -1.0), choice_tokens=(1, 1)))
    write_down(world.store, held.run_id, held.id, held.token, [answer])
    assert world.store.results(held.run_id) == [answer]


def test_the_first_result_of_a_sample_and_epoch_stays(world):
    [held, _] = world.claim_all(world.admit())
    record = lambda *results: write_down(world.store, held.run_id, held.id, held.token, results)  # noqa: E731
    assert record(result("s0", text="first")) == 1
    assert record(result("s0", text="second"), result("s1")) == 1
    assert [each.completion.text for each in world.store.results(held.run_id)] == ["first", "yes"]


def test_many_writers_of_the_same_results_in_any_order_leave_each_once(world):
    [held, _] = world.claim_all(world.admit())
    batch = [result(f"s{number}", epoch) for number in range(200) for epoch in range(3)]
    orders = [batch, list(reversed(batch))]
    counts = at_once(lambda number: write_down(world.store, held.run_id, held.id, held.token, orders[number % 2]), 6)
    assert sum(counts) == len(batch) == len(world.store.results(held.run_id))


def test_an_answer_of_an_old_holder_is_welcome_while_the_run_is_open(world):
    [shard_id, _] = world.shard_ids(world.admit())
    dead, heir = world.claim(shard_id, lease_s=OVER), world.claim(shard_id)
    assert write_down(world.store, dead.run_id, shard_id, dead.token, [result("s0")]) == 1
    assert world.store.done(heir.run_id, heir.sample_ids) == {("s0", 0)}


def test_nothing_is_added_to_a_final_run(world):
    [held, _] = world.claim_all(world.admit())
    world.store.cancel_run(held.run_id, "enough")
    assert write_down(world.store, held.run_id, held.id, held.token, [result()]) == 0
    assert world.store.results(held.run_id) == []


def test_done_tells_only_of_the_samples_that_were_asked_for(world):
    run_id = world.admit()
    first, second = world.claim_all(run_id)
    write_down(world.store, run_id, first.id, first.token, [result("s0", 0), result("s0", 1)])
    write_down(world.store, run_id, second.id, second.token, [result("s1")])
    assert world.store.done(run_id, ["s0"]) == {("s0", 0), ("s0", 1)}
    assert world.store.done(run_id, []) == set()


@pytest.mark.parametrize("text", ["plain", "NUL \x00", "lone \ud800", "real \U0001f600"])
def test_a_cached_completion_comes_back_exactly(store, database_url, text):
    usage = Usage(prompt_tokens=1, engine_s=0.1)
    given = Completion(text=text, choice_logprobs=(-math.inf, -0.1), choice_tokens=(1, 2), usage=usage)
    store.write([], {"k": given, "other": Completion(text="x")})
    other_process = Store(database_url)
    assert other_process.look_up(["k", "unknown"]).completions == {"k": given}
    other_process.close()


def test_the_first_completion_of_a_key_stays(store):
    store.write([], {"k": Completion(text="first")})
    store.write([], {"k": Completion(text="second"), "j": Completion(text="new")})
    assert {key: each.text for key, each in store.look_up(["k", "j"]).completions.items()} == {"k": "first", "j": "new"}


def test_an_empty_cache_call_is_nothing(store):
    store.write([], {})
    assert store.look_up([]).completions == {}


def test_many_writers_of_the_same_cache_keys_never_deadlock(store):
    keys = [f"k{number}" for number in range(600)]
    orders = [keys, list(reversed(keys))]
    at_once(lambda number: store.write([], {key: Completion(text=key) for key in orders[number % 2]}), 6)
    assert len(store.look_up(keys).completions) == 600


def test_the_last_results_and_the_end_of_a_shard_are_written_together(world):
    first, second = world.claim_all(world.admit())
    page = page_of(first, result("s0"))
    assert finished(world, page) is False
    assert finished(world, page) is False  # it is not held any more
    assert finished(world, page_of(second, result("s1"))) is True
    assert len(world.store.results(first.run_id)) == 2


def test_a_shard_whose_results_are_written_already_ends_without_a_page(world):
    [held] = world.claim_all(world.admit(shards=[["s0"]]))
    assert world.store.write([], done=page_of(held)).last is True


def test_an_old_holder_writes_its_results_and_ends_nothing(world):
    [shard_id, _] = world.shard_ids(world.admit())
    dead, heir = world.claim(shard_id, lease_s=OVER), world.claim(shard_id)
    assert finished(world, page_of(dead, result("s0"))) is False
    assert world.store.done(heir.run_id, heir.sample_ids) == {("s0", 0)}
    assert world.store.renew({shard_id: heir.token}, LEASE_S) == {shard_id: "held"}


def test_nothing_ends_with_a_run_that_is_final(world):
    [held, _] = world.claim_all(world.admit())
    world.store.cancel_run(held.run_id, "enough")
    assert finished(world, page_of(held, result("s0"))) is False
    assert world.store.results(held.run_id) == []
    assert world.store.run(held.run_id).state is RunState.CANCELLED


def test_pages_of_several_runs_are_written_at_once(world):
    held = [world.claim_all(world.admit(key))[0] for key in "ab"]
    assert world.store.write([page_of(each, result("s0")) for each in held]).added == 2
    world.store.cancel_run(held[0].run_id, "enough")
    assert world.store.write([page_of(each, result("s1")) for each in held]).added == 1


def test_who_writes_renews_leases_and_hears_what_became_of_each(world):
    store, ids = world.store, world.shard_ids(world.admit(shards=[["s0"], ["s1"], ["s2"]]))
    writer, held, lost = (world.claim(shard_id, lease_s=OVER) for shard_id in ids)
    [cancelled] = world.claim_all(world.admit("other", shards=[["s0"]]))
    [ours] = world.claim_all(world.admit("third", shards=[["s0"]]))
    world.claim(lost.id)
    store.cancel_run(cancelled.run_id, "enough")
    mark_done(store, ours)
    answers = store.write([page_of(writer, result("s0"))], renewal=renewal(held, lost, cancelled, ours)).leases
    assert answers == {held.id: "held", lost.id: "lost", cancelled.id: "cancelled", ours.id: "done"}
    assert store.claim(held.id, "thief", LEASE_S) is None  # prolonged, though its lease had run out
    assert store.claim(writer.id, "heir", LEASE_S) is not None  # nobody has asked for that one


def test_who_writes_hears_that_a_window_is_over(world):
    [held] = world.claim_all(world.admit(shards=[["s0"]]))
    over = update(run).values(window_end=func.now())
    with world.store._transaction() as connection:
        connection.execute(over)
    page = page_of(held, result("s0"))
    assert world.store.write([page], renewal=renewal(held)).leases == {held.id: "closing"}


@pytest.mark.parametrize("lost", [False, True])
def test_where_another_shard_of_the_run_is_ours_nobody_needs_to_ask_for_more(world, lost):
    done, other = world.claim_all(world.admit())
    if lost:  # to somebody who has done it meanwhile
        other = replace(other, token=other.token - 1)
        mark_done(world.store, replace(other, token=other.token + 1))
    page, asked = page_of(done, result("s0")), []
    note = lambda connection, cursor, statement, *_: asked.append(statement)  # noqa: E731
    event.listen(world.store._engine, "before_cursor_execute", note)
    written = world.store.write([page], done=page, renewal=renewal(other))
    event.remove(world.store._engine, "before_cursor_execute", note)
    assert (written.last, len(asked)) == (lost, 1 + lost)


def test_a_shard_of_another_run_does_not_say_that_more_remains(world):
    [done] = world.claim_all(world.admit(shards=[["s0"]]))
    [other] = world.claim_all(world.admit("other", shards=[["s0"]]))
    page = page_of(done, result("s0"))
    assert world.store.write([page], done=page, renewal=renewal(other)).last is True


def test_exactly_one_of_many_processes_that_end_shards_is_told_that_nothing_remains(world):
    claims = world.claim_all(world.admit(shards=[[f"s{number}"] for number in range(24)]))

    def process(number):
        """Three shards at a time, each end with the others' leases."""
        mine, last = claims[3 * number : 3 * number + 3], 0
        while mine:
            page = page_of(mine.pop(), result())
            last += world.store.write([page], done=page, renewal=renewal(*mine)).last
        return last

    assert sum(at_once(process, 8)) == 1


@pytest.mark.parametrize("locked", ["run", "shard"])
def test_a_writer_that_waits_for_a_run_or_a_shard_has_locked_no_later_one(world, locked):
    claims = world.claim_all(world.admit(shards=[["s0"], ["s1"], ["s2"]]))
    page = page_of(claims[2], result("s2"))
    row = claims[0].run_id if locked == "run" else claims[0].id
    with ThreadPoolExecutor(1) as thread, world.store._transaction() as connection:
        connection.execute(text(f"SELECT FROM {locked} WHERE id = :id FOR UPDATE"), {"id": row})
        writing = thread.submit(world.store.write, [page], done=page, renewal=renewal(claims[1], claims[0]))
        until(lambda: waits_for_a_lock(world.store))
        free = "SELECT id FROM shard WHERE id <> :id ORDER BY id FOR UPDATE SKIP LOCKED"
        found = connection.execute(text(free), {"id": row}).all()
        assert len(found) == (3 if locked == "run" else 2)
        connection.rollback()
        assert writing.result(60).leases == {claim.id: "held" for claim in claims[:2]}


def waits_for_a_lock(store):
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with store._transaction() as connection:
        return connection.execute(text(asked)).scalar_one() == 1


def test_writers_renewals_and_ends_of_runs_never_deadlock(world):
    runs = [world.admit(f"k{number}", shards=[[f"s{each}"] for each in range(8)]) for number in range(3)]
    claims = [claim for of_run in zip(*map(world.claim_all, runs), strict=True) for claim in of_run]

    def anything(number):
        mine = claims[number // 2 :: 4]  # of each run two; two threads of a process have the same
        if number == 8:
            return world.store.cancel_run(runs[1], "enough")
        for turn, held in enumerate(mine):
            others = mine[turn + 1 :]
            if number % 2:
                world.store.renew(renewal(*others[::-1]).tokens, LEASE_S)
            page = page_of(held, result(held.sample_ids[0]))
            world.store.write([page], done=None if number % 2 else page, renewal=renewal(*others[::-1]))
        return None

    at_once(anything, 9)
    assert {shard.state for run_id in (runs[0], runs[2]) for shard in world.store.shards(run_id)} == {ShardState.DONE}


def renewal(*held):
    return Renewal(tokens={each.id: each.token for each in held}, lease_s=LEASE_S)


def page_of(held, *results):
    return Page(run_id=held.run_id, shard_id=held.id, token=held.token, results=results)


def finished(world, page):
    """Is it told that nothing remains?"""
    return world.store.write([page], done=page).last
