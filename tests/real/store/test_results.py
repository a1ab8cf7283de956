import math

import pytest

from evalwindow.model import Completion, RunState, Score, Usage
from evalwindow.recorder import Page
from evalwindow.store import Store
from tests.real.store.world import LEASE_S, OVER, at_once, result


def test_a_result_comes_back_as_it_was(world):
    [held, _] = world.claim_all(world.admit())
    given = [
        result("s0", 0),
        result("s0", 1, reask=True),
        result("s1", 0, completion=None, error="over-long prompt", scores={"exact": Score.unscored("refused")}),
        result("s2", 0, completion=Completion(text="", cached=True, finish_reason="length")),
    ]
    assert world.store.record(held.run_id, held.id, held.token, list(reversed(given))) == 4
    assert world.store.results(held.run_id) == given


def test_what_postgresql_refuses_in_an_answer_is_replaced_visibly(world):
    [held, _] = world.claim_all(world.admit())
    answer = result(
        "s0",
        text="a\x00b\ud800",
        scores={"exact\x00": Score(value=0.0, reason="\ud83d", answer="\x00")},
        error="\x00",
    )
    world.store.record(held.run_id, held.id, held.token, [answer])
    [kept] = world.store.results(held.run_id)
    assert kept.completion.text == "a␀b�"
    assert kept.scores == {"exact␀": Score(value=0.0, reason="�", answer="␀")}
    assert kept.error == "␀"


def test_impossible_choices_have_a_log_likelihood_of_minus_infinity(world):
    [held, _] = world.claim_all(world.admit())
    answer = result(completion=Completion(text="", choice_logprobs=(-math.inf, -1.0), choice_tokens=(1, 1)))
    world.store.record(held.run_id, held.id, held.token, [answer])
    assert world.store.results(held.run_id) == [answer]


def test_the_first_result_of_a_sample_and_epoch_stays(world):
    [held, _] = world.claim_all(world.admit())
    record = lambda *results: world.store.record(held.run_id, held.id, held.token, results)  # noqa: E731
    assert record(result("s0", text="first")) == 1
    assert record(result("s0", text="second"), result("s1")) == 1
    assert [each.completion.text for each in world.store.results(held.run_id)] == ["first", "yes"]


def test_many_writers_of_the_same_results_in_any_order_leave_each_once(world):
    [held, _] = world.claim_all(world.admit())
    batch = [result(f"s{number}", epoch) for number in range(200) for epoch in range(3)]
    orders = [batch, list(reversed(batch))]
    counts = at_once(lambda number: world.store.record(held.run_id, held.id, held.token, orders[number % 2]), 6)
    assert sum(counts) == len(batch) == len(world.store.results(held.run_id))


def test_an_answer_of_an_old_holder_is_welcome_while_the_run_is_open(world):
    [shard_id, _] = world.shard_ids(world.admit())
    dead, heir = world.claim(shard_id, lease_s=OVER), world.claim(shard_id)
    assert world.store.record(dead.run_id, shard_id, dead.token, [result("s0")]) == 1
    assert world.store.done(heir.run_id, heir.sample_ids) == {("s0", 0)}


def test_nothing_is_added_to_a_final_run(world):
    [held, _] = world.claim_all(world.admit())
    world.store.cancel_run(held.run_id, "enough")
    assert world.store.record(held.run_id, held.id, held.token, [result()]) == 0
    assert world.store.results(held.run_id) == []


def test_done_tells_only_of_the_samples_that_were_asked_for(world):
    run_id = world.admit()
    first, second = world.claim_all(run_id)
    world.store.record(run_id, first.id, first.token, [result("s0", 0), result("s0", 1)])
    world.store.record(run_id, second.id, second.token, [result("s1")])
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
    assert world.store.write_last(page) is False
    assert world.store.write_last(page) is False  # it is not held any more
    assert world.store.write_last(page_of(second, result("s1"))) is True
    assert len(world.store.results(first.run_id)) == 2


def test_an_old_holder_writes_its_results_and_ends_nothing(world):
    [shard_id, _] = world.shard_ids(world.admit())
    dead, heir = world.claim(shard_id, lease_s=OVER), world.claim(shard_id)
    assert world.store.write_last(page_of(dead, result("s0"))) is False
    assert world.store.done(heir.run_id, heir.sample_ids) == {("s0", 0)}
    assert world.store.renew({shard_id: heir.token}, LEASE_S) == {shard_id: "held"}


def test_nothing_ends_with_a_run_that_is_final(world):
    [held, _] = world.claim_all(world.admit())
    world.store.cancel_run(held.run_id, "enough")
    assert world.store.write_last(page_of(held, result("s0"))) is False
    assert world.store.results(held.run_id) == []
    assert world.store.run(held.run_id).state is RunState.CANCELLED


def test_pages_of_several_runs_are_written_at_once(world):
    held = [world.claim_all(world.admit(key))[0] for key in "ab"]
    assert world.store.write([page_of(each, result("s0")) for each in held]) == 2
    world.store.cancel_run(held[0].run_id, "enough")
    assert world.store.write([page_of(each, result("s1")) for each in held]) == 1


def page_of(held, *results):
    return Page(run_id=held.run_id, shard_id=held.id, token=held.token, results=results)
