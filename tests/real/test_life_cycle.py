"""An engine's life under its unit: rolled to another model, put to rest, woken, with its figures in SQL.

One story on two units of a pool, since each start of an engine takes its time.
"""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from evalwindow.embedded import Server
from evalwindow.engines.digests import model_digest
from evalwindow.lanes.client import GovernorClient
from evalwindow.lanes.hold import Ticket
from evalwindow.store import Store
from evalwindow.store.engine_rows import Rollout
from evalwindow.store.rows import EngineRow
from tests.real.engines.requests import ask
from tests.real.engines.tiny import write_model
from tests.real.engines.unit import POOL, GpuUnit

pytestmark = pytest.mark.timeout(1800)

NEW = {"model": "new-model", "calibrate": False}
PROMPT = ask("hello", max_tokens=16)


@pytest.fixture
def units(tmp_path: Path, database_url: str, redis: Server) -> Iterator[tuple[GpuUnit, GpuUnit]]:
    """Two hosts' units of one pool, with their consumers; each host has its own evalwindow.yaml and both models."""
    environment = {"EVALWINDOW_DATABASE_URL": database_url, "EVALWINDOW_REDIS_URL": redis.url}
    made = tuple(
        GpuUnit(tmp_path / name, pool={"calibrate": False}, arguments=(), environment=environment) for name in "ab"
    )
    for unit in made:
        write_model(unit.folder / "new-model", seed=12)
        unit.start()
    try:
        for unit in made:
            unit.wait_ready()
        yield made[0], made[1]
    finally:
        assert [unit.stop() for unit in made] == [0, 0]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[GpuUnit]:
    """A unit of its own; its engine has vLLM's endpoints for sleeping, which a CPU build has but has no use for."""
    environment = {"VLLM_SERVER_DEV_MODE": "1"}
    arguments = ("--engine-only", "--stop-first")
    unit = GpuUnit(tmp_path, pool={"calibrate": False}, arguments=arguments, environment=environment)
    yield unit
    if unit.process is not None and unit.process.poll() is None:
        unit.stop()


async def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives as soon as it is something."""
    while not (found := await asyncio.to_thread(condition)):
        await asyncio.sleep(0.2)
    return found


class Reader:
    """Asks one prompt again and again, as a consumer does: through the governor, then the engine."""

    def __init__(self, unit: GpuUnit) -> None:
        self._client = GovernorClient(unit.paths.governor, pool=POOL, retry=lambda call: call())
        self._engine = unit.engine(patience_s=0)
        self.texts: defaultdict[str, set[str]] = defaultdict(set)  # by the digest of the model that answered
        self.gpu_s = 0.0
        self.answers = 0

    async def ask(self) -> None:
        async with self._client.hold("tiny", Ticket.of(PROMPT, team="search")) as hold:
            completion = await self._engine.complete(PROMPT)
            hold.used(completion.usage)
        assert hold.gpu_s is not None
        self.gpu_s += hold.gpu_s
        self.answers += 1
        self.texts[hold.engine].add(completion.text)

    @asynccontextmanager
    async def at_it(self) -> AsyncIterator[None]:
        """Inside the block it never stops asking; every prompt has to be answered."""
        ended = asyncio.Event()

        async def keep() -> None:
            while not ended.is_set():
                await self.ask()

        asking = asyncio.create_task(keep())
        yield
        ended.set()
        await asking

    async def aclose(self) -> None:
        self._client.close()
        await self._engine.aclose()


def engines(store: Store) -> list[EngineRow]:
    return store.engines(POOL)


def digest_in(unit: GpuUnit, folder: str) -> str:
    pool = unit.config.pools[POOL].model_copy(update={"model": str(unit.folder / folder)})
    return model_digest(pool, name=POOL, memory=unit.folder / "digests.json")


async def test_a_pool_is_rolled_halted_put_to_rest_and_woken(units: tuple[GpuUnit, GpuUnit], store: Store) -> None:
    first, second = units
    old, new = digest_in(first, "model"), digest_in(first, "new-model")
    assert old != new
    await until(lambda: [row.state for row in engines(store)] == ["ready", "ready"])
    reader = Reader(first)

    # a new model goes through both units, one after another, while prompts are asked
    for unit in units:
        unit.write_config(NEW)
    asked = store.request_rollout(POOL, by="lea", reason="new weights")
    async with reader.at_it():
        done: Rollout = await until(lambda: _ended(store, asked.id))
        before = reader.answers
        await until(lambda: reader.answers > before + 3)
    assert (done.state, done.error) == ("done", None)
    assert [(step.state, step.model_digest) for step in done.steps] == [("done", new)] * 2
    one, other = done.steps
    assert one.ended_at is not None and one.ended_at <= other.started_at, "never both at once"
    assert [len(texts) for texts in reader.texts.values()] == [1, 1], (
        "each answer is of the model that it is filed under"
    )
    assert set(reader.texts) == {old, new}
    assert reader.texts[old] != reader.texts[new]
    rows = await until(lambda: _all(engines(store), lambda row: row.info is not None and row.info.model_digest == new))
    assert [row.generation for row in rows] == [2, 2]

    # a model that fails its canary stops at the first unit, which serves what it served
    for unit in units:
        unit.write_config({"calibrate": False, "canary": {"prompt": "2 + 2?", "expect": "four", "max_tokens": 4}})
    asked = store.request_rollout(POOL, by="lea", reason="wrong weights")
    halted: Rollout = await until(lambda: _ended(store, asked.id))
    assert halted.state == "halted"
    assert halted.error is not None and "wrong answer to the canary '2 + 2?': expected 'four'" in halted.error
    assert [step.state for step in halted.steps] == ["failed"]
    await reader.ask()
    assert len(reader.texts[new]) == 1
    assert [(row.state, row.generation, row.info.model_digest) for row in engines(store) if row.info] == [
        ("ready", 2, new),
        ("ready", 2, new),
    ]

    # what engines did is told with their signs of life, and adds up
    mine = await until(lambda: _with_prompts(engines(store), reader.answers))
    lane = mine.load.lanes["regression"]
    assert lane.gpu_s == pytest.approx(reader.gpu_s, rel=1e-6)
    assert mine.load.busy_s == pytest.approx(sum(lane.gpu_s for lane in mine.load.lanes.values()) + mine.load.lost_s)
    assert mine.load.kv_usage is not None and mine.load.preemptions == 0
    assert mine.load.busy_share is not None and mine.load.output_tokens_s is not None

    # both rest when nobody asks; consumers and records stay
    keep = {"idle_minutes": 0.01, "rest": "stop"}
    first.write_config({**NEW, "keep_warm": keep})
    second.write_config({**NEW, "keep_warm": {**keep, "rest": "sleep"}})  # which its engine can't
    await until(lambda: [row.state for row in engines(store)] == ["resting", "resting"])
    await until(lambda: not first.paths.processes() and not second.paths.processes())
    assert "does not fall asleep, so it is stopped" in second.log
    record = first.record
    assert record is not None and record.resting and record.info.model_digest == new
    assert [row.info.model_digest for row in engines(store) if row.info] == [new, new]
    assert (await reader_info(first)).model_digest == new

    # the first prompt wakes the one that it is for
    first.write_config({**NEW, "keep_warm": {"idle_minutes": 600, "rest": "stop"}})  # awake for good
    await reader.ask()
    assert len(reader.texts[new]) == 1
    woken = await until(lambda: [row for row in engines(store) if row.state == "ready"])
    assert [row.worker for row in woken] == [mine.worker]
    assert woken[0].generation > 2
    assert not first.record.resting
    assert sorted(row.state for row in engines(store)) == ["ready", "resting"]
    await reader.aclose()


async def reader_info(unit: GpuUnit) -> Any:
    engine = unit.engine()
    try:
        return await engine.info("tiny")
    finally:
        await engine.aclose()


def _ended(store: Store, rollout_id: str) -> Rollout | None:
    rollout = store.rollout(rollout_id)
    return None if rollout.open else rollout


def _all(rows: list[EngineRow], condition: Callable[[EngineRow], bool]) -> list[EngineRow]:
    return rows if rows and all(map(condition, rows)) else []


def _with_prompts(rows: list[EngineRow], count: int) -> EngineRow | None:
    """The engine that told of so many prompts, twice in one life, so that it knows rates."""
    loads = [(row, row.load) for row in rows if row.load is not None and row.load.output_tokens_s is not None]
    return next((row for row, load in loads if sum(lane.prompts for lane in load.lanes.values()) == count), None)


async def test_one_engine_at_a_time_goes_back_where_a_change_fails_and_sleeps_without_being_stopped(
    own: GpuUnit,
) -> None:
    own.start()
    old = own.wait_ready()
    own.write_config({"arguments": ["--no-such-flag"]})
    own.signal(signal.SIGHUP)
    new = await asyncio.to_thread(own.wait_ready, but_not=old.pid)
    assert "not replaced" in own.log
    assert new.info == old.info

    # asleep it holds its process, and the first prompt wakes it
    reader = Reader(own)
    await reader.ask()
    own.write_config({"calibrate": False, "keep_warm": {"idle_minutes": 0.01, "rest": "sleep"}})
    await until(lambda: own.record is not None and own.record.resting)
    await until(lambda: "fall asleep" in own.engine_log)
    own.write_config({"calibrate": False, "keep_warm": {"idle_minutes": 600, "rest": "sleep"}})  # awake for good
    await reader.ask()
    assert own.record is not None and not own.record.resting
    assert own.record.pid == new.pid
    assert "to wake up" in own.engine_log
    assert [len(texts) for texts in reader.texts.values()] == [1]
    await reader.aclose()
