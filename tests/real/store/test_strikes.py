"""Strikes: counted, taken back, proven, looked up with the cache, released by a person."""

import pytest

from evalwindow.errors import BadInput, NotFound
from evalwindow.model import Completion
from evalwindow.poison import ALONE_AT, PROVEN_PROMPTS, Standing, Suspect
from tests.fixtures.results import write_down
from tests.real.store.world import at_once, result

WHOLE = Suspect(key="c" * 64, suite="echo", sample_id="", model="m")


def suspect(number=0):
    return Suspect(key=f"{number:064x}", suite="echo", sample_id=f"s{number}", model="m")


def strike(store, given=None, *, proven=False, run_id="gone", error="it died"):
    given = given or suspect()
    return store.strike(given, whole=WHOLE, run_id=run_id, error=error, proven=proven)[given.key]


def standing(store, key):
    return store.look_up([key]).standings.get(key, Standing())


def test_strikes_are_counted_until_an_answer_takes_them_back(store):
    key = suspect().key
    assert [strike(store).strikes for _ in range(3)] == [1, 2, 3]
    assert (standing(store, key).alone, standing(store, key).quarantined) == (ALONE_AT <= 3, False)
    store.absolve([key])
    assert store.look_up([key]).standings == {}
    assert strike(store).strikes == 1


def test_who_is_proven_stays_so_until_somebody_releases_it(store):
    key = suspect().key
    strike(store, proven=True)
    strike(store)
    store.absolve([key])
    assert standing(store, key).quarantined
    assert store.end_quarantine(key[:12]).sample_id == "s0"
    assert store.look_up([key]).standings == {}
    assert store.quarantined() == []


def test_one_look_up_finds_answers_and_strikes_and_nothing_else(store):
    answer = Completion(text="7")
    store.write([], {"known": answer, suspect(1).key: answer})
    strike(store, suspect(1), proven=True)
    strike(store, suspect(2))
    keys = ["known", "unknown", suspect(1).key, suspect(2).key]
    found = store.look_up(keys)
    assert found.completions == {"known": answer, suspect(1).key: answer}
    assert {key: each.quarantined for key, each in found.standings.items()} == {
        suspect(1).key: True,
        suspect(2).key: False,
    }
    assert store.look_up(keys, completions=False).completions == {}


def test_too_many_proven_prompts_of_one_run_speak_against_its_candidate(store):
    for number in range(PROVEN_PROMPTS - 1):
        strike(store, suspect(number), proven=True, run_id="r")
    strike(store, suspect(98), proven=True, run_id="another")
    strike(store, suspect(99), run_id="r")
    assert not standing(store, WHOLE.key).quarantined
    strike(store, suspect(97), proven=True, run_id="r", error="the last one")
    assert standing(store, WHOLE.key).quarantined
    assert "the last one" in standing(store, WHOLE.key).error
    assert [row.sample_id for row in store.quarantined()].count("") == 1


def test_the_team_is_that_of_the_run(world):
    store, run = world.store, world.admit()
    strike(store, proven=True, run_id=run)
    [row] = store.quarantined(team="red")
    assert (row.run_id, row.strikes, row.error) == (run, 1, "it died")
    assert store.quarantined(team="nobody") == []


def test_none_is_lost_when_many_strike_at_once(store):
    at_once(lambda _: strike(store), times=8)
    assert standing(store, suspect().key).strikes == 8


def test_a_key_has_to_name_one(store):
    for number in (1, 2):
        strike(store, suspect(number), proven=True)
    with pytest.raises(BadInput, match="2 keys begin so"):
        store.end_quarantine("0" * 12)
    with pytest.raises(BadInput, match="first 8 characters"):
        store.end_quarantine("0" * 7)
    with pytest.raises(NotFound, match="quarantined prompt"):
        store.end_quarantine("f" * 12)


def test_a_result_keeps_that_it_was_not_asked(world):
    [held, _] = world.claim_all(world.admit())
    given = result("s0", completion=None, error="not asked", quarantined=True)
    write_down(world.store, held.run_id, held.id, held.token, [given, result("s1")])
    assert world.store.results(held.run_id) == [given, result("s1")]
