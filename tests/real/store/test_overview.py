import datetime as dt

import pytest

from evalwindow.model import EntryState, Purpose
from evalwindow.store.night_rows import NewEntry, NewNight
from evalwindow.store.overview import NightSuite
from tests.fixtures.results import mark_done, write_down
from tests.real.store.world import result


def _night(world, key, *, window="nightly", team="red", branch="main", entries=()):
    now = dt.datetime.now(dt.UTC)
    new = NewNight(key=key, window=window, team=team, branch=branch, starts_at=now, ends_at=now + dt.timedelta(hours=8))
    night = world.store.open_night(new)
    return night, world.store.plan(night.id, entries)


def _entry(model="base", *, suite="echo", purpose=Purpose.CANDIDATE):
    return NewEntry(suite=suite, model=model, purpose=purpose)


def _ran(world, entry, key, *, conclude=True, state=EntryState.STARTED, **fields):
    """A run of an entry."""
    run_id = world.admit(key, night_id=entry.night_id, **fields)
    world.store.set_entry(entry.id, state, run_id=run_id)
    return world.conclude(run_id) if conclude else run_id


def test_entries_come_by_night_in_their_order(world):
    first, entries = _night(world, "1", entries=[_entry("b"), _entry("a")])
    second, others = _night(world, "2", entries=[_entry()])
    empty, _ = _night(world, "3")
    found = world.store.entries_of([first.id, second.id, empty.id])
    assert found == {first.id: tuple(entries), second.id: tuple(others)}
    assert world.store.entries_of([]) == {}


def test_runs_come_by_id_and_unknown_ones_are_left_out(world):
    run_id = world.admit()
    assert world.store.runs_by_id([run_id, "none"]) == {run_id: world.store.run(run_id)}


def test_what_is_left_is_told_of_many_runs_as_of_one(world):
    half, done = world.admit("half", shards=[["s0", "s1"], ["s2"]]), world.conclude(world.admit("done"))
    claimed = world.claim(world.shard_ids(half)[0])
    mark_done(world.store, claimed)
    assert world.store.left_of([half, done]) == {half: (1, 3), done: (0, 2)}
    assert (world.store.left(half), world.store.left("none")) == ((1, 3), (0, 0))


def test_spent_seconds_are_told_of_many_nights_as_of_one(world):
    nights = []
    for number in range(2):
        night, [entry] = _night(world, str(number), entries=[_entry()])
        run_id = _ran(world, entry, f"run {number}", conclude=False)
        [claimed, _] = world.claim_all(run_id)
        samples = [result(f"s{each}") for each in range(number + 1)]
        write_down(world.store, run_id, claimed.id, claimed.token, samples)
        nights.append(night.id)
    spent = world.store.spent_of(nights)
    assert spent == {night: pytest.approx(world.store.spent(night)) for night in nights}
    assert [spent[night] for night in nights] == [pytest.approx(0.05), pytest.approx(0.1)]


def test_a_night_s_suites_are_listed_with_their_candidates_and_never_another_team_s(world):
    _night(world, "1", entries=[_entry("b"), _entry("a"), _entry("prod", purpose=Purpose.AA)])
    _night(world, "2", entries=[_entry("c")])
    _night(world, "3", team="blue", branch="release", entries=[_entry("d")])
    mine = NightSuite(suite="echo", branch="main", models=("a", "b", "c"))
    theirs = NightSuite(suite="echo", branch="release", models=("d",))
    assert world.store.night_suites() == [mine, theirs]
    assert world.store.night_suites(team="red") == [mine]
    assert world.store.night_suites(team="green") == []


def test_names_for_filters_are_those_of_the_team_s_runs(world):
    world.admit("1", model="b")
    world.admit("2", model="a")
    world.admit("3", model="c", team="blue")
    assert world.store.run_names() == (("echo",), ("a", "b", "c"))
    assert world.store.run_names(team="red") == (("echo",), ("a", "b"))


def test_the_latest_outcome_of_each_suite_s_dataset_is_found(world):
    for suite, key in (("echo", "1"), ("echo", "2"), ("other", "3")):
        world.store.put_dataset_report(key=key, suite=suite, digest=key, ok=True, document={"key": key})
    assert world.store.dataset_documents(["echo", "none"]) == {"echo": {"key": "2"}}


def test_the_run_before_is_the_window_s_latest_with_a_verdict_for_the_same_question(world):
    def ran(key, *, window="nightly", model="base", purpose=Purpose.CANDIDATE, **more):
        _, [entry] = _night(world, key, window=window, entries=[_entry(model, purpose=purpose)])
        return _ran(world, entry, f"run {key}", **more)

    first = ran("1")
    second = ran("2")
    ran("other window", window="weekly")
    ran("other model", model="other")
    ran("A/A", purpose=Purpose.AA)
    ran("unfinished", conclude=False)
    last = ran("3")
    assert world.store.run_before(last) == second
    assert world.store.run_before(second) == first
    assert world.store.run_before(first) is None
    assert world.store.run_before(world.admit("of no night")) is None


def test_a_later_night_that_stood_by_a_run_is_not_before_it(world):
    _, [entry] = _night(world, "1", entries=[_entry()])
    first = _ran(world, entry, "first")
    _, [entry] = _night(world, "2", entries=[_entry()])
    second = _ran(world, entry, "second")
    _, [entry] = _night(world, "3", entries=[_entry()])
    world.store.set_entry(entry.id, EntryState.UNCHANGED, run_id=second)
    assert world.store.run_before(second) == first


def test_runs_are_filtered_by_model_answer_and_whether_they_count(world):
    failed = world.conclude(world.admit("failed", model="failed"))
    night, [entry] = _night(world, "1", entries=[_entry("void")])
    void = _ran(world, entry, "void", model="void")
    world.store.settle(night.id, void="the A/A failed")
    waiting = world.admit("waiting")

    def ids(**wanted):
        return [run.id for run in world.store.runs(**wanted)]

    assert ids(model="void") == [void]
    assert ids(answer="fail") == [void, failed]
    assert ids(answer="fail", void=False) == [failed]
    assert ids(void=True) == [void]
    assert ids() == [waiting, void, failed]


def test_nights_are_a_team_s_own(world):
    mine, _ = _night(world, "1")
    theirs, _ = _night(world, "2", team="blue")
    assert [night.id for night in world.store.nights(team="red")] == [mine.id]
    assert [night.id for night in world.store.nights()] == [theirs.id, mine.id]
