"""`python -m benchmarks`: which parts run, with which options, and what it says where one can't be had."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import __main__ as command

ROOT = Path(__file__).parents[3]


def test_without_a_gpu_nothing_is_started_and_it_says_so(tmp_path: Path) -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TMPDIR": str(tmp_path)}
    line = [sys.executable, "-m", "benchmarks", "lanes", "gpu", "--size", "8b"]
    ended = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "lanes: No figure of a GPU can be had here" in ended.stderr
    assert "gpu: No figure of a GPU can be had here" in ended.stderr
    assert not list(tmp_path.glob("ewb-*"))  # no stage was set up


def test_a_part_gets_the_options_that_it_takes() -> None:
    seen: list[object] = []

    async def measure(size: str, *, rounds: int = 2, prompts: int = 500) -> None:
        seen.extend((size, rounds, prompts))

    part = ModuleType("part")
    part.measure = measure  # type: ignore[attr-defined]
    command._measure(part, "tiny", {"size": "tiny", "rounds": None, "prompts": 20, "smokes": 3})
    assert seen == ["tiny", 2, 20]


def test_one_size_for_all_that_have_one() -> None:
    assert command._sizes("throughput", None) == ("tiny", "mid")
    assert command._sizes("throughput", "mid") == ("mid",)
    assert command._sizes("datasets", "mid") == (None,)


def test_a_part_that_fails_is_told_and_is_no_success(capfd: pytest.CaptureFixture[str]) -> None:
    assert not command._run("no_such_part_yet", {"size": None}, named=True)
    assert "no_such_part_yet" in capfd.readouterr().err
