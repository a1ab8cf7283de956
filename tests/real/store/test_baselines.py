import pytest
from sqlalchemy import update

from evalwindow.errors import BadInput, Conflict, NotFound
from evalwindow.store.tables import run
from tests.real.store.world import at_once


def _promote(world, run_id, **more):
    return world.store.promote("echo", "main", run_id, "ann", "it is good", **more)


def test_a_promoted_run_is_the_baseline_of_its_suite_and_branch(world):
    run_id = world.conclude(world.admit())
    promoted = _promote(world, run_id)
    assert world.store.baseline("echo", "main") == promoted
    assert (promoted.run_id, promoted.promoted_by, promoted.reason) == (run_id, "ann", "it is good")
    assert world.store.baseline("echo", "release") is None


def test_promoting_another_run_retires_the_one_before(world):
    first, second = (world.conclude(world.admit(key)) for key in "ab")
    _promote(world, first)
    _promote(world, second)
    assert [each.run_id for each in world.store.baselines()] == [second]
    old = world.store.baselines(retired=True)[1]
    assert old.run_id == first
    assert old.retired_at is not None


def test_promoting_the_active_baseline_changes_nothing(world):
    run_id = world.conclude(world.admit())
    assert _promote(world, run_id) == _promote(world, run_id)
    assert world.count("baseline") == 1


def test_a_baseline_that_somebody_changed_meanwhile_is_a_conflict(world):
    first, second, third = (world.conclude(world.admit(key)) for key in "abc")
    _promote(world, first, expected=None)
    _promote(world, second, expected=first)
    with pytest.raises(Conflict, match=f"is {second}, not {first} as expected"):
        _promote(world, third, expected=first)
    with pytest.raises(Conflict, match=f"is {second}, not unset as expected"):
        _promote(world, third, expected=None)
    assert world.store.baseline("echo", "main").run_id == second


def test_of_many_promotions_that_expect_the_same_one_wins(world):
    first = world.conclude(world.admit("first"))
    others = [world.conclude(world.admit(f"k{number}")) for number in range(8)]
    _promote(world, first)

    def promote(number):
        try:
            return _promote(world, others[number], expected=first)
        except Conflict:
            return None

    [won] = [each for each in at_once(promote, 8) if each is not None]
    assert world.store.baseline("echo", "main") == won


def test_many_promotions_at_once_leave_one_active(world):
    runs = [world.conclude(world.admit(f"k{number}")) for number in range(8)]
    at_once(lambda number: _promote(world, runs[number]), 8)
    assert len(world.store.baselines()) == 1
    assert len(world.store.baselines(retired=True)) == 8


def test_only_a_concluded_run_of_the_suite_can_be_a_baseline(world):
    run_id = world.admit()
    with pytest.raises(BadInput, match="is queued; only a concluded run"):
        _promote(world, run_id)
    world.conclude(run_id)
    with pytest.raises(BadInput, match="is of suite 'echo'"):
        world.store.promote("other", "main", run_id, "ann", "why")
    with pytest.raises(NotFound, match="no run 'nope'"):
        _promote(world, "nope")


def test_a_void_run_can_not_be_promoted_and_the_reason_is_said(world):
    run_id = world.conclude(world.admit())
    with world.store._transaction() as connection:
        connection.execute(update(run).where(run.c.id == run_id).values(void="the A/A comparison failed"))
    with pytest.raises(BadInput, match=f"run {run_id} is void .*the A/A comparison failed"):
        _promote(world, run_id)
    assert world.store.baseline("echo", "main") is None
