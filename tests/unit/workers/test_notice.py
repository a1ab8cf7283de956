"""The engine's record on a disk that has no room for it, for a while."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from evalwindow.engines.record import EngineRecord, read_record
from evalwindow.model import EngineInfo
from tests.faults.disks import limit_files
from workers.notice import Notice

INFO = EngineInfo(engine="vllm", version="1", model_digest="old")
OLD = EngineRecord(info=INFO, pid=7, started_at=1.0, ready_at=2.0)
NEW = replace(OLD, info=replace(INFO, model_digest="new"), pid=8)


@contextmanager
def no_room() -> Iterator[None]:
    limit_files(os.getpid(), 0)
    try:
        yield
    finally:
        limit_files(os.getpid(), -1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "warm.json"


async def test_what_could_not_be_written_is_written_later_and_said_once(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.notice.AGAIN_S", 0.0)
    caplog.set_level(logging.INFO)
    notice = Notice(path)
    keeping = asyncio.create_task(notice.keep())
    with no_room():
        notice.put(NEW)
        for _ in range(20):
            await asyncio.sleep(0)
    assert not notice.up
    assert list(path.parent.iterdir()) == [], "no half record is left over"
    assert len(caplog.records) == 1
    while not notice.up:
        await asyncio.sleep(0)
    assert read_record(path) == NEW
    assert len(caplog.records) == 2
    keeping.cancel()


def test_the_record_of_an_engine_that_is_gone_does_not_stay(path: Path) -> None:
    notice = Notice(path)
    notice.put(OLD)
    with no_room():
        notice.put(NEW)
    assert (notice.up, read_record(path)) == (False, None)


def test_an_engine_whose_rest_can_not_be_told_is_known_all_the_same(path: Path) -> None:
    notice = Notice(path)
    notice.put(OLD)
    with no_room():
        notice.put(replace(OLD, resting=True))
    assert (notice.up, read_record(path)) == (True, OLD)
    notice.take_down()
    assert (notice.up, read_record(path)) == (False, None)
