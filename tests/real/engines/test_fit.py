"""What is computed of an engine's memory and steps, held against the engine's own words."""

from __future__ import annotations

import asyncio
import re
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from transformers import AutoModelForCausalLM

from evalwindow.config import Gpu, Lora, Pool
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.vllm_probe import EngineProbe
from evalwindow.engines.vllm_server import command, environment
from evalwindow.fit.pools import PoolFit, pool_fit
from tests.real.engines.tiny import write_model
from tests.real.engines.unit import READY_WITHIN_S
from workers.groups import kill_group, wait_until_gone

pytestmark = pytest.mark.timeout(600)  # with the start of the engine

STEP, CONTEXT = 128, 512  # tokens


@dataclass(frozen=True, kw_only=True)
class Started:
    pool: Pool
    socket: Path
    log: Path

    @property
    def fit(self) -> PoolFit:
        return pool_fit("warm", self.pool, gpu=None)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.UnixConnector(str(self.socket))
        async with aiohttp.ClientSession("http://engine", connector=connector, raise_for_status=True) as session:
            yield session


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The server as the unit starts it, with the flags that belong to memory and steps."""
    folder = tmp_path_factory.mktemp("fit")
    pool = Pool(
        model=str(write_model(folder / "model")),
        dtype="float32",
        max_model_len=CONTEXT,
        max_num_seqs=16,
        gpu="a100",
        memory_gib=30,  # a CPU engine with a fixed KV cache reads it, and takes no more for it
        step_tokens=STEP,
        lora=Lora(max_adapters=2, max_rank=8),
        arguments=("--enforce-eager", "--kv-cache-memory-bytes", "64M", "--enable-logging-iteration-details"),
        environment={"OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"},
    )
    paths = EnginePaths(home=folder, pool="warm")
    paths.make()
    socket = paths.generation_socket(1)
    line = command(name="warm", pool=pool, socket=socket, gpu=Gpu(memory_gib=80))
    env = environment(pool=pool, paths=paths, environ={"PATH": "/usr/bin:/bin", "HOME": str(folder)}, secrets=())
    with paths.log.open("wb") as log:
        process = subprocess.Popen(line, env=env, stdout=log, stderr=log, process_group=0)
    try:
        wait_ready(process, socket, log=paths.log)
        yield Started(pool=pool, socket=socket, log=paths.log)
    finally:
        kill_group(process.pid)
        process.wait()
        wait_until_gone(process.pid)


def wait_ready(process: subprocess.Popen[bytes], socket: Path, *, log: Path) -> None:
    async def healthy() -> bool:
        async with EngineProbe(socket, name="warm") as probe:
            return await probe.healthy()

    deadline = time.monotonic() + READY_WITHIN_S
    while not asyncio.run(healthy()):
        assert process.poll() is None and time.monotonic() < deadline, log.read_text(errors="replace")[-5000:]
        time.sleep(0.2)


def test_vllm_reads_the_flags_as_they_are_meant(engine: Started) -> None:
    given = next(line for line in engine.log.read_text().splitlines() if "non-default args" in line)
    assert "'gpu_memory_utilization': 0.375" in given
    assert f"'max_num_batched_tokens': {STEP}" in given
    assert f"'kv_cache_memory_bytes': {64 * 2**20}" in given


def test_the_kv_cache_holds_the_tokens_that_were_computed(engine: Started) -> None:
    told = re.search(
        r"KV cache size: ([\d,]+) tokens, Maximum concurrency for 512 tokens per request: ([\d.]+)x",
        engine.log.read_text(),
    )
    assert told is not None
    fit = engine.fit
    assert fit.kv_tokens == int(told[1].replace(",", ""))
    assert fit.kv_bytes is not None and fit.kv_bytes / fit.sequence_bytes == float(told[2])


def test_the_weights_are_those_of_the_model(engine: Started) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(engine.pool.model)
    assert engine.fit.estimate.lines[0].bytes == 4 * sum(each.numel() for each in model.parameters())


async def test_a_long_prompt_is_read_in_chunks_of_a_step(engine: Started) -> None:
    body = {"model": "warm", "prompt": [5 + place % 200 for place in range(500)], "max_tokens": 1}
    async with engine.session() as session, session.post("/v1/completions", json=body) as response:
        assert (await response.json())["usage"]["prompt_tokens"] == 500
    read = [int(tokens) for tokens in re.findall(r"Iteration\(\d+\): .* (\d+) context tokens", engine.log.read_text())]
    assert [tokens for tokens in read if tokens] == [STEP, STEP, STEP, 500 - 3 * STEP]
