"""An engine's life under its unit: consumers that come and go, rolled to another model, put to rest, woken, with its
figures in SQL.

One story on two units of a pool, since each start of an engine takes its time.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evalwindow.embedded import Server
from evalwindow.engines.digests import model_digest
from evalwindow.store import Store
from evalwindow.store.engine_rows import EngineRow, Rollout
from tests.real.engines.reader import Reader
from tests.real.engines.tiny import write_model
from tests.real.engines.unit import POOL, GpuUnit, family, gone

pytestmark = pytest.mark.timeout(1800)

NEW = {"model": "new-model"}


@pytest.fixture
def units(tmp_path: Path, database_url: str, redis: Server) -> Iterator[tuple[GpuUnit, GpuUnit]]:
    """Two hosts' units of one pool, with their consumers; each host has its own evalwindow.yaml and both models.

    The second one never has two engines at once.
    """
    environment = {"EVALWINDOW_DATABASE_URL": database_url, "EVALWINDOW_REDIS_URL": redis.url}
    pool = {"calibrate": False}
    first = GpuUnit(tmp_path / "a", pool=pool, arguments=(), environment=environment)
    second = GpuUnit(tmp_path / "b", pool=pool, arguments=("--stop-first",), environment=environment)
    made = first, second
    for unit in made:
        write_model(unit.folder / "new-model", seed=12)
        unit.start()
    try:
        for unit in made:
            unit.wait_ready()
        yield made
    finally:
        for unit in made:
            unit.signal(signal.SIGCONT)
            unit.stop()


async def until(condition: Callable[[], Any]) -> Any:
    """What the condition gives as soon as it is something."""
    while not (found := await asyncio.to_thread(condition)):
        await asyncio.sleep(0.2)
    return found


def engines(store: Store) -> list[EngineRow]:
    return store.engines(POOL)


def digest_in(unit: GpuUnit, folder: str) -> str:
    pool = unit.config.pools[POOL].model_copy(update={"model": str(unit.folder / folder)})
    return model_digest(pool, name=POOL, memory=unit.folder / "digests.json")


async def test_a_pool_is_rolled_halted_put_to_rest_woken_and_killed(
    units: tuple[GpuUnit, GpuUnit], store: Store
) -> None:
    first, second = units
    assert second.process is not None
    of_second = f"{socket.gethostname()}:{second.process.pid}"
    old, new = digest_in(first, "model"), digest_in(first, "new-model")
    assert old != new
    await until(lambda: [row.state for row in engines(store)] == ["ready", "ready"])
    reader = Reader(first)
    await consumers_come_and_go(first)

    # a new model goes through both units, one after another, while prompts are asked
    for unit in units:
        unit.write_config(NEW)
    asked = store.request_rollout(POOL, by="lea", reason="new weights")
    async with reader.at_it():
        alone = await until(lambda: _has_none(store, of_second) or _ended(store, asked.id))
        assert alone is True, "the second unit ends its old engine before it starts the new one"
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

    # a model that fails its canary stops at the unit that tries it, which serves what it served
    second.signal(signal.SIGSTOP)  # so it is the first one's turn
    for unit in units:
        unit.write_config({"canary": {"prompt": "2 + 2?", "expect": "four", "max_tokens": 4}})
    asked = store.request_rollout(POOL, by="lea", reason="wrong weights")
    halted: Rollout = await until(lambda: _ended(store, asked.id))
    assert halted.state == "halted"
    assert halted.error is not None and "wrong answer to the canary '2 + 2?': expected 'four', got " in halted.error
    assert [step.state for step in halted.steps] == ["failed"]
    second.signal(signal.SIGCONT)
    assert len(first.paths.processes()) == 1, "nothing is left of the engine that was refused"
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

    # killed, a unit takes its engine and its consumers along; one that is ended gently has nothing left either
    assert first.process is not None
    everything = family(first.process.pid), family(second.process.pid)
    assert {tier for unit in units for tier in unit.consumers} == {"smoke", "regression"}
    first.kill()
    assert second.stop() == 0
    assert [gone(processes, within_s=60) for processes in everything] == [True, True]


async def consumers_come_and_go(unit: GpuUnit) -> None:
    """One is killed, then both are renewed; the engine never notices."""
    engine = unit.wait_ready().pid
    await until(lambda: listening(unit) == 2)
    first = unit.consumers
    assert first.keys() == {"smoke", "regression"}

    first["smoke"].kill()
    await until(lambda: listening(unit) == 3)
    second = unit.consumers
    assert second["smoke"].pid != first["smoke"].pid
    assert second["regression"].pid == first["regression"].pid

    unit.signal(signal.SIGUSR1)  # new worker code
    await until(lambda: listening(unit) == 5)
    third = unit.consumers
    assert not {process.pid for process in third.values()} & {process.pid for process in second.values()}
    assert unit.wait_ready().pid == engine


def listening(unit: GpuUnit) -> int:
    """How often a consumer has said that it is ready."""
    return unit.log.count(" ready.")


async def reader_info(unit: GpuUnit) -> Any:
    engine = unit.engine()
    try:
        return await engine.info("tiny")
    finally:
        await engine.aclose()


def _ended(store: Store, rollout_id: str) -> Rollout | None:
    rollout = store.rollout(rollout_id)
    return None if rollout.open else rollout


def _has_none(store: Store, worker: str) -> bool:
    """Whether this unit is between two engines."""
    return any(row.worker == worker and row.state in ("draining", "starting") for row in engines(store))


def _all(rows: list[EngineRow], condition: Callable[[EngineRow], bool]) -> list[EngineRow]:
    return rows if rows and all(map(condition, rows)) else []


def _with_prompts(rows: list[EngineRow], count: int) -> EngineRow | None:
    """The engine that told of so many prompts, twice in one life, so that it knows rates."""
    loads = [(row, row.load) for row in rows if row.load is not None and row.load.output_tokens_s is not None]
    return next((row for row, load in loads if sum(lane.prompts for lane in load.lanes.values()) == count), None)
