"""Dispatchers and consumers as processes over real servers: they die, the servers go away, and every run ends."""

import asyncio
import contextlib
import signal

import pytest
import redis as redis_client
from sqlalchemy import select

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.embedded import start_postgres, start_redis
from evalwindow.errors import Conflict
from evalwindow.model import Answer, Candidate, RunState, ShardState, Source, Tier
from evalwindow.queue import Queue, queue_name
from evalwindow.report.files import report_folder
from evalwindow.services import build
from evalwindow.settings import read_settings
from evalwindow.store import Store
from evalwindow.store.tables import event
from tests.fixtures.results import mark_done
from tests.real.house import REPO, TEAM, House, ended, late, until
from workers.dispatcher import Dispatcher

pytestmark = pytest.mark.timeout(600)

SAMPLES = [(f"s{number}", 0) for number in range(40)]


def submit(services, suite="echo", key="k", **fields):
    wish = Submission(key=key, team=TEAM, suite=suite, candidate=Candidate(model="parrot"), **fields)
    return flow.submit(services, wish).id


def waiting(redis, tier=Tier.REGRESSION):
    """Messages in the API pool's queue."""
    return redis_client.Redis.from_url(redis.url).llen(queue_name("api", tier))


def has_result_of_each_sample_once(store, run_id):
    results = [(result.sample_id, result.epoch) for result in store.results(run_id)]
    return sorted(results) == sorted(SAMPLES)


@contextlib.asynccontextmanager
async def dispatching(services):
    """A dispatcher in this process, until the block ends."""
    dispatcher = asyncio.create_task(Dispatcher(services).run())
    try:
        yield
    finally:
        services.stopping.set()
        await asyncio.wait_for(dispatcher, 60)


async def eventually(condition):
    await asyncio.to_thread(until, condition)


def test_a_regression_run_finds_its_way_to_its_verdict_and_page(house, services):
    house.start("dispatcher")
    house.start("consumer")
    run_id = submit(services)
    until(lambda: services.store.run(run_id).state is RunState.CONCLUDED)
    assert has_result_of_each_sample_once(services.store, run_id)
    assert services.store.run(run_id).answer is Answer.INCONCLUSIVE  # there is no baseline yet
    assert {result.scores["exact"].value for result in services.store.results(run_id)} == {1.0}
    until(lambda: [each.state for each in services.store.deliveries(run_id)] == ["sent"])


def test_a_smoke_run_needs_no_dispatcher_to_be_answered(house, services):
    house.start("consumer")
    run_id = submit(services, suite="trip")
    until(lambda: services.store.run(run_id).state is RunState.CONCLUDED)


def test_shards_of_a_killed_consumer_are_finished_by_the_next(house, services):
    house.environ["EVALWINDOW_LEASE_S"] = "120"  # longer than any pause of this machine: nobody else loses one
    house.start("dispatcher")
    house.api.open.clear()
    killed = house.start("consumer")
    run_id = submit(services)
    until(lambda: len(house.api.asked) > 3)
    ended(killed, by=signal.SIGKILL)
    house.api.open.set()
    late(services.store, "shard")
    house.start("consumer")
    until(lambda: services.store.run(run_id).state is RunState.CONCLUDED)
    assert has_result_of_each_sample_once(services.store, run_id)
    assert max(shard.attempts for shard in services.store.shards(run_id)) == 2


def test_a_consumer_that_is_told_to_stop_hands_its_shards_back_uncounted(house, services):
    house.start("dispatcher")
    house.api.open.clear()
    stopped = house.start("consumer")
    run_id = submit(services)
    until(lambda: len(house.api.asked) >= 8)  # all slots of the lane: two shards of five, two prompts wait
    stopped.send_signal(signal.SIGTERM)
    until(lambda: "Warm shutdown" in house.said())
    house.api.open.set()
    assert ended(stopped) == 0
    assert len(house.api.asked) == 8
    assert len(services.store.results(run_id)) == 8
    shards = services.store.shards(run_id)
    assert {shard.state for shard in shards} <= {ShardState.PENDING, ShardState.DISPATCHED, ShardState.DONE}
    assert {shard.attempts for shard in shards if shard.state is not ShardState.DONE} == {0}
    house.start("consumer")
    until(lambda: services.store.run(run_id).state is RunState.CONCLUDED)
    assert has_result_of_each_sample_once(services.store, run_id)
    assert len(house.api.asked) == len(SAMPLES)  # nothing was asked twice


def test_two_dispatchers_at_once_tell_everything_once(house, services):
    house.start("dispatcher")
    house.start("dispatcher")
    house.start("consumer")
    runs = [submit(services, key=f"k{number}") for number in range(3)]
    until(lambda: all(services.store.run(run_id).state is RunState.CONCLUDED for run_id in runs))
    until(lambda: all(services.store.deliveries(run_id)[0].state == "sent" for run_id in runs))
    for run_id in runs:
        assert has_result_of_each_sample_once(services.store, run_id)
        assert [(each.channel, each.attempts) for each in services.store.deliveries(run_id)] == [("page", 1)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_dispatcher_ends_cleanly_when_it_is_told_to(house, services, number):
    dispatcher = house.start("dispatcher")
    until(lambda: "dispatching" in house.said())
    assert ended(dispatcher, by=number) == 0
    assert "Traceback" not in house.said()


@pytest.mark.parametrize("kind", ["dispatcher", "consumer"])
def test_a_process_that_starts_without_its_database_says_which_and_what_to_do(house, kind):
    house.environ["EVALWINDOW_DATABASE_URL"] = "postgresql+psycopg://me@127.0.0.1:1/none"
    assert ended(house.start(kind)) != 0
    assert "PostgreSQL at 127.0.0.1:1 can't be reached" in house.said()
    assert "EVALWINDOW_DATABASE_URL" in house.said()
    assert "Traceback" not in house.said()


def test_a_consumer_without_a_broker_url_says_what_to_set(house):
    house.environ["EVALWINDOW_REDIS_URL"] = ""
    assert ended(house.start("consumer")) != 0
    assert "EVALWINDOW_REDIS_URL is not set" in house.said()


def test_everything_goes_on_when_a_database_that_was_away_is_back(tmp_path, api, redis, own_home):
    postgres = start_postgres(own_home, durable=False)
    store = Store(postgres.url)
    store.migrate()
    house = House(tmp_path, api=api, database_url=postgres.url, redis_url=redis.url)
    services = build(read_settings(house.environ))
    try:
        house.start("dispatcher")
        api.open.clear()
        house.start("consumer")
        run_id = submit(services)
        until(lambda: len(api.asked) > 3)
        postgres.stop()
        until(lambda: "agenda waits: PostgreSQL at" in house.said())
        api.open.set()
        until(lambda: "waiting: PostgreSQL at" in house.said())  # the consumer, with results in its hands
        postgres = start_postgres(own_home, durable=False)
        until(lambda: store.run(run_id).state is RunState.CONCLUDED)
        until(lambda: "agenda goes on" in house.said())
        assert has_result_of_each_sample_once(store, run_id)
        assert house.said().count("agenda waits") == 1
    finally:
        house.close()
        asyncio.run(services.aclose())
        store.close()
        postgres.stop()


def test_what_is_submitted_while_redis_is_away_runs_when_it_is_back(tmp_path, api, database_url, own_home):
    redis = start_redis(own_home)
    house = House(tmp_path, api=api, database_url=database_url, redis_url=redis.url)
    services = build(read_settings(house.environ))
    try:
        house.start("dispatcher")
        house.start("consumer")
        until(lambda: "ready." in house.said())
        redis.stop()
        runs = [submit(services), submit(services, suite="trip", key="smoke")]
        until(lambda: "waits for the dispatcher: Redis at 127.0.0.1" in house.said())
        redis = start_redis(own_home)
        until(lambda: all(services.store.run(run_id).state is RunState.CONCLUDED for run_id in runs))
    finally:
        house.close()
        asyncio.run(services.aclose())
        redis.stop()


async def test_a_queue_is_topped_up_to_what_can_be_worked_on(house, services, redis):
    for number in range(10):
        submit(services, key=f"k{number}")
    async with dispatching(services):
        await eventually(lambda: waiting(redis))
        for _ in range(3):
            await Dispatcher(services).dispatch()
        assert waiting(redis) == 2  # two consumers on one engine
        services.store.heartbeat("api", "one", None, "ready")
        services.store.heartbeat("api", "two", None, "ready")
        await eventually(lambda: waiting(redis) == 4)


@contextlib.asynccontextmanager
async def listening(services, monkeypatch):
    """A dispatcher that hears wake-ups and, but for them, would look next in an hour."""
    monkeypatch.setattr("workers.dispatcher.LOOK_S", 3600.0)
    dispatcher = Dispatcher(services)
    running = asyncio.create_task(dispatcher.run())
    try:
        await eventually(lambda: dispatcher._listener.listening)
        yield dispatcher
    finally:
        services.stopping.set()
        await asyncio.wait_for(running, 60)


def poisoned(services):
    """A run that only needs to be concluded."""
    run_id = submit(services)
    for shard in services.store.shards(run_id):
        services.store.fail_shard(shard.id, None, "poison")
    return run_id


async def test_what_is_told_is_done_without_a_look(house, services, redis, monkeypatch):
    async with listening(services, monkeypatch):
        await asyncio.to_thread(submit, services, key="other")
        await eventually(lambda: waiting(redis) == 2)
        await asyncio.to_thread(services.store.add_event, "d", "pull_request", somebodys_event())
        await eventually(lambda: event_states(services.store) == ["done"])
        run_id = await asyncio.to_thread(poisoned, services)
        await flow.conclude(services, run_id)
        await eventually(lambda: [each.state for each in services.store.deliveries(run_id)] == ["sent"])


async def test_what_is_to_be_tried_later_is_tried_then(house, services, monkeypatch):
    run_id = await asyncio.to_thread(poisoned, services)
    folder = report_folder(services.settings.home)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("where the pages' folder should be")
    async with listening(services, monkeypatch):
        await flow.conclude(services, run_id)
        await eventually(lambda: services.store.deliveries(run_id)[0].error)
        folder.unlink()
        await eventually(lambda: services.store.deliveries(run_id)[0].state == "sent")


async def test_a_lease_that_runs_out_is_noticed_without_a_look(house, services, monkeypatch):
    run_id = await asyncio.to_thread(submit, services)
    shard = services.store.shards(run_id)[0]
    assert services.store.claim(shard.id, "dead", 5.0) is not None
    async with listening(services, monkeypatch):  # its first look sees when that will be
        await eventually(lambda: services.store.shards(run_id)[0].state is not ShardState.RUNNING)
    assert services.store.shards(run_id)[0].error == "claimed 1 times and never finished; last by dead"


async def test_a_dispatcher_that_hears_nothing_looks_often(house, services, redis, monkeypatch):
    monkeypatch.setattr("workers.dispatcher.LOOK_S", 3600.0)
    monkeypatch.setattr("evalwindow.store.listener._dsn", lambda store: "host=127.0.0.1 port=1 connect_timeout=1")
    async with dispatching(services):
        await asyncio.to_thread(submit, services)
        await eventually(lambda: waiting(redis) == 2)


async def test_messages_that_got_lost_are_sent_again(house, services, redis):
    submit(services)
    async with dispatching(services):
        await eventually(lambda: waiting(redis) == 2)
        redis_client.Redis.from_url(redis.url).flushall()
        await eventually(lambda: waiting(redis) == 2)


async def test_a_run_that_nobody_concluded_is_concluded(house, services):
    run_id = submit(services)
    for shard in services.store.shards(run_id):
        claimed = services.store.claim(shard.id, "dead", 30.0)
        mark_done(services.store, claimed)
    async with dispatching(services):
        await eventually(lambda: services.store.run(run_id).state is RunState.CONCLUDED)


async def test_a_run_that_can_not_be_concluded_fails_with_its_reason(house, services):
    run_id = submit(services)
    for shard in services.store.shards(run_id):
        services.store.fail_shard(shard.id, None, "poison")
    with services.store._transaction() as connection:  # as if a later version could not read it
        connection.exec_driver_sql("UPDATE suite_version SET document = '{}'")
    services.store._suites.clear()
    async with dispatching(services):
        await eventually(lambda: services.store.run(run_id).state is RunState.FAILED)
    assert "can't be read" in services.store.run(run_id).error


async def test_events_are_handled_and_those_of_nobody_are_closed(house, services):
    for delivery in "abc":
        services.store.add_event(delivery, "pull_request", somebodys_event())
    async with dispatching(services):
        await eventually(lambda: event_states(services.store) == ["done"] * 3)


def somebodys_event():
    tip = {"sha": "a" * 40, "ref": "main", "repo": {"full_name": "somebody/else"}}
    pull_request = {"number": 7, "updated_at": "2030-01-01T00:00:00Z", "head": tip, "base": tip}
    return {"action": "opened", "repository": tip["repo"], "pull_request": pull_request}


def event_states(store):
    with store._transaction() as connection:
        return connection.execute(select(event.c.state)).scalars().all()


def test_a_superseded_runs_check_is_told_by_the_dispatcher(house, services):
    house.start("dispatcher")
    commits = [Source(repo=REPO, pull_request=7, head_sha=sha) for sha in ("aaa", "bbb")]
    old, _ = (submit(services, key=source.head_sha, source=source) for source in commits)
    until(lambda: services.store.run(old).state is RunState.SUPERSEDED)
    until(lambda: [each.state for each in services.store.deliveries(old)] == ["sent"])


def test_sending_says_whether_the_broker_took_the_message(redis, own_home):
    gone = start_redis(own_home)
    queue = Queue(gone.url)
    assert queue.send_shard("a", "somewhere", Tier.SMOKE) is True
    queue.check()
    gone.stop()
    assert queue.send_shard("b", "somewhere", Tier.SMOKE) is False
    with pytest.raises(Exception, match=r"Redis at 127\.0\.0\.1:\d+ can't be reached .*EVALWINDOW_REDIS_URL") as caught:
        queue.check()
    assert gone.url.split(":")[2].split("@")[0] not in str(caught.value)  # the password
    back = start_redis(own_home)
    assert queue.send_shard("c", "somewhere", Tier.SMOKE) is True
    with contextlib.suppress(Conflict):
        back.stop()
