"""What is said before an engine is started."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from evalwindow.config import Config, Gpu, Pool, WarmModel
from evalwindow.fit import DoesNotFit
from tests.faults.disks import limit_files
from tests.unit.worlds import ROOT
from workers.enginehost import EngineFailed, EngineHost, EnginePlan, _check_room

BASELINE = str(ROOT / "demo/models/baseline")


def plan(home: Path, *, model: str = BASELINE, memory_gib: float = 24.0) -> EnginePlan:
    config = Config(
        gpus={"gpu0": Gpu(memory_gib=memory_gib)},
        pools={"warm": Pool(model=model, gpu="gpu0")},
        models={"base": WarmModel(engine="vllm", pool="warm")},
    )
    return EnginePlan.of("warm", config=config, home=home, read_at=time.time())


def test_a_pool_that_its_gpu_has_no_room_for_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFit, match="KV cache"):
        asyncio.run(EngineHost.launch(plan(tmp_path, memory_gib=0.01), generation=1))
    assert list(tmp_path.iterdir()) == []  # no log, no socket, no process


def test_a_pool_of_which_nobody_can_tell_is_started_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "model").mkdir()
    with caplog.at_level(logging.WARNING):
        _check_room(plan(tmp_path, model=str(tmp_path / "model")))
    assert "whether pool 'warm' fits gpu0 is not known" in caplog.text


def test_a_start_that_the_disk_has_no_room_for_begins_nothing(tmp_path: Path) -> None:
    made = plan(tmp_path)
    made.paths.make()
    before = sorted(tmp_path.rglob("*"))
    limit_files(os.getpid(), 4096)
    try:
        with pytest.raises(EngineFailed, match=r"engine of pool 'warm' can't be started: .*File too large"):
            asyncio.run(EngineHost.launch(made, generation=1))
    finally:
        limit_files(os.getpid(), -1)
    assert sorted(tmp_path.rglob("*")) == before
