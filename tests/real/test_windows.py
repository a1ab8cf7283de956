"""The end of a window, with real workers: prompts in the engine end, none starts, and the next night does the rest."""

import datetime as dt
import signal
from collections import Counter

import pytest

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.model import Candidate, Completion, EntryState, RunState, SampleResult, Score, ShardState, Usage
from evalwindow.report.headline import word_of
from evalwindow.store.night_rows import NewEntry, NewNight
from tests.fixtures.results import write_down
from tests.real.house import TEAM, ended, until

pytestmark = pytest.mark.timeout(600)

EVERY_PROMPT = sorted(f"say {number}" for number in range(40))
SLOTS = 8  # of the lane: two shards of five at once, two prompts wait


class Night:
    """A night with one entry, and its run."""

    def __init__(self, services, key="first", *, lasts_s=3600.0, **fields):
        self.services, self.store = services, services.store
        now = dt.datetime.now(dt.UTC)
        ends = now + dt.timedelta(seconds=lasts_s)
        new = NewNight(key=key, window="nightly", team=TEAM, branch="main", starts_at=now, ends_at=ends, **fields)
        self.night = self.store.open_night(new)
        [self.entry] = self.store.plan(self.night.id, [NewEntry(suite="echo", model="parrot")])
        self.run_id = None

    def begin(self):
        wish = Submission(
            key=self.night.key,
            team=TEAM,
            suite="echo",
            candidate=Candidate(model="parrot"),
            owner="task 1",
            night_id=self.night.id,
            window_end=self.night.ends_at,
        )
        self.run_id = flow.submit(self.services, wish).id
        self.store.set_entry(self.entry.id, EntryState.STARTED, run_id=self.run_id)
        return self

    def go_on_with(self, run_id):
        assert self.store.carry(run_id, self.night.id, "task 2")
        self.store.set_entry(self.entry.id, EntryState.RESUMED, run_id=run_id)
        self.run_id = run_id
        return self

    def close(self):
        assert self.store.close_night(self.night.id, "by hand")

    @property
    def run(self):
        return self.store.run(self.run_id)

    @property
    def recorded(self):
        return {result.sample_id for result in self.store.results(self.run_id)}

    def is_left(self):
        """Nobody has anything of it in hand any more."""
        return self.store.in_hand(self.run_id) == 0

    def check_kept(self):
        """Open, with all that was not done waiting for another night; nothing of it failed."""
        assert self.run.state is RunState.RUNNING
        assert word_of(self.run) == "Paused"
        shards = self.store.shards(self.run_id)
        assert {shard.state for shard in shards} <= {ShardState.PENDING, ShardState.DONE}
        assert {shard.attempts for shard in shards if shard.state is ShardState.PENDING} == {0}

    def check_done(self):
        until(lambda: self.run.state is RunState.CONCLUDED)
        results = [(result.sample_id, result.epoch) for result in self.store.results(self.run_id)]
        assert sorted(results) == sorted((f"s{number}", 0) for number in range(40))
        assert {result.scores["exact"].value for result in self.store.results(self.run_id)} == {1.0}


def heard(house):
    """How many shards' holders know that their window is over."""
    return house.said().count("its window is over")


def test_prompts_in_the_engine_end_no_other_starts_and_the_next_night_asks_only_the_rest(house, services):
    house.start("dispatcher")
    house.api.open.clear()
    house.start("consumer")
    first = Night(services).begin()
    until(lambda: len(house.api.asked) == SLOTS)
    first.close()
    until(lambda: heard(house) == 2)
    house.api.open.set()
    until(first.is_left)
    assert len(house.api.asked) == len(first.recorded) == SLOTS
    first.check_kept()
    second = Night(services, "second").go_on_with(first.run_id)
    second.check_done()
    assert sorted(house.api.asked) == EVERY_PROMPT  # each once, over both nights
    assert second.run.night_id == second.night.id


def test_workers_keep_to_the_end_by_their_own_clocks_when_nobody_tells_them(house, services):
    house.environ["EVALWINDOW_LEASE_S"] = "600"  # the first renewal would come long after this test
    house.start("dispatcher")
    house.api.open.clear()
    house.start("consumer")
    until(lambda: "ready." in house.said())
    first = Night(services, lasts_s=4.0).begin()
    until(lambda: dt.datetime.now(dt.UTC) > first.night.ends_at)
    house.api.open.set()
    until(first.is_left)
    assert len(house.api.asked) <= SLOTS
    assert len(first.recorded) == len(house.api.asked)
    assert heard(house) <= 1  # by the statement that wrote the other one's end: no prompt was left to start by then
    second = Night(services, "second").go_on_with(first.run_id)
    second.check_done()
    assert sorted(house.api.asked) == EVERY_PROMPT


def test_without_a_dispatcher_the_workers_obey_and_give_everything_back(house, services):
    dispatcher = house.start("dispatcher")
    house.api.open.clear()
    house.start("consumer")
    for engine in ("one", "two"):  # messages for two, and one consumer to take them
        services.store.heartbeat("api", engine, None, "ready")
    first = Night(services).begin()
    until(lambda: len(house.api.asked) == SLOTS and services.store.in_hand(first.run_id) == 4)
    ended(dispatcher, by=signal.SIGKILL)
    first.close()
    until(lambda: heard(house) == 2)
    house.api.open.set()
    until(first.is_left)  # also the two shards whose messages were on their way
    assert len(house.api.asked) == SLOTS
    first.check_kept()


def test_a_consumer_killed_at_the_windows_end_loses_nothing_and_its_heir_starts_nothing(house, services):
    house.start("dispatcher")
    house.api.first = 10
    house.api.open.clear()
    killed = house.start("consumer")
    first = Night(services).begin()
    until(lambda: len(house.api.asked) >= 15 and len(first.recorded) >= 5)  # at least one shard, and parts of two
    first.close()
    until(lambda: heard(house) == 2)
    ended(killed, by=signal.SIGKILL)
    asked_before, recorded = len(house.api.asked), first.recorded
    house.api.open.set()
    house.start("consumer")
    until(lambda: house.said().count("ready.") == 2)
    until(first.is_left)
    assert len(house.api.asked) == asked_before
    assert first.recorded == recorded
    first.check_kept()
    second = Night(services, "second").go_on_with(first.run_id)
    second.check_done()
    asked = Counter(house.api.asked)
    assert {asked[f"say {sample_id[1:]}"] for sample_id in recorded} == {1}
    assert sorted(asked) == EVERY_PROMPT


def test_a_night_that_spent_its_budget_closes_early_and_says_so_once(house, services):
    dispatchers = [house.start("dispatcher"), house.start("dispatcher")]
    house.api.open.clear()
    house.start("consumer")
    first = Night(services, budget_gpu_s=5.0).begin()
    richer = Night(services, "richer", budget_gpu_s=50.0).begin()
    until(lambda: len(house.api.asked) == SLOTS)
    spend(first, gpu_s=6.0)
    spend(richer, gpu_s=6.0)
    until(lambda: services.store.night(first.night.id).closed_at is not None)
    closed = services.store.night(first.night.id)
    assert closed.close_reason == "budget"
    assert closed.end < closed.ends_at
    house.api.open.set()
    richer.check_done()
    until(first.is_left)
    assert first.run.state is RunState.RUNNING
    assert word_of(first.run) == "Paused"
    for dispatcher in dispatchers:
        assert ended(dispatcher, by=signal.SIGTERM) == 0
    said = f"night {first.night.id} of nightly is closed: it used 6.0 GPU-seconds, its budget is 5.0"
    assert house.said().count(said) == house.said().count("its budget is") == 1
    assert services.store.night(richer.night.id).closed_at is None


def spend(night, *, gpu_s):
    """A result of the last sample that cost so much; an API's own cost no GPU."""
    last = night.store.shards(night.run_id)[-1]
    paid = Completion(text="39", usage=Usage(gpu_s=gpu_s))
    answer = SampleResult(sample_id="s39", epoch=0, scores={"exact": Score(value=1.0)}, completion=paid)
    assert write_down(night.store, night.run_id, last.id, 0, [answer]) == 1
