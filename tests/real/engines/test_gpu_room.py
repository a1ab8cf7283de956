"""A unit whose GPU has room for one engine, or for none, and an engine that sleeps.

One story, since each start of an engine takes its time.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from evalwindow.engines.flock import FileLock
from evalwindow.fit import check_fit, room_beside
from tests.real.engines.reader import Reader
from tests.real.engines.unit import POOL, READY_WITHIN_S, GpuUnit, gone

pytestmark = pytest.mark.timeout(1200)  # with two starts of an engine


def unit_on(folder: Path, *, gpu_gib: float) -> GpuUnit:
    """Its engine has vLLM's endpoints for sleeping, which a CPU build has but has no use for."""
    pool = {"gpu": "small", "calibrate": False}
    return GpuUnit(folder, pool=pool, gpus={"small": gpu_gib}, environment={"VLLM_SERVER_DEV_MODE": "1"})


@pytest.fixture
def unit(tmp_path: Path) -> Iterator[GpuUnit]:
    """On a GPU with room for one engine; a neighbour is starting on it."""
    unit = unit_on(tmp_path, gpu_gib=2)
    yield unit
    if unit.process is not None:
        assert unit.stop() == 0


async def until(condition: Callable[[], object], unit: GpuUnit) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline, unit.log
        await asyncio.sleep(0.05)


def test_an_engine_that_does_not_fit_is_refused_before_it_is_started(tmp_path: Path) -> None:
    unit = unit_on(tmp_path, gpu_gib=0.5)
    unit.start()
    assert unit.process is not None
    assert unit.process.wait(120) != 0
    assert "pool 'warm' does not fit small (0.50 GiB):" in unit.log
    assert "CUDA libraries" in unit.log
    assert not unit.paths.log.exists()  # no engine has said a word


async def test_one_engine_at_a_time_goes_back_where_a_change_fails_and_sleeps_without_being_stopped(
    unit: GpuUnit,
) -> None:
    assert check_fit(unit.config, POOL) is None
    assert not room_beside(unit.config, POOL)
    neighbour = FileLock(unit.paths.gpu_lock("small"))
    unit.paths.folder.mkdir(parents=True, exist_ok=True)
    assert neighbour.try_lock()
    unit.start()
    await until(lambda: "engine of pool warm waits: another one is starting on GPU small" in unit.log, unit)
    assert not unit.paths.log.exists()
    neighbour.unlock()
    first = await asyncio.to_thread(unit.wait_ready)
    old = psutil.Process(first.pid)
    reader = Reader(unit)
    await reader.ask()

    # without room beside it the old engine ends before another one starts; when that fails, one like the old serves
    unit.write_config({"arguments": [*unit.config.pools[POOL].arguments, "--no-such-flag"]})
    unit.signal(signal.SIGHUP)
    await until(lambda: unit.log.count("engine of pool warm: pid") == 2, unit)
    assert gone([old], within_s=0.2)
    second = await asyncio.to_thread(unit.wait_ready, but_not=first.pid)
    assert "the engine was not replaced" in unit.log
    assert second.info == first.info

    # what never fits leaves the engine alone
    unit.gpus = {"small": 0.5}
    unit.write_config({})
    unit.signal(signal.SIGHUP)
    await until(lambda: "the engine was not replaced: pool 'warm' does not fit" in unit.log, unit)
    assert unit.record == second

    # asleep it holds its process, and the first prompt wakes it
    unit.gpus = {"small": 2}
    keep = {"idle_minutes": 0.01, "rest": "sleep"}
    unit.write_config({"keep_warm": keep})
    await until(lambda: unit.record is not None and unit.record.resting, unit)
    await until(lambda: "fall asleep" in unit.engine_log, unit)
    unit.write_config({"keep_warm": {**keep, "idle_minutes": 600}})  # awake for good
    await reader.ask()
    assert unit.record is not None and not unit.record.resting
    assert unit.record.pid == second.pid
    await until(lambda: "to wake up" in unit.engine_log, unit)
    assert [len(texts) for texts in reader.texts.values()] == [1]
    await reader.aclose()
