"""Quotas against submissions and results that come at the same moment."""

import datetime as dt
from functools import partial

import pytest
from sqlalchemy import event, func, select, text, update

from evalwindow.config import Quota
from evalwindow.errors import NotFound, QuotaExceeded
from evalwindow.model import Completion, RunState, Source, Tier, Usage
from evalwindow.quota import period_end
from evalwindow.recorder import Page
from evalwindow.store import Store
from evalwindow.store.limit_tables import usage
from evalwindow.store.tables import result as result_table
from evalwindow.store.tables import run as run_table
from tests.fixtures.results import mark_done, write_down
from tests.real.store.nightly import now
from tests.real.store.world import at_once, result

FREE = Quota(smoke_runs=None, queued_samples=None)
THREE = Quota(smoke_runs=3)
DAY = dt.timedelta(days=1)


def smoke(world, key, *, quota=THREE, channels=(), **fields):
    return world.store.admit(world.new_run(key, tier=Tier.SMOKE, **fields), [["s0"]], channels, quota=quota)[0]


def regression(world, key, samples, *, quota, **fields):
    shards = [[f"s{number}"] for number in range(samples)]
    return world.store.admit(world.new_run(key, **fields), shards, quota=quota)[0]


def refused(call):
    with pytest.raises(QuotaExceeded) as caught:
        call()
    return caught.value


def used(world, team="red"):
    """(runs, refused) of all days."""
    with world.store._transaction() as connection:
        counts = select(func.sum(usage.c.runs), func.sum(usage.c.refused)).where(usage.c.team == team)
        return tuple(map(int, connection.execute(counts).one()))


def spend(world, *, gpu_s=0.0, cost=0.0, team="red"):
    """A result of a run of the team that took so much."""
    run_id = world.admit(f"spends {world.count('run')}", team=team)
    held = world.claim(world.shard_ids(run_id)[0])
    spent = Completion(text="yes", usage=Usage(gpu_s=gpu_s, cost=cost))
    write_down(world.store, run_id, held.id, held.token, [result(completion=spent)])
    return run_id


def test_of_many_submissions_at_once_no_more_than_the_quota_get_in(world):
    def one(number):
        try:
            return smoke(world, f"k{number}")
        except QuotaExceeded as error:
            return error

    answers = at_once(one, 16)
    assert sum(isinstance(answer, str) for answer in answers) == 3
    [said] = {str(answer) for answer in answers if isinstance(answer, QuotaExceeded)}
    assert said.startswith("team 'red' has 3 smoke runs that are not final; its quota is 3 (quota.smoke_runs)")
    assert used(world) == (3, 13)
    assert (world.count("run"), world.count("shard"), world.count("usage")) == (3, 3, 1)


def test_queued_samples_are_counted_together_with_those_that_come(world):
    quota = Quota(queued_samples=10)
    answers = at_once(lambda number: _or_refused(lambda: regression(world, f"k{number}", 4, quota=quota)), 8)
    assert sum(answer is not None for answer in answers) == 2
    assert world.store.standing("red", quota).queued_samples == 8
    assert regression(world, "small", 2, quota=quota)
    assert "10 samples of regression runs" in str(refused(lambda: regression(world, "one more", 1, quota=quota)))


def _or_refused(call):
    try:
        return call()
    except QuotaExceeded:
        return None


def test_what_is_answered_makes_room(world):
    quota = Quota(queued_samples=4)
    run_id = regression(world, "first", 4, quota=quota)
    refused(lambda: regression(world, "second", 1, quota=quota))
    held = world.claim(world.shard_ids(run_id)[0])
    mark_done(world.store, held)
    assert regression(world, "third", 1, quota=quota)
    world.store.cancel_run(run_id, "enough")
    assert regression(world, "fourth", 3, quota=quota)


def test_the_end_of_a_smoke_run_makes_room(world):
    first, *_ = [smoke(world, f"k{number}") for number in range(3)]
    refused(lambda: smoke(world, "k3"))
    world.conclude(first)
    assert smoke(world, "k4")


def test_the_same_key_again_is_never_refused_nor_counted(world):
    first, *_ = [smoke(world, f"k{number}") for number in range(3)]
    assert smoke(world, "k0") == first
    assert used(world) == (3, 0)


def test_a_refusal_leaves_nothing_behind_but_its_count(world):
    [smoke(world, f"k{number}") for number in range(3)]
    before = [world.count(table) for table in ("run", "shard", "delivery")]
    for _ in range(20):
        refused(lambda: smoke(world, "again", channels=["check"]))
    assert [world.count(table) for table in ("run", "shard", "delivery")] == before
    assert used(world) == (3, 20)
    assert world.count("usage") == 1


def test_another_team_and_the_other_tier_are_not_concerned(world):
    [smoke(world, f"k{number}") for number in range(3)]
    assert smoke(world, "theirs", team="blue")
    assert regression(world, "mine", 2, quota=THREE)


def test_a_new_commit_finds_the_room_of_the_run_that_it_supersedes(world):
    of_commit = lambda sha: Source(repo="acme/app", pull_request=7, head_sha=sha)  # noqa: E731
    one = Quota(smoke_runs=1)
    old = smoke(world, "old", quota=one, source=of_commit("aaa"))
    new = smoke(world, "new", quota=one, source=of_commit("bbb"))
    assert (world.store.run(old).state, world.store.run(new).state) == (RunState.SUPERSEDED, RunState.QUEUED)


def test_a_commit_that_is_refused_supersedes_the_older_one_all_the_same(world):
    of_commit = lambda sha: Source(repo="acme/app", pull_request=7, head_sha=sha)  # noqa: E731
    old = regression(world, "old", 2, quota=FREE, source=of_commit("aaa"))
    smoke(world, "another")
    refused(lambda: smoke(world, "new", quota=Quota(smoke_runs=1), source=of_commit("bbb")))
    assert world.store.run(old).state is RunState.SUPERSEDED


def test_a_commit_that_comes_late_needs_no_room(world):
    of_commit = lambda sha: Source(repo="acme/app", pull_request=7, head_sha=sha)  # noqa: E731
    smoke(world, "new", quota=Quota(smoke_runs=1), source=of_commit("bbb"), ordinal=2)
    late = smoke(world, "old", quota=Quota(smoke_runs=1), source=of_commit("aaa"), ordinal=1)
    assert world.store.run(late).state is RunState.SUPERSEDED


def test_a_night_that_does_not_exist_is_no_refusal(world):
    with pytest.raises(NotFound):
        smoke(world, "k", night_id="nope")
    assert world.count("usage") == 0


@pytest.mark.parametrize("quota", [Quota(gpu_minutes=1), Quota(api_cost=2)])
@pytest.mark.parametrize(
    "admit", [lambda world, **how: smoke(world, "k", **how), lambda world, **how: regression(world, "k", 1, **how)]
)
def test_over_a_period_s_limit_nothing_gets_in_until_it_ends(world, quota, admit):
    spend(world, gpu_s=40.0, cost=1.5)
    spend(world, gpu_s=40.0, cost=1.5, team="blue")
    assert world.store.spent_teams({"red": quota}) == {}
    spend(world, gpu_s=20.0, cost=0.5)
    error = refused(lambda: admit(world, quota=quota))
    end = period_end("day", now())
    assert abs(error.retry_after_s - (end - now()).total_seconds()) < 60 or now() > end - dt.timedelta(minutes=1)
    assert set(world.store.spent_teams({"red": quota, "blue": quota, "idle": quota})) == {"red"}
    yesterday(world)
    assert admit(world, quota=quota)
    assert world.store.spent_teams({"red": quota}) == {}


def yesterday(world):
    """All that was used until now was used the day before."""
    with world.store._transaction() as connection:
        connection.execute(update(usage).values(day=usage.c.day - 1))


def test_a_longer_period_remembers_its_days(world):
    spend(world, gpu_s=60.0)
    first = now().date().replace(day=1)
    with world.store._transaction() as connection:
        connection.execute(update(usage).values(day=first))
    month = Quota(gpu_minutes=1, period="month")
    assert set(world.store.spent_teams({"red": month})) == {"red"}
    with world.store._transaction() as connection:
        connection.execute(update(usage).values(day=first - DAY))
    assert world.store.spent_teams({"red": month}) == {}


def test_each_result_is_counted_once_whoever_else_writes_it(world):
    """Many writers of the same results of several runs of two teams, in any order, while others submit."""
    runs = [world.admit(f"k{number}", team=team) for number, team in enumerate(["red", "blue", "red", "blue"])]
    held = [world.claim(world.shard_ids(run_id)[0]) for run_id in runs]
    pages = [_page(each, [result(f"s{number}") for number in range(40)]) for each in held]

    def write(number):
        if number % 3 == 2:
            smoke(world, f"meanwhile {number}", quota=FREE, team=["red", "blue"][number % 2])
        mine = pages if number % 2 else pages[::-1]
        return world.store.write([_page(page, page.results[:: 1 if number % 4 else -1]) for page in mine]).added

    assert sum(at_once(write, 12)) == 4 * 40
    assert accounted(world) == {"blue": (80, pytest.approx(4.0)), "red": (80, pytest.approx(4.0))}
    assert accounted(world) == by_results(world)


def _page(held, results):
    return Page(
        run_id=held.run_id, shard_id=getattr(held, "shard_id", None) or held.id, token=held.token, results=results
    )


def accounted(world):
    """team -> (results, GPU-seconds) of the usage."""
    with world.store._transaction() as connection:
        sums = select(usage.c.team, func.sum(usage.c.results), func.sum(usage.c.gpu_s)).group_by(usage.c.team)
        return {team: (int(count), pytest.approx(gpu_s)) for team, count, gpu_s in connection.execute(sums)}


def by_results(world):
    """The same from the results themselves."""
    joined = result_table.join(run_table, run_table.c.id == result_table.c.run_id)
    sums = select(run_table.c.team, func.count(), func.sum(result_table.c.gpu_s)).select_from(joined)
    with world.store._transaction() as connection:
        rows = connection.execute(sums.group_by(run_table.c.team))
        return {team: (int(count), gpu_s) for team, count, gpu_s in rows}


def test_what_is_not_written_is_not_counted(world):
    run_id = world.admit()
    held = world.claim(world.shard_ids(run_id)[0])
    assert write_down(world.store, run_id, held.id, held.token, [result("s0")]) == 1
    assert write_down(world.store, run_id, held.id, held.token, [result("s0", text="late")]) == 0
    world.store.cancel_run(run_id, "enough")
    assert write_down(world.store, run_id, held.id, held.token, [result("s1")]) == 0
    assert accounted(world) == {"red": (1, pytest.approx(0.05))}


@pytest.mark.parametrize("zone", ["Etc/GMT+12", "Etc/GMT-14"])  # it is never the same day in both
def test_days_are_utc_s_whatever_the_session_says(world, database_url, zone):
    there = Store(database_url)
    event.listen(there._engine, "connect", lambda connection, _: _set_zone(connection, zone))
    run_id = world.admit()
    held = world.claim(world.shard_ids(run_id)[0])
    write_down(there, run_id, held.id, held.token, [result("s0")])
    there.count_refused("red")
    with there._transaction() as connection:
        assert connection.scalar(text("SHOW timezone")) == zone
        today = text("SELECT (now() AT TIME ZONE 'UTC')::date")
        assert list(connection.scalars(select(usage.c.day).distinct())) == [connection.scalar(today)]
    known = there.standing("red", FREE)
    there.close()
    assert (known.results, known.refused, known.gpu_s) == (1, 1, pytest.approx(0.05))
    assert known.at.utcoffset() is not None


def _set_zone(connection, zone):
    connection.execute(f"SET timezone TO '{zone}'")
    connection.commit()


def test_regression_shards_of_held_teams_wait_and_others_go_on(world):
    mine, theirs = world.admit("mine"), world.admit("theirs", team="blue")
    top_up = lambda held: world.store.top_up("warm", Tier.REGRESSION, 10, held=held)  # noqa: E731
    assert top_up({"red"}) == world.shard_ids(theirs)
    assert top_up(()) == world.shard_ids(mine)


def test_the_agenda_knows_when_a_held_team_goes_on(world):
    world.admit("mine")
    agenda = lambda held: world.store.agenda(dispatched_older_than_s=30.0, held=held).shards  # noqa: E731
    assert agenda({}) <= 0
    assert 3500 < agenda({"red": now() + dt.timedelta(hours=1), "idle": now() + DAY}) <= 3600
    assert agenda({"blue": now() + DAY}) <= 0
    smoke(world, "smoke", quota=FREE)
    assert agenda({"red": now() + DAY}) <= 0  # smoke that was admitted is not held


def test_a_look_at_the_quota_refuses_and_counts_as_admission_would_and_lets_a_known_key_through(world):
    quota = Quota(smoke_runs=1)
    look = partial(world.store.check_quota, team="red", quota=quota, tier=Tier.SMOKE, samples=2)
    look(key="first")
    world.admit("first", tier=Tier.SMOKE)
    look(key="first")
    with pytest.raises(QuotaExceeded, match="has 1 smoke run that is not final; its quota is 1"):
        look(key="second")
    world.store.check_quota(key="third", team="blue", quota=quota, tier=Tier.SMOKE, samples=2)
    assert world.store.standing("red", quota).refused == 1
