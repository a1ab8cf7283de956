"""A/A nights of the baselines that no window looks after."""

import datetime as dt

from evalwindow.model import EntryState, Purpose, RunState
from evalwindow.nights.settling import settle
from evalwindow.nights.starting import start_entry
from evalwindow.upkeep import open_aa, stale
from tests.real.upkeep.house import NIGHTLY


def aa(house, services=None, *, key="day 1"):
    now = dt.datetime.now(dt.UTC)
    return open_aa(
        services or house.services, key=key, starts_at=now, ends_at=now + dt.timedelta(hours=1), url="http://a"
    )


def test_a_baseline_that_no_window_runs_gets_a_night_of_its_own_and_is_judged(house):
    baseline = house.run(suite="other")
    house.promote(baseline)
    house.promote(house.run(suite="echo"))  # nightly looks after this one
    [night_id] = aa(house)
    night, [entry] = house.store.night(night_id), house.store.entries(night_id)
    assert (night.window, night.team, night.branch, night.url) == ("upkeep:search:main", "search", "main", "http://a")
    assert (entry.suite, entry.purpose, entry.baseline_run) == ("other", Purpose.AA, baseline)
    assert aa(house) == (night_id,)
    assert len(house.store.entries(night_id)) == 1
    started = start_entry(house.services, entry.id, owner="task 1")
    house.conclude(started.run.id, wrong=30)
    settled = settle(house.services, night_id)
    assert settled.void and "lost against itself" in settled.night.void
    assert house.store.run(baseline).void is None


def test_each_team_and_branch_has_a_night_and_a_window_without_a_a_covers_nothing(house):
    house.promote(house.run(suite="other"))
    house.promote(house.run(suite="other", branch="release"))
    house.promote(house.run(suite="echo", team="ads", branch="next"))
    house.promote(house.run(suite="echo"))
    nights = [house.store.night(night_id) for night_id in aa(house)]
    assert [(night.team, night.branch) for night in nights] == [
        ("ads", "next"),
        ("search", "main"),
        ("search", "release"),
    ]
    services = house.open(windows={"nightly": NIGHTLY.model_copy(update={"aa": False})})
    suites = [[entry.suite for entry in house.store.entries(night)] for night in aa(house, services, key="day 2")]
    assert suites == [["echo"], ["echo", "other"], ["other"]]


def over(house):
    """Every night so far is."""
    house.sql("UPDATE night SET ends_at = now() - interval '1 second'")
    house.sql("UPDATE run SET window_end = now() - interval '1 second' WHERE night_id IS NOT NULL")


def started(house, night_id):
    [entry] = house.store.entries(night_id)
    return start_entry(house.services, entry.id, owner="task 1")


def test_what_is_unfinished_goes_on_the_next_day_in_the_night_of_its_own_branch(house):
    for branch in ("main", "release"):
        house.promote(house.run(suite="other", branch=branch))
    runs = [started(house, night_id).run.id for night_id in aa(house)]
    over(house)
    again = [started(house, night_id) for night_id in aa(house, key="day 2")]
    assert [each.run.id for each in again] == runs
    assert {each.entry.state for each in again} == {EntryState.RESUMED}
    assert {house.store.run(run_id).state for run_id in runs} == {RunState.QUEUED}


def test_an_unfinished_one_is_no_trouble_until_another_run_is_promoted(house):
    house.promote(house.run(suite="other"))
    [night_id] = aa(house)
    run_id = started(house, night_id).run.id
    over(house)
    house.store.settle(night_id, void=None)
    house.sql("UPDATE run SET created_at = now() - interval '3 days' WHERE id = :id", id=run_id)
    assert stale(house.services).well
    house.promote(house.run(suite="other"))
    [trouble] = stale(house.services).troubles
    assert (trouble.kind, trouble.ids) == ("runs", (run_id,))
    assert "upkeep looks after its baseline" in trouble.text


def test_what_can_not_be_run_again_is_left_out_and_without_anything_there_is_no_night(house):
    assert aa(house) == ()
    recorded = house.admit(suite="other", model="recorded")
    house.promote(house.conclude(recorded))
    gone = house.run(suite="other", branch="release")
    house.promote(gone)
    (house.folder / "suites" / "other.yaml").unlink()
    assert aa(house) == ()
    assert house.store.nights() == []
    assert house.store.run(gone).state is RunState.CONCLUDED
