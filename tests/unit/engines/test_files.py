"""Paths, records, digests and locks of an engine."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from evalwindow.config import Pool
from evalwindow.engines.digests import model_digest
from evalwindow.engines.flock import FileLock
from evalwindow.engines.paths import EnginePaths, owned
from evalwindow.engines.record import EngineRecord, read_record
from evalwindow.errors import ConfigInvalid
from evalwindow.lanes.calibration import Calibration
from evalwindow.model import EngineInfo
from tests.faults.disks import limit_files


def test_a_socket_lies_under_home_where_its_path_is_short_enough() -> None:
    assert EnginePaths(home=Path("/srv/ew"), pool="warm").socket == Path("/srv/ew/engines/warm.sock")


@pytest.mark.parametrize("length", [60, 82, 83, 84, 200, 2000])
def test_no_socket_path_is_longer_than_the_kernel_takes(length: int) -> None:
    paths = EnginePaths(home=Path("/" + "h" * length), pool="warm")
    assert len(os.fsencode(paths.generation_socket(999_999))) < 108


def test_two_homes_never_share_a_short_folder() -> None:
    one, two = (EnginePaths(home=Path("/" + letter * 200), pool="warm").socket for letter in "ab")
    assert one != two


def test_a_folder_that_is_not_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigInvalid, match="does not belong to user"):
        owned(tmp_path / "link")


@pytest.mark.parametrize(
    "calibration",
    [None, Calibration(steps=((1, 0.01), (16, 0.02)), prefill_s=1e-5, kv_tokens=2048)],
    ids=["unmeasured", "measured"],
)
def test_a_record_comes_back_as_it_was_written(tmp_path: Path, calibration: Calibration | None) -> None:
    info = EngineInfo(engine="vllm", version="1", model_digest="d", details={"arguments": ["--x"]})
    record = EngineRecord(info=info, pid=7, started_at=1.5, ready_at=2.5, calibration=calibration)
    assert read_record(tmp_path / "warm.json") is None
    record.write(tmp_path / "warm.json")
    assert read_record(tmp_path / "warm.json") == record


def test_a_record_of_an_earlier_release_has_no_calibration(tmp_path: Path) -> None:
    fields = {"info": {"engine": "vllm", "version": "1", "model_digest": "d"}, "pid": 7}
    (tmp_path / "warm.json").write_text(json.dumps({**fields, "started_at": 1.5, "ready_at": 2.5}))
    record = read_record(tmp_path / "warm.json")
    assert record is not None and record.calibration is None


def test_the_model_digest_follows_content_and_not_the_folders_name(tmp_path: Path) -> None:
    def digest(folder: str, weights: bytes) -> str:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "model.safetensors").write_bytes(weights)
        return model_digest(Pool(model=str(tmp_path / folder)), name="warm", memory=tmp_path / "digests.json")

    assert digest("a", b"1") == digest("b", b"1")
    assert digest("a", b"1") != digest("a", b"22")


def test_a_file_that_changes_no_answer_changes_no_digest(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    pool, memory = Pool(model=str(tmp_path)), tmp_path / "memory.digests"
    before = model_digest(pool, name="warm", memory=memory)
    (tmp_path / "README.md").write_text("hello")
    assert model_digest(pool, name="warm", memory=memory) == before


def test_a_model_that_can_not_be_pinned_is_refused(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    with pytest.raises(ConfigInvalid, match=r"there is no folder '\./nowhere'"):
        model_digest(Pool(model="./nowhere"), name="warm", memory=memory)
    with pytest.raises(ConfigInvalid, match=r"pools\.warm\.revision: pin the commit"):
        model_digest(Pool(model="acme/llama"), name="warm", memory=memory)
    assert model_digest(Pool(model="acme/llama", revision="abc"), name="warm", memory=memory) == "hub:acme/llama@abc"


async def test_readers_share_a_lock_and_a_writer_waits_for_them(tmp_path: Path) -> None:
    one, two, writer = (FileLock(tmp_path / "lock") for _ in range(3))
    assert one.try_lock(shared=True)
    assert two.try_lock(shared=True)
    assert not writer.try_lock()
    waiting = asyncio.create_task(writer.lock())
    one.unlock()
    await asyncio.sleep(0.1)
    assert not waiting.done()
    two.unlock()
    await waiting
    assert not one.try_lock(shared=True)
    writer.unlock()
    assert one.try_lock()


def test_a_digest_that_there_is_no_room_to_remember_is_computed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.json").write_text("{}")
    pool, memory = Pool(model=str(tmp_path)), tmp_path / "memory.digests"
    limit_files(os.getpid(), 0)
    try:
        digest = model_digest(pool, name="warm", memory=memory)
    finally:
        limit_files(os.getpid(), -1)
    assert "read once more at the next start" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert model_digest(pool, name="warm", memory=memory) == digest
    assert memory.is_file()
