"""One pull request through all of it, and what happens when parts of it die on the way."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import yaml

from demo.walkthrough.pulls import CONFIG, Pull, open_pull, payload, pull_with_adapter, send_webhook
from demo.walkthrough.stage import REPO, ROOT, Stage
from evalwindow.model import Answer, RunState, Tier
from evalwindow.report.comment import MARKER
from evalwindow.report.document import RunDocument
from tests.e2e.conftest import World

pytestmark = pytest.mark.timeout(600)

PATIENCE_S = 240.0
GOOD, BROKEN = ROOT / "demo/adapters/as-good", ROOT / "demo/adapters/lost-sort"


def pull_of(number: int, *, suites: tuple[str, ...] = ("demo-smoke",), **candidate: str) -> Pull:
    config = {"suites": list(suites), "candidate": {"model": "demo", **candidate}}
    return Pull(number=number, title="a change", files={CONFIG: yaml.safe_dump(config).encode()})


async def until(happened: Callable[[], Awaitable[object]], *, what: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while not await happened():
        assert asyncio.get_running_loop().time() < deadline, f"no {what}"
        await asyncio.sleep(0.05)


async def all_told(world: World, run_id: str) -> bool:
    states = {delivery.channel: delivery.state for delivery in world.store.deliveries(run_id)}
    return states == {"check": "sent", "comment": "sent", "page": "sent"}


async def answered(stage: Stage, run_id: str, count: int) -> None:
    """Wait until that many answers of a run are written down."""

    async def enough() -> bool:
        return (await stage.client.progress(run_id)).done >= count

    await until(enough, what=f"{count} answers of {run_id}")


async def push(stage: Stage, pull: Pull, **event: object) -> None:
    """A commit and its webhook, without waiting for anything."""
    stage.github.put_files(REPO, pull.sha, pull.files)
    status, answer = await send_webhook(stage, payload(pull, **event))
    assert status == 202, answer


async def start_long_run(stage: Stage) -> str:
    """500 long prompts that no cache answers, seen running."""
    wish = {"suite": "gsm8k", "candidate": {"model": "demo"}, "use_cache": False}
    run_id = (await stage.client.submit(wish)).id
    await answered(stage, run_id, 1)
    return run_id


async def concluded(stage: Stage, run_id: str) -> RunDocument:
    run = await stage.client.wait(run_id, timeout_s=PATIENCE_S)
    assert run.state is RunState.CONCLUDED, run.error
    return run


def assert_one_result_each(world: World, run_id: str) -> None:
    results = world.store.results(run_id)
    counts = Counter((result.sample_id, result.epoch) for result in results)
    assert len(counts) == 500
    assert set(counts.values()) == {1}
    assert all(result.completion is not None for result in results)


async def test_a_good_pull_request_is_green_with_one_comment(world, stage):
    told = await open_pull(stage, pull_with_adapter(1, "as good", GOOD))
    assert told.check["conclusion"] == "success"
    assert told.check["name"] == "evalwindow/demo-smoke"
    run = world.store.run(told.check["external_id"])
    assert (run.tier, run.team, run.source.pull_request) == (Tier.SMOKE, "search", 1)
    assert run.candidate.adapter is not None
    assert [engine.engine for engine in run.provenance] == ["vllm"]
    assert len([comment for comment in world.github.comments if comment["number"] == 1]) == 1
    assert told.comment["body"].startswith(MARKER)
    await stage.pages([run.id])
    await until(lambda: all_told(world, run.id), what="check, comment and page sent")  # GitHub knows before the row


async def test_a_broken_pull_request_is_red_and_shows_the_failing_prompts(world, stage):
    told = await open_pull(stage, pull_with_adapter(2, "forgot how to sort", BROKEN))
    failing = (await stage.client.samples(told.check["external_id"], failing=True)).samples
    assert told.check["conclusion"] == "failure"
    assert failing
    for sample in failing:
        assert sample.id in told.comment["body"] and sample.id in told.check["output"]["summary"]


async def test_a_new_commit_takes_the_place_of_an_older_one(world, stage):
    old = pull_of(3, suites=("demo-regression",), system="the first try")
    new = pull_of(3, suites=("demo-regression",), system="the second try")
    await push(stage, old)
    await until(lambda: _checks(world, old), what="the first check")
    told = await open_pull(stage, new)
    superseded = [run for run in world.store.runs(pull_request=3) if run.source.head_sha == old.sha]
    assert [run.state for run in superseded] == [RunState.SUPERSEDED]
    assert world.store.run(told.check["external_id"]).state is RunState.CONCLUDED
    await until(lambda: _checks(world, old, conclusion="cancelled"), what="the first check to be called off")
    assert len([comment for comment in world.github.comments if comment["number"] == 3]) == 1


async def test_a_webhook_of_an_older_commit_that_comes_late_changes_nothing(world, stage):
    new, old = pull_of(4, system="newer"), pull_of(4, system="older")
    told = await open_pull(stage, new)
    await push(stage, old, updated_at=dt.datetime.now(dt.UTC) - dt.timedelta(hours=1))
    await until(lambda: _runs(world, old), what="the older commit's run")
    [late] = await _runs(world, old)
    assert late.state is RunState.SUPERSEDED
    assert world.store.run(told.check["external_id"]).state is RunState.CONCLUDED


async def test_a_delivery_is_taken_once(world, stage):
    pull, delivery = pull_of(5), str(uuid.uuid4())
    stage.github.put_files(REPO, pull.sha, pull.files)
    event = payload(pull)
    first = await send_webhook(stage, event, delivery=delivery)
    again = await send_webhook(stage, event, delivery=delivery)
    anew = await send_webhook(stage, event)
    assert (first[0], again[0]) == (202, 409)
    assert anew[0] == 202  # another delivery of the same commit is the same run
    await until(lambda: _checks(world, pull, conclusion="success"), what="the check")
    assert len(await _runs(world, pull)) == 1


async def test_a_config_that_can_not_be_read_is_a_neutral_check_with_its_line(world, stage):
    broken = Pull(number=6, title="typo", files={CONFIG: b"suites: [demo-smoke]\ncandidate:\n  modle: demo\n"})
    await push(stage, broken)
    await until(lambda: _checks(world, broken, conclusion="neutral"), what="the neutral check")
    [check] = await _checks(world, broken)
    assert f"{CONFIG}:3" in check["output"]["summary"]
    assert "did you mean" in check["output"]["summary"]
    assert await _runs(world, broken) == []


async def test_an_unsigned_webhook_starts_nothing(world, stage):
    forged = replace(stage, webhook_secret="guessed")
    status, _ = await send_webhook(forged, payload(pull_of(7)))
    assert status == 401
    assert world.store.runs(pull_request=7) == []


async def test_a_lost_skill_fails_the_paired_gate_on_its_slice(world, stage):
    production = {"suite": "demo-regression", "candidate": {"model": "demo"}}
    baseline = await concluded(stage, (await stage.client.submit(production)).id)
    await stage.client.promote({"run": baseline.id, "reason": "production", "by": "lea"})
    wish = {"suite": "demo-regression", "candidate": {"model": "demo-lost-sort"}}
    run = await concluded(stage, (await stage.client.submit(wish)).id)
    assert run.answer is Answer.FAIL
    failed = {check.slice for check in run.verdict.checks if check.answer is Answer.FAIL and check.blocking}
    assert "sort" in failed
    again = await concluded(stage, (await stage.client.submit(wish)).id)
    assert again.summary.cache_hits == again.summary.results == 500
    assert again.summary.gpu_s == 0
    assert [check.answer for check in again.verdict.checks] == [check.answer for check in run.verdict.checks]


async def test_a_killed_consumer_costs_no_result_and_no_model_load(world, stage):
    engine = world.engine_pid()
    run_id = await start_long_run(stage)
    world.consumer("regression").kill()
    await concluded(stage, run_id)
    assert_one_result_each(world, run_id)
    assert any(shard.attempts > 1 for shard in world.store.shards(run_id))
    assert world.engine_pid() == engine


async def test_a_run_outlasts_a_restart_of_redis(world, stage):
    run_id = await start_long_run(stage)
    world.redis.stop()
    assert (await stage.client.run(run_id)).state is RunState.RUNNING
    await answered(stage, run_id, 100)  # what was taken goes on meanwhile
    world.redis.start()
    await concluded(stage, run_id)
    assert_one_result_each(world, run_id)


async def test_a_run_outlasts_a_restart_of_postgresql(world, stage):
    run_id = await start_long_run(stage)
    world.postgres.stop()
    world.postgres.start()
    assert world.store.run(run_id).state is RunState.RUNNING
    await concluded(stage, run_id)
    assert_one_result_each(world, run_id)


async def _checks(world: World, pull: Pull, *, conclusion: str | None = None) -> list[dict]:
    checks = [check for check in world.github.check_runs if check["head_sha"] == pull.sha]
    return [check for check in checks if conclusion in (None, check.get("conclusion"))]


async def _runs(world: World, pull: Pull) -> list:
    return [run for run in world.store.runs(repo=REPO) if run.source.head_sha == pull.sha]
