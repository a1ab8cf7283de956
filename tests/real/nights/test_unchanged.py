"""What has not changed since it was judged is not run again, and says so."""

import asyncio
import datetime as dt
from dataclasses import replace

import pytest

from evalwindow import flow
from evalwindow.config import Config, Pool, Team, WarmModel, Window
from evalwindow.model import Completion, EngineInfo, EntryState, SampleResult, Score
from evalwindow.nights.opening import open_night
from evalwindow.nights.settling import settle
from evalwindow.nights.starting import start_entry
from evalwindow.report.night import gather_night
from evalwindow.services import build
from evalwindow.settings import Settings
from tests.fixtures.results import mark_done, write_down
from tests.unit.worlds import rows, write_suite

ENGINE = EngineInfo(engine="vllm", version="0.32.0", model_digest="abc", dtype="float32", max_num_seqs=64)


@pytest.fixture
def services(tmp_path, database_url, redis):
    """A warm model with an engine that lives; the test answers for it."""
    (tmp_path / "suites").mkdir()
    write_suite(tmp_path / "suites", rows(30))
    config = Config(
        suites=tmp_path / "suites",
        pools={"warm": Pool(model="none")},
        models={"base": WarmModel(engine="vllm", pool="warm")},
        teams={"search": Team()},
        windows={
            "nightly": Window(
                cron="0 22 * * *", duration_minutes=60, team="search", suites=("echo",), models=("base",), aa=False
            )
        },
    )
    settings = Settings(database_url=database_url, redis_url=redis.url, home=tmp_path)
    built = build(settings, config=config)
    built.store.heartbeat("warm", "host", ENGINE, "ready")
    yield built
    asyncio.run(built.aclose())


def night_of(services, key):
    now = dt.datetime.now(dt.UTC)
    return open_night(services, "nightly", key=key, starts_at=now, ends_at=now + dt.timedelta(hours=1))


def only_entry(services, night):
    (entry,) = services.store.entries(night.id)
    return entry


async def judged(services, key):
    """A night whose run has been answered, all right, and settled; its run's id."""
    night = night_of(services, key)
    run = start_entry(services, only_entry(services, night).id, owner="task").run
    for shard in services.store.shards(run.id):
        claimed = services.store.claim(shard.id, "test", 30.0)
        answers = map(answer, claimed.sample_ids)
        write_down(services.store, run.id, shard.id, claimed.token, answers)
        mark_done(services.store, claimed)
    await flow.conclude(services, run.id)
    settle(services, night.id)
    return run.id


def answer(sample_id):
    score = Score(value=1.0)
    return SampleResult(sample_id=sample_id, epoch=0, scores={"exact": score}, completion=Completion(text="right"))


async def test_a_second_night_stands_by_the_verdict_of_the_first(services):
    run_id = await judged(services, "one")
    second = night_of(services, "two")
    entry = only_entry(services, second)
    assert (entry.state, entry.run_id) == (EntryState.UNCHANGED, run_id)
    assert f"unchanged since run {run_id}" in entry.note
    assert start_entry(services, entry.id, owner="task").run is None
    assert settle(services, second.id).passed == ()  # nothing new that could be promoted
    line = gather_night(services.store, services.config, second.id, base_url="http://x").lines[0]
    assert line.word == "INCONCLUSIVE" and not line.changed
    assert len(services.store.runs()) == 1


@pytest.mark.parametrize(
    "news",
    [{"model_digest": "def"}, {"version": "0.33.0"}, {"dtype": "bfloat16"}, {"chat_template_digest": "new"}],
)
async def test_another_engine_is_a_change(services, news):
    await judged(services, "one")
    services.store.heartbeat("warm", "host", replace(ENGINE, **news), "ready")
    assert only_entry(services, night_of(services, "two")).state is EntryState.PLANNED


async def test_an_engine_of_another_size_is_none(services):
    await judged(services, "one")
    services.store.heartbeat("warm", "host", replace(ENGINE, max_num_seqs=128), "ready")
    assert only_entry(services, night_of(services, "two")).state is EntryState.UNCHANGED


async def test_another_suite_or_baseline_is_a_change(services):
    run_id = await judged(services, "one")
    services.store.promote("echo", "main", run_id, "ada", "first")
    assert only_entry(services, night_of(services, "two")).state is EntryState.PLANNED
    await judged(services, "three")
    write_suite(services.config.suites, rows(30), description="another question")
    assert only_entry(services, night_of(services, "four")).state is EntryState.PLANNED


async def test_nobody_stands_by_a_void_verdict(services):
    run_id = await judged(services, "one")
    night_id = services.store.run(run_id).night_id
    services.store.settle(night_id, void="the A/A comparison failed")
    assert only_entry(services, night_of(services, "two")).state is EntryState.PLANNED


async def test_without_an_engine_nobody_can_tell(services):
    await judged(services, "one")
    services.store.heartbeat("warm", "host", None, "stopped")
    assert only_entry(services, night_of(services, "two")).state is EntryState.PLANNED
