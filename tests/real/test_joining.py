"""Runs that ask the same, and teams that have used their quota: the use-cases and processes over real servers."""

import asyncio
import datetime as dt
from collections import Counter
from dataclasses import replace

import pytest
import redis as redis_client
from sqlalchemy import update

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Quota, Team
from evalwindow.engines.replay import ReplayEngine
from evalwindow.errors import QuotaExceeded
from evalwindow.model import Answer, Candidate, RunState, Tier
from evalwindow.queue import queue_name
from evalwindow.quota import period_end
from evalwindow.store.limit_tables import usage
from tests.real.house import TEAM, until
from workers.dispatcher import Dispatcher

pytestmark = pytest.mark.timeout(600)

SAMPLES = 40


class Counting(ReplayEngine):
    """Says what the prompts want, and counts them."""

    def __init__(self):
        super().__init__({(f"s{n}", epoch): str(n) for n in range(SAMPLES) for epoch in range(9)}, digest="right")
        self.asked = Counter()

    async def complete(self, request):
        self.asked[request.sample_id] += 1
        return await super().complete(request)


@pytest.fixture
def engine(services):
    engine = services._engines["model parrot"] = Counting()
    return engine


def submit(services, suite="echo", key="k", **fields):
    wish = Submission(key=key, team=TEAM, suite=suite, candidate=Candidate(model="parrot"), **fields)
    return flow.submit(services, wish).id


async def work(services, tier=Tier.REGRESSION, *, rounds=None):
    """Run what is sent, until nothing is."""
    while sent := services.store.top_up("api", tier, 100):
        for shard_id in sent[:rounds]:
            await flow.run_shard(services, shard_id)
        if rounds is not None:
            services.store.undispatch(sent[rounds:])
            return


async def test_a_joined_run_asks_nothing_and_has_a_verdict_of_its_own(services, engine):
    base = submit(services, key="base", use_cache=False)
    await work(services)
    engine.asked.clear()
    first, second = submit(services, key="a"), submit(services, key="b", baseline_run=base)
    assert services.store.run(second).joined_to == first
    await work(services)
    assert engine.asked == Counter({f"s{n}": 1 for n in range(SAMPLES)})
    first, second = services.store.run(first), services.store.run(second)
    assert (first.summary.cache_hits, second.summary.cache_hits) == (0, SAMPLES)
    assert (first.verdict.baseline_run, second.verdict.baseline_run) == (None, base)
    assert {check.kind for check in second.verdict.checks} > {check.kind for check in first.verdict.checks}


async def test_when_the_first_is_cancelled_the_joined_one_asks_what_is_left(services, engine):
    first, second, third = [submit(services, key=key) for key in "abc"]
    await work(services, rounds=3)
    services.store.cancel_run(first, "enough")
    assert sum(engine.asked.values()) == 15
    await work(services)
    assert engine.asked == Counter({f"s{n}": 1 for n in range(SAMPLES)})
    assert [services.store.run(each).summary.cache_hits for each in (second, third)] == [15, SAMPLES]


async def test_what_the_first_could_not_answer_is_asked_again(services, engine):
    first, second = submit(services, key="a"), submit(services, key="b")
    services.store.fail_shard(services.store.shards(first)[0].id, None, "poison")
    await work(services)
    assert services.store.run(first).state is RunState.CONCLUDED
    assert services.store.run(second).summary.cache_hits == SAMPLES - 5
    assert len(services.store.results(second)) == SAMPLES


def test_regression_and_smoke_that_are_asked_for_twice_are_answered_once(house, services):
    house.api.open.clear()
    house.start("dispatcher")
    house.start("consumer")
    suites = ("trip", "trip", "echo", "echo")
    runs = [submit(services, suite, key=f"k{number}") for number, suite in enumerate(suites)]
    joined = [services.store.run(run_id).joined_to for run_id in runs]
    assert joined == [None, runs[0], None, runs[2]]
    until(lambda: len(house.api.asked) >= 3)
    house.api.open.set()
    until(lambda: all(services.store.run(run_id).state is RunState.CONCLUDED for run_id in runs))
    hits = [services.store.run(run_id).summary.cache_hits for run_id in runs]
    assert (hits[1], hits[3]) == (3, SAMPLES)
    assert len(house.api.asked) == 3 + SAMPLES - hits[2]
    assert services.store.run(runs[1]).answer is Answer.PASS


def limited(services, **quota):
    """The same services in a house where the team has this quota."""
    teams = {TEAM: Team(repos=services.config.teams[TEAM].repos, quota=Quota(**quota))}
    return replace(services, config=services.config.model_copy(update={"teams": teams}))


def waiting(redis, tier=Tier.REGRESSION):
    return redis_client.Redis.from_url(redis.url).llen(queue_name("api", tier))


def spend(services, cost, *, days_ago=0):
    day = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=days_ago)
    with services.store._transaction() as connection:
        connection.execute(update(usage).values(cost=cost, day=day))


async def test_a_team_that_has_used_its_quota_waits_for_its_next_period(house, services, redis, caplog):
    services = limited(services, api_cost=5)
    run_id, _ = submit(services), submit(services, "trip", key="smoke")
    spend(services, 5.0)
    with pytest.raises(QuotaExceeded, match=r"spent 5\.00 on API models today"):
        submit(services, key="more")
    dispatcher = Dispatcher(services)
    with caplog.at_level("INFO"):
        for _ in range(3):
            await dispatcher.dispatch()
    assert waiting(redis) == 0
    assert waiting(redis, Tier.SMOKE) == 1  # it was admitted, and is sent at once
    assert caplog.text.count(f"team {TEAM} has used its quota: its regression runs wait until") == 1
    await dispatcher.look()
    left_s = (period_end("day", dt.datetime.now(dt.UTC)) - dt.datetime.now(dt.UTC)).total_seconds()
    alarm_s = dispatcher._bells["dispatch"]._alarm.when() - asyncio.get_running_loop().time()
    assert abs(left_s - alarm_s) < 60
    spend(services, 5.0, days_ago=1)
    await dispatcher.dispatch()
    assert waiting(redis) == 2
    assert submit(services, key="more") != run_id


async def test_what_is_in_a_worker_s_hands_goes_on_when_the_quota_is_used(services, engine):
    services = limited(services, api_cost=5)
    run_id = submit(services)
    sent = services.store.top_up("api", Tier.REGRESSION, 2)
    spend(services, 6.0)
    for shard_id in sent:
        await flow.run_shard(services, shard_id)
    assert len(services.store.results(run_id)) == 10
    assert services.store.top_up("api", Tier.REGRESSION, 10, held={TEAM}) == []
