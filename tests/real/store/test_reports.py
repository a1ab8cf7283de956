import datetime as dt
from dataclasses import replace

import pytest
from sqlalchemy import update

from evalwindow.model import Answer, EntryState, Purpose, Source
from evalwindow.store import tables
from evalwindow.store.night_rows import NewEntry
from tests.fixtures.results import write_down
from tests.real.store.nightly import night_of
from tests.real.store.world import SUMMARY, VERDICT, result


def put(world, key, *, suite="echo", digest="d1", ok=True, **document):
    world.store.put_dataset_report(key=key, suite=suite, digest=digest, ok=ok, document={"key": key, **document})


def test_a_report_is_found_by_the_content_that_it_is_about(world):
    assert world.store.dataset_report("k") is None
    put(world, "k", rows=[1, 2], page="docs/index.html")
    assert world.store.dataset_report("k") == {"key": "k", "rows": [1, 2], "page": "docs/index.html"}
    put(world, "k", ok=False, rows=[3])
    assert world.store.dataset_report("k") == {"key": "k", "rows": [3]}
    assert world.count("dataset_report") == 1


def test_the_last_report_about_another_version_is_the_newest_of_the_suite(world):
    put(world, "first", digest="d1")
    put(world, "second", digest="d2")
    put(world, "third", digest="d3")
    put(world, "of another", suite="other", digest="d4")
    assert world.store.last_dataset_report("echo", other_than="d3")["key"] == "second"
    put(world, "first", digest="d1")  # checked again: the newest now
    assert world.store.last_dataset_report("echo", other_than="d3")["key"] == "first"
    assert world.store.last_dataset_report("other", other_than="d4") is None
    assert world.store.last_dataset_report("none", other_than="d4") is None


def ran(world, key, *, model="base", branch="main", purpose=Purpose.CANDIDATE, results=(), conclude=True, days=0):
    """A run that a night started; it was concluded so many days ago."""
    night = night_of(world, key)
    [entry] = world.store.plan(night.id, [NewEntry(suite="echo", model=model, purpose=purpose)])
    run_id = world.admit(key, model=model, source=Source(branch=branch), night_id=night.id)
    write_down(world.store, run_id, world.shard_ids(run_id)[0], 1, results)
    if conclude:
        world.conclude(run_id)
        then = dt.datetime.now(dt.UTC) - dt.timedelta(days=days)
        with world.store._transaction() as connection:
            connection.execute(update(tables.run).where(tables.run.c.id == run_id).values(concluded_at=then))
    world.store.set_entry(entry.id, EntryState.STARTED, run_id=run_id)
    return run_id


def line(world, **wanted):
    return [point.run_id for point in world.store.trend("echo", branch="main", **wanted)]


def test_a_trend_is_the_suites_concluded_runs_of_nights_oldest_first(world):
    yesterday = ran(world, "2", days=1)
    before = ran(world, "1", days=2)
    today = ran(world, "3")
    ran(world, "unfinished", conclude=False)
    ran(world, "elsewhere", branch="release")
    world.conclude(world.admit("by hand", source=Source(branch="main")))
    assert line(world) == [before, yesterday, today]
    assert line(world, limit=2) == [yesterday, today]
    assert world.store.trend("other", branch="main") == []


def test_a_trend_is_of_one_model_purpose_and_team(world):
    mine, other = ran(world, "1"), ran(world, "2", model="other")
    aa = ran(world, "3", purpose=Purpose.AA)
    assert line(world, model="base") == [mine]
    assert line(world, model="other") == [other]
    assert line(world, purpose=Purpose.AA) == [aa]
    assert line(world, team="red") == [mine, other]
    assert line(world, team="blue") == []


def test_an_answer_that_later_nights_stood_by_is_one_point(world):
    run_id = ran(world, "1")
    for key in ("2", "3"):
        [entry] = world.store.plan(night_of(world, key).id, [NewEntry(suite="echo", model="base")])
        world.store.set_entry(entry.id, EntryState.UNCHANGED, run_id=run_id)
    assert line(world) == [run_id]


def test_a_point_says_what_a_line_needs(world):
    slow = replace(result("s1"), latency_s=3.0)
    cached = replace(result("s2"), latency_s=0.0, completion=replace(result().completion, cached=True))
    refused = replace(result("s3"), latency_s=9.0, completion=None, error="too long")
    run_id = ran(world, "1", results=[result("s0"), slow, cached, refused])
    [point] = world.store.trend("echo", branch="main")
    run = world.store.run(run_id)
    assert (point.night_id, point.suite, point.model, point.purpose) == (
        run.night_id,
        "echo",
        "base",
        Purpose.CANDIDATE,
    )
    assert (point.at, point.answer, point.void) == (run.concluded_at, Answer.FAIL, False)
    assert (point.score, point.gpu_s, point.samples) == (0.5, 0.1, 2)
    assert point.latency_s == pytest.approx((0.4 + 3.0) / 2)  # the median of those that an engine answered
    assert point.flips == 0.0


def test_a_point_counts_the_share_of_pairs_that_changed_sides(world):
    night = night_of(world)
    [entry] = world.store.plan(night.id, [NewEntry(suite="echo", model="base")])
    run_id = world.admit(source=Source(branch="main"), night_id=night.id)
    [check] = VERDICT.checks
    elsewhere = replace(check, slice="sort", n=1, flips_down=1)
    verdict = replace(VERDICT, checks=(elsewhere, replace(check, n=20, flips_down=3, flips_up=2)))
    world.store.conclude(run_id, replace(SUMMARY, slices=()), verdict)
    world.store.set_entry(entry.id, EntryState.STARTED, run_id=run_id)
    [point] = world.store.trend("echo", branch="main")
    assert (point.flips, point.score, point.latency_s) == (0.25, None, None)


def test_a_void_point_is_marked(world):
    run_id = ran(world, "1")
    world.store.settle(world.store.run(run_id).night_id, void="A/A failed")
    [point] = world.store.trend("echo", branch="main")
    assert (point.void, point.answer) == (True, Answer.FAIL)


def test_a_run_without_a_comparison_has_no_flips(world):
    night = night_of(world)
    [entry] = world.store.plan(night.id, [NewEntry(suite="echo", model="base")])
    run_id = world.admit(source=Source(branch="main"), night_id=night.id)
    world.store.conclude(run_id, SUMMARY, replace(VERDICT, checks=()))
    world.store.set_entry(entry.id, EntryState.STARTED, run_id=run_id)
    assert world.store.trend("echo", branch="main")[0].flips is None
