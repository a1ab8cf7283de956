"""What is computed of an engine's memory and steps, held against the engine's own words."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from transformers import AutoModelForCausalLM

from evalwindow.config import Gpu
from evalwindow.engines.vllm_server import command
from evalwindow.fit.pools import PoolFit, pool_fit
from tests.real.engines.unit import POOL, GpuUnit

pytestmark = pytest.mark.timeout(600)  # with the start of the engine

STEP = 128  # tokens, in conftest.py


@pytest.fixture
def fit(unit: GpuUnit) -> PoolFit:
    return pool_fit(POOL, unit.config.pools[POOL], gpu=None)


def test_vllm_reads_the_flags_as_they_are_meant(unit: GpuUnit, tmp_path: Path) -> None:
    """A server without a model says how it was started, then ends."""
    pool = unit.config.pools[POOL].model_copy(update={"model": str(tmp_path), "gpu": "a100", "memory_gib": 30})
    line = command(name=POOL, pool=pool, socket=tmp_path / "socket", gpu=Gpu(memory_gib=80))
    said = subprocess.run(line, capture_output=True, text=True, check=False).stdout
    given = next(line for line in said.splitlines() if "non-default args" in line)
    assert "'gpu_memory_utilization': 0.375" in given
    assert f"'max_num_batched_tokens': {STEP}" in given
    assert f"'kv_cache_memory_bytes': {16 * 2**20}" in given


def test_the_kv_cache_holds_the_tokens_that_were_computed(unit: GpuUnit, fit: PoolFit) -> None:
    told = re.search(
        r"KV cache size: ([\d,]+) tokens, Maximum concurrency for 512 tokens per request: ([\d.]+)x", unit.engine_log
    )
    assert told is not None
    assert fit.kv_tokens == int(told[1].replace(",", ""))
    assert fit.kv_bytes is not None and fit.kv_bytes / fit.sequence_bytes == float(told[2])


def test_the_weights_are_those_of_the_model(unit: GpuUnit, fit: PoolFit) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(unit.folder / "model")
    assert fit.estimate.lines[0].bytes == 4 * sum(each.numel() for each in model.parameters())


async def test_a_long_prompt_is_read_in_chunks_of_a_step(unit: GpuUnit) -> None:
    before = len(unit.engine_log)
    body = {"model": POOL, "prompt": [5 + place % 200 for place in range(500)], "max_tokens": 1}
    connector = aiohttp.UnixConnector(str(unit.paths.socket))
    async with (
        aiohttp.ClientSession("http://engine", connector=connector, raise_for_status=True) as session,
        session.post("/v1/completions", json=body) as response,
    ):
        assert (await response.json())["usage"]["prompt_tokens"] == 500
    read = [
        int(tokens) for tokens in re.findall(r"Iteration\(\d+\): .* (\d+) context tokens", unit.engine_log[before:])
    ]
    assert [tokens for tokens in read if tokens] == [STEP, STEP, STEP, 500 - 3 * STEP]
