"""A unit whose GPU has room for one engine, or for none."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from evalwindow.config import Config
from evalwindow.engines.flock import FileLock
from evalwindow.fit import check_fit, room_beside
from tests.real.engines.unit import POOL, READY_WITHIN_S, GpuUnit, gone

pytestmark = pytest.mark.timeout(1200)  # with two starts of an engine


def unit_on(folder: Path, *, gpu_gib: float, **pool: Any) -> GpuUnit:
    unit = GpuUnit(folder, pool={"gpu": "small", **pool})
    config = yaml.safe_load(unit.config_path.read_text())
    unit.config_path.write_text(yaml.safe_dump(config | {"gpus": {"small": {"memory_gib": gpu_gib}}}))
    return unit


def second_start(unit: GpuUnit) -> None:
    """Wait until the unit has started another engine, ready or not."""
    deadline = time.monotonic() + READY_WITHIN_S
    while unit.log.count("engine of pool warm: pid") < 2:
        assert time.monotonic() < deadline, unit.log
        time.sleep(0.05)


def await_words(unit: GpuUnit, words: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while words not in unit.log:
        assert time.monotonic() < deadline, unit.log
        time.sleep(0.05)


def test_an_engine_that_does_not_fit_is_refused_before_it_is_started(tmp_path: Path) -> None:
    unit = unit_on(tmp_path, gpu_gib=0.5)
    unit.start()
    assert unit.process is not None
    assert unit.process.wait(120) != 0
    assert "pool 'warm' does not fit small (0.50 GiB):" in unit.log
    assert "CUDA libraries" in unit.log
    assert not unit.paths.log.exists()  # no engine has said a word


def test_where_there_is_room_for_one_the_old_engine_ends_before_the_new_one_starts(tmp_path: Path) -> None:
    unit = unit_on(tmp_path, gpu_gib=2)
    config: Config = unit.config
    assert check_fit(config, POOL) is None
    assert not room_beside(config, POOL)
    neighbour = FileLock(unit.paths.gpu_lock("small"))
    unit.paths.folder.mkdir(parents=True, exist_ok=True)
    assert neighbour.try_lock()
    unit.start()
    try:
        await_words(unit, "engine of pool warm waits: another one is starting on GPU small")
        assert not unit.paths.log.exists()
        neighbour.unlock()
        old = psutil.Process(unit.wait_ready().pid)
        unit.signal(signal.SIGHUP)
        second_start(unit)
        assert gone([old], within_s=0.2)
        assert unit.wait_ready(but_not=old.pid).pid != old.pid
        too_large = yaml.safe_load(unit.config_path.read_text())
        too_large["gpus"]["small"]["memory_gib"] = 0.5
        unit.config_path.write_text(yaml.safe_dump(too_large))
        kept = unit.record
        unit.signal(signal.SIGHUP)
        await_words(unit, "the engine was not replaced: pool 'warm' does not fit")
        assert unit.record == kept
    finally:
        assert unit.stop() == 0
