"""Outages of engines and APIs, as long as you like: no attempt is lost, no run ends, one probe, then everybody."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.breakers import Phase, What
from evalwindow.config import ApiModel, Breaker, Breakers, Config, Lane, Lanes, Pool, Quota, Team, WarmModel
from evalwindow.embedded import Server
from evalwindow.errors import BreakerOpen
from evalwindow.model import Answer, Candidate, RunState, ShardState, Tier
from evalwindow.services import Services, build
from evalwindow.settings import Settings
from evalwindow.store.rows import RunRow
from tests.real.flaky import Flaky, flaky
from tests.unit.worlds import rows, write_suite
from workers.dispatcher import Dispatcher

MODEL = Path(__file__).parents[2] / "demo/models/baseline"
SAMPLES, SHARD = 40, 5
RULE = Breaker(failures=3, cooldown_s=600, longest_s=1000)
WAIT_S = 240


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Flaky]:
    async with flaky() as api:
        yield api


@pytest_asyncio.fixture
async def judge() -> AsyncIterator[Flaky]:
    async with flaky() as api:
        yield api


Make = Callable[..., Services]


@pytest_asyncio.fixture
async def make(
    tmp_path: Path, database_url: str, redis: Server, api: Flaky, judge: Flaky, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Make]:
    suites = tmp_path / "suites"
    suites.mkdir()
    write_suite(suites, rows(SAMPLES))
    write_suite(suites, rows(3, must_pass=True), suite="trip", tier="smoke")
    graded = {"type": "model_graded", "judge": "judge", "rubric": "Is {{ target }} right? A grade."}
    write_suite(suites, rows(SHARD), suite="graded", scorers=[graded])
    built: list[Services] = []

    def services(queue: Any = None, **config: Any) -> Services:
        models = {
            "big": ApiModel(engine="openai", base_url=api.url, model="big"),
            "judge": ApiModel(engine="openai", base_url=judge.url, model="judge"),
            "base": WarmModel(engine="vllm", pool="warm"),
        }
        fields = {
            "suites": suites,
            "models": models,
            "pools": {"warm": Pool(model=str(MODEL))},
            "teams": {"search": Team(), "ads": Team()},
            "lanes": Lanes(regression=Lane(slots=8, shard_size=SHARD, consumers=4)),
            "breakers": Breakers(engines=RULE, providers=RULE),
            **config,
        }
        settings = Settings(
            database_url=database_url, redis_url=redis.url, home=tmp_path, engine_patience_s=0.05, max_attempts=5
        )
        built.append(build(settings, config=Config(**fields), queue=queue))
        return built[-1]

    yield services
    for each in built:
        await each.aclose()


def wish(model: str = "big", suite: str = "echo", **fields: Any) -> Submission:
    return Submission(
        **{"key": f"{suite}:{model}", "team": "search", "suite": suite, **fields}, candidate=Candidate(model=model)
    )


async def submitted(services: Services, submission: Submission | None = None) -> RunRow:
    return await asyncio.to_thread(flow.submit, services, submission or wish())


async def all_at_once(services: Services, run: RunRow) -> None:
    """As consumers that hold a message of each of its shards."""
    await asyncio.gather(*(flow.run_shard(services, each.id) for each in services.store.shards(run.id)))


def due(services: Services) -> None:
    """The time of every breaker, and of what waits for it, has come."""
    with services.store._transaction() as connection:
        connection.execute(text("UPDATE breaker SET retry_at = clock_timestamp() WHERE state <> 'closed'"))
        connection.execute(text("UPDATE shard SET not_before = clock_timestamp() WHERE not_before IS NOT NULL"))


def phase(services: Services, breaker_id: str = "provider:big") -> Phase:
    row = services.store.breaker(breaker_id)
    return row.standing.phase if row else Phase.CLOSED


def told(services: Services) -> list[What]:
    return [event.what for event in reversed(services.store.breaker_events(100))]


@pytest.mark.parametrize("status", [500, 503, 429, 0])
async def test_an_outage_of_an_api_costs_no_attempt_and_ends_no_run(make: Make, api: Flaky, status: int) -> None:
    services = make()
    run = await submitted(services)
    api.status = status
    for _ in range(12):  # more than twice as often as a shard may fail
        await all_at_once(services, run)
        due(services)
    shards = services.store.shards(run.id)
    assert {(each.state, each.attempts) for each in shards} == {(ShardState.PENDING, 0)}
    assert services.store.run(run.id).state is RunState.RUNNING
    assert (phase(services), told(services)) == (Phase.OPEN, [What.OPENED])

    api.status = 200
    for _ in range(2):  # the probe, then everybody
        await all_at_once(services, run)
    run = services.store.run(run.id)
    assert (run.state, run.summary and run.summary.results) == (RunState.CONCLUDED, SAMPLES)
    assert (phase(services), told(services)) == (Phase.CLOSED, [What.OPENED, What.CLOSED])
    assert sorted(api.prompts(200)) == sorted(f"say {n}" for n in range(SAMPLES))  # each answered once


async def test_while_it_is_open_nobody_asks_and_then_one_shard_does(make: Make, api: Flaky) -> None:
    services = make(lanes=Lanes(regression=Lane(slots=8, shard_size=1)))  # one prompt each: whoever fails, has ended
    run = await submitted(services)
    api.status = 500
    await all_at_once(services, run)
    assert phase(services) is Phase.OPEN
    api.asked.clear()
    await all_at_once(services, run)
    assert api.asked == []
    for _ in range(3):
        due(services)
        api.asked.clear()
        await all_at_once(services, run)
        assert len(set(api.prompts())) == 1


async def test_shards_wait_until_the_breaker_lets_them_and_the_dispatcher_sends_none(make: Make, api: Flaky) -> None:
    services = make()
    run = await submitted(services)
    api.status = 500
    await all_at_once(services, run)
    assert services.store.top_up("api", Tier.REGRESSION, 100) == []
    agenda = services.store.agenda(dispatched_older_than_s=20)
    assert agenda.shards is not None and agenda.shards > 500
    services.breakers.reset("provider:big", by="lea", reason="they mended it")
    assert len(services.store.top_up("api", Tier.REGRESSION, 100)) == SAMPLES // SHARD


async def test_a_pause_that_the_api_asks_for_is_kept(make: Make, api: Flaky) -> None:
    services = make(breakers=Breakers(providers=Breaker(failures=1, cooldown_s=1, longest_s=5000)))
    run = await submitted(services)
    api.status, api.headers = 429, {"Retry-After": "3000"}
    await flow.run_shard(services, services.store.shards(run.id)[0].id)
    row = services.store.breaker("provider:big")
    assert row is not None and row.standing.retry_at is not None
    assert (row.standing.retry_at - dt.datetime.now(dt.UTC)).total_seconds() > 2900
    assert "429" in (row.standing.reason or "")


async def test_a_shard_that_fails_while_others_are_served_is_given_up_in_the_end(make: Make, api: Flaky) -> None:
    """One prompt that the API can't bear is no outage."""
    services = make(breakers=Breakers(providers=Breaker(failures=2)))
    run = await submitted(services)
    first, *others = services.store.shards(run.id)
    for other in others[: services.settings.max_attempts]:
        api.status = 500
        await flow.run_shard(services, first.id)
        api.status = 200
        await flow.run_shard(services, other.id)
    assert services.store.shards(run.id)[0].state is ShardState.FAILED
    assert told(services) == []


async def test_a_probe_that_is_stopped_before_it_tried_leaves_it_to_the_next(make: Make, api: Flaky) -> None:
    services = make()
    run = await submitted(services)
    api.status = 500
    await all_at_once(services, run)
    due(services)
    services.stopping.set()
    await flow.run_shard(services, services.store.shards(run.id)[0].id)
    services.stopping.clear()
    api.status = 200
    await all_at_once(services, run)
    await all_at_once(services, run)
    assert services.store.run(run.id).state is RunState.CONCLUDED


async def test_an_api_that_refuses_is_there(make: Make, api: Flaky) -> None:
    services = make()
    run = await submitted(services)
    api.status = 500
    await all_at_once(services, run)
    due(services)
    api.status = 400
    await all_at_once(services, run)
    await all_at_once(services, run)
    assert services.store.run(run.id).state is RunState.CONCLUDED
    assert told(services) == [What.OPENED, What.CLOSED]


async def test_an_engine_that_is_away_holds_its_pool_and_no_other(make: Make, api: Flaky) -> None:
    services = make()
    run = await submitted(services, wish("base"))
    for _ in range(8):
        await all_at_once(services, run)
        due(services)
    assert {(each.state, each.attempts) for each in services.store.shards(run.id)} == {(ShardState.PENDING, 0)}
    assert (phase(services, "pool:warm"), told(services)) == (Phase.OPEN, [What.OPENED])
    other = await submitted(services)
    await all_at_once(services, other)
    assert services.store.run(other.id).state is RunState.CONCLUDED


async def test_a_judge_that_is_away_is_waited_for(make: Make, api: Flaky, judge: Flaky) -> None:
    services = make()
    run = await submitted(services, wish(suite="graded"))
    judge.status = 500
    for _ in range(8):
        await all_at_once(services, run)
        due(services)
    assert phase(services, "provider:judge") is Phase.OPEN
    assert {(each.state, each.attempts) for each in services.store.shards(run.id)} == {(ShardState.PENDING, 0)}
    judge.status = 200
    await all_at_once(services, run)
    run = services.store.run(run.id)
    assert run.state is RunState.CONCLUDED and run.summary is not None and run.summary.unscored == 0
    assert told(services) == [What.OPENED, What.CLOSED]


class InProcess:
    """Shards are worked on by this process as soon as they are sent."""

    def __init__(self) -> None:
        self.services: Services | None = None
        self.loop = asyncio.get_running_loop()
        self.work: set[asyncio.Future[None]] = set()

    def send_shard(self, shard_id: str, pool: str, tier: Tier) -> bool:
        self.loop.call_soon_threadsafe(self._start, shard_id)
        return True

    def check(self) -> None:
        pass

    def _start(self, shard_id: str) -> None:
        assert self.services is not None
        task = asyncio.ensure_future(flow.run_shard(self.services, shard_id))
        self.work.add(task)
        task.add_done_callback(self.work.discard)


async def dispatched_to_its_end(services: Services, run: RunRow) -> None:
    dispatching = asyncio.create_task(Dispatcher(services).run())
    try:
        async with asyncio.timeout(WAIT_S):
            while not (await asyncio.to_thread(services.store.run, run.id)).state.final:
                await asyncio.sleep(0.05)
    finally:
        services.stopping.set()
        await dispatching


async def test_a_dispatcher_brings_a_run_through_an_outage_by_itself(make: Make, api: Flaky) -> None:
    """Openings, probes at their times, the close and what it wakes: by real time, as short as it may be."""
    queue = InProcess()
    rule = Breaker(failures=2, cooldown_s=0.05, longest_s=0.2)
    services = queue.services = make(queue, breakers=Breakers(providers=rule))
    api.away_for = 20
    run = await submitted(services)
    await dispatched_to_its_end(services, run)
    run = services.store.run(run.id)
    assert (run.state, run.answer) == (RunState.CONCLUDED, Answer.INCONCLUSIVE)  # there is no baseline
    assert run.summary is not None and run.summary.unscored == 0
    whats = told(services)
    assert whats and whats[::2] == [What.OPENED] * len(whats[::2]) and whats[1::2] == [What.CLOSED] * len(whats[1::2])


async def test_many_submissions_in_a_minute_are_refused_for_a_while_and_repetitions_are_not(make: Make) -> None:
    services = make(quota=Quota(submissions_per_minute=5))
    runs = [await submitted(services, wish(key=f"k{number}")) for number in range(5)]
    with pytest.raises(
        BreakerOpen, match=r"team 'search' has submitted too much .*more than 5 .* about 60 s"
    ) as refused:
        await submitted(services, wish(key="k5"))
    assert 50 < refused.value.retry_after_s <= 60
    assert (await submitted(services, wish(key="k0"))).id == runs[0].id
    await submitted(services, wish(team="ads", key="theirs"))
    assert len(services.store.runs()) == 6
    assert told(services) == [What.OPENED]


async def test_what_a_loop_got_in_waits_while_its_breaker_is_open_and_goes_on_by_itself(make: Make) -> None:
    queue = InProcess()
    rule = Breaker(failures=1, cooldown_s=2)
    services = queue.services = make(
        queue, quota=Quota(submissions_per_minute=1), breakers=Breakers(team_submissions=rule)
    )
    run = await submitted(services)
    with pytest.raises(BreakerOpen):
        await submitted(services, wish(key="again"))
    opened = services.store.breaker("team:search/submissions")
    assert opened is not None and opened.standing.retry_at is not None
    await dispatched_to_its_end(services, run)
    began = [shard.started_at for shard in services.store.shards(run.id)]
    assert all(at is not None and at >= opened.standing.retry_at for at in began)


async def test_a_windows_runs_are_not_counted(make: Make) -> None:
    services = make(quota=Quota(submissions_per_minute=1))
    services.breakers.check_team("search", counted=False)
    services.breakers.check_team("search", counted=False)
    assert services.store.breakers() == []


async def test_a_team_whose_runs_are_errors_is_stopped_and_one_run_finds_out(make: Make, api: Flaky) -> None:
    services = make(breakers=Breakers(team_errors=Breaker(failures=2, cooldown_s=300)))
    api.status = 400  # a request that can never work: each result is an error
    for number in range(2):
        await all_at_once(services, await submitted(services, wish(suite="trip", key=f"k{number}")))
    with pytest.raises(
        BreakerOpen, match=r"team 'search' has too many runs that are errors .*3 of 3 results"
    ) as refused:
        await submitted(services, wish(suite="trip", key="k2"))
    assert 290 < refused.value.retry_after_s <= 300
    due(services)
    probe = await submitted(services, wish(suite="trip", key="k3"))
    with pytest.raises(BreakerOpen):
        await submitted(services, wish(suite="trip", key="k4"))
    api.status = 200
    await all_at_once(services, probe)
    await submitted(services, wish(suite="trip", key="k5"))
    assert told(services) == [What.OPENED, What.CLOSED]


async def test_a_good_run_between_bad_ones_begins_the_count_anew(make: Make, api: Flaky) -> None:
    services = make(breakers=Breakers(team_errors=Breaker(failures=2)))
    for number, status in enumerate((400, 200, 400)):
        api.status = status
        await all_at_once(services, await submitted(services, wish(suite="trip", key=f"k{number}", use_cache=False)))
    row = services.store.breaker("team:search/errors")
    assert row is not None and row.standing.failures == 1
