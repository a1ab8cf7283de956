import datetime as dt

import pytest

from evalwindow.errors import BadInput, NotFound
from evalwindow.model import Candidate, RunState, ShardState, Source, Tier
from tests.real.store.world import at_once


def test_an_admitted_run_can_be_read_as_it_was_given(world):
    source = Source(repo="acme/app", pull_request=7, head_sha="abc", branch="main", url="https://example.test/7")
    candidate = Candidate(model="base", system="be \x00 brief", sampling={"temperature": 0.5})
    end = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    new = world.new_run(source=source, candidate=candidate, tier=Tier.SMOKE, ordinal=5, owner="night", window_end=end)
    run_id, created = world.store.admit(new, [["s0", "s1"], ["s2"]])
    run = world.store.run(run_id)
    assert created
    assert (run.source, run.tier, run.state, run.ordinal) == (source, Tier.SMOKE, RunState.QUEUED, 5)
    assert (run.owner, run.window_end, run.use_cache) == ("night", end, True)
    assert run.candidate == Candidate(model="base", system="be ␀ brief", sampling={"temperature": 0.5})
    shards = world.store.shards(run_id)
    assert [shard.sample_ids for shard in shards] == [("s0", "s1"), ("s2",)]
    assert {(shard.state, shard.team, shard.pool) for shard in shards} == {(ShardState.PENDING, "red", "warm")}


def test_the_same_key_is_the_same_run(world):
    first = world.store.admit(world.new_run("k"), [["s0"]], ["check"])
    again = world.store.admit(world.new_run("k", team="blue"), [["s0"], ["s1"]], ["check", "comment"])
    assert again == (first[0], False)
    assert len(world.store.shards(first[0])) == 1
    assert world.store.run(first[0]).team == "red"
    assert [delivery.channel for delivery in world.store.deliveries(first[0])] == ["check"]


def test_of_many_at_once_one_creates_the_run(world):
    answers = at_once(lambda _: world.store.admit(world.new_run("k"), [["s0"], ["s1"]]))
    assert len({run_id for run_id, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1
    assert world.count("shard") == 2


@pytest.mark.parametrize("shards", [[], [[]], [["s0"], []]])
def test_a_run_without_work_is_refused(world, shards):
    with pytest.raises(BadInput, match="'k' needs at least one shard"):
        world.store.admit(world.new_run("k"), shards)
    assert world.count("run") == 0


def test_a_new_commit_supersedes_the_unfinished_runs_of_older_ones(world):
    old = world.of_commit("aaa", channels=["check"])
    store = world.store
    claimed = world.claim(world.shard_ids(old)[0])
    store.sent(old, store.claim_delivery(30.0).channel, "check 1")
    new = world.of_commit("bbb")
    assert store.run(old).state is RunState.SUPERSEDED
    assert store.run(old).error == "superseded by commit bbb"
    assert {shard.state for shard in store.shards(old)} == {ShardState.CANCELLED}
    assert store.renew({claimed.id: claimed.token}, 30.0) == {claimed.id: "cancelled"}
    assert store.run(new).state is RunState.QUEUED
    [told] = store.deliveries(old)
    assert (told.state, told.external_id) == ("waiting", "check 1")


def test_a_superseded_run_without_a_check_gets_none(world):
    old = world.of_commit("aaa")
    world.of_commit("bbb")
    assert world.store.deliveries(old) == []


@pytest.mark.parametrize(
    "other",
    [
        {"source": Source(repo="acme/app", pull_request=8, head_sha="bbb")},
        {"source": Source(repo="acme/other", pull_request=7, head_sha="bbb")},
        {"source": Source(repo="acme/app", pull_request=7, head_sha="aaa")},  # another run of the same commit
        {"source": Source(repo="acme/app", head_sha="bbb")},
        {"source": Source()},
    ],
)
def test_nothing_else_supersedes(world, other):
    run_id = world.of_commit("aaa")
    world.admit("another", **other)
    assert world.store.run(run_id).state is RunState.QUEUED


def test_a_suite_that_the_new_commit_has_dropped_is_superseded_too(world):
    old = world.of_commit("aaa")
    world.admit("new", source=Source(repo="acme/app", pull_request=7, head_sha="bbb"), suite="other")
    assert world.store.run(old).state is RunState.SUPERSEDED


def test_a_concluded_run_stays_concluded_when_a_new_commit_comes(world):
    old = world.conclude(world.of_commit("aaa"))
    world.of_commit("bbb")
    assert world.store.run(old).state is RunState.CONCLUDED


def test_the_newer_commit_wins_when_webhooks_arrive_out_of_order(world):
    newer = world.of_commit("bbb", ordinal=2)
    older = world.of_commit("aaa", ordinal=1, channels=["check"])
    assert world.store.run(newer).state is RunState.QUEUED
    late = world.store.run(older)
    assert (late.state, late.error) == (RunState.SUPERSEDED, "a newer commit of the pull request came first")
    assert late.concluded_at is not None
    assert {shard.state for shard in world.store.shards(older)} == {ShardState.CANCELLED}
    assert [delivery.state for delivery in world.store.deliveries(older)] == ["waiting"]
    assert world.store.top_up("warm", Tier.REGRESSION, 10) == world.shard_ids(newer)


def test_a_late_commit_is_superseded_even_by_a_newer_one_that_is_concluded(world):
    world.conclude(world.of_commit("bbb", ordinal=2))
    assert world.store.run(world.of_commit("aaa", ordinal=1)).state is RunState.SUPERSEDED


def test_commits_with_equal_ordinals_follow_their_arrival(world):
    first = world.of_commit("aaa", ordinal=1)
    second = world.of_commit("bbb", ordinal=1)
    assert world.store.run(first).state is RunState.SUPERSEDED
    assert world.store.run(second).state is RunState.QUEUED


def test_of_many_commits_at_once_exactly_the_newest_stays_open(world):
    runs = at_once(lambda number: world.of_commit(f"sha {number}", ordinal=number), 12)
    still_open = [run_id for run_id in runs if not world.store.run(run_id).state.final]
    assert still_open == [runs[11]]


def test_runs_are_listed_newest_first_and_filtered(world):
    world.conclude(world.admit("one"))
    world.admit("two", team="blue")
    world.of_commit("aaa")
    keys = lambda **wanted: [run.key for run in world.store.runs(**wanted)]  # noqa: E731
    assert keys() == ["key of aaa", "two", "one"]
    assert keys(limit=1) == ["key of aaa"]
    assert keys(team="blue") == ["two"]
    assert keys(state=RunState.CONCLUDED) == ["one"]
    assert keys(repo="acme/app", pull_request=7, branch="main") == ["key of aaa"]
    assert keys(suite="other") == []
    assert keys(tier=Tier.SMOKE) == []
    second = world.store.runs(limit=2)[-1].id
    assert keys(before=second) == ["one"]


@pytest.mark.parametrize("run_id", ["nope", "with NUL \x00", "' OR 1=1 --"])
def test_an_unknown_run_is_not_found(store, run_id):
    with pytest.raises(NotFound, match="no run"):
        store.run(run_id)
