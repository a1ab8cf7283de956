"""The GPU unit: what it survives, and that it leaves nothing behind.

The last tests of the session's unit, since the last one here ends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from evalwindow.content import digest_of
from evalwindow.model import Completion
from tests.real.engines.requests import ask, insist
from tests.real.engines.tiny import adapter_files
from tests.real.engines.unit import GpuUnit, family, gone

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[GpuUnit]:
    """A unit that a test may break; not started yet."""
    unit = GpuUnit(tmp_path)
    yield unit
    if unit.process is not None and unit.process.poll() is None:
        unit.stop()


async def flood(unit: GpuUnit, prompts: int, *, max_tokens: int = 200) -> list[asyncio.Task[Completion]]:
    """Prompts in flight, of which at least one has been answered."""
    engine = unit.engine(patience_s=200)
    calls = [asyncio.create_task(insist(engine, ask(f"prompt {n}", max_tokens=max_tokens))) for n in range(prompts)]
    await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert not all(call.done() for call in calls)
    return calls


async def test_a_killed_engine_is_started_again_and_prompts_in_flight_are_answered(unit: GpuUnit) -> None:
    assert unit.record is not None
    engine, digest = unit.record.pid, digest_of(adapter_files(seed=1))
    unit.adapters[digest] = adapter_files(seed=1)
    adapted = await unit.engine().complete(ask("hello", adapter=digest))
    processes = family(engine)
    assert len(processes) > 1, "the engine has children that a kill leaves behind"
    calls = await flood(unit, 40)
    os.kill(engine, signal.SIGKILL)
    answers = await asyncio.gather(*calls)
    assert all(answer.finish_reason in ("stop", "length") for answer in answers)
    assert gone(processes)
    assert unit.wait_ready().pid != engine
    again = await unit.engine().complete(ask("hello", adapter=digest))
    assert again.text == adapted.text


async def test_sighup_replaces_the_engine_while_prompts_are_answered(unit: GpuUnit) -> None:
    old = unit.wait_ready()
    processes = family(old.pid)
    unit.write_config({"environment": {"SAYS": "evalwindow.yaml was read anew"}})
    calls = await flood(unit, 40)
    unit.signal(signal.SIGHUP)
    new = await asyncio.to_thread(unit.wait_ready, but_not=old.pid)
    calls += await flood(unit, 20)
    assert all(answer.finish_reason in ("stop", "length") for answer in await asyncio.gather(*calls))
    assert psutil.Process(new.pid).environ()["SAYS"] == "evalwindow.yaml was read anew"
    assert new.info == old.info
    assert gone(processes)


async def test_a_replacement_that_does_not_get_ready_leaves_the_old_engine_in_place(unit: GpuUnit) -> None:
    old = unit.wait_ready()
    unit.write_config({"arguments": ["--no-such-flag"]})
    unit.signal(signal.SIGHUP)
    while "not replaced" not in unit.log:
        await asyncio.sleep(0.2)
    unit.write_config({})
    assert "this vLLM does not know one of pools.<name>.arguments" in unit.log
    assert unit.record == old
    assert (await unit.engine().complete(ask("hello"))).text


def test_a_second_unit_of_a_pool_is_refused(unit: GpuUnit) -> None:
    environment = {**os.environ, "EVALWINDOW_HOME": str(unit.home), "EVALWINDOW_CONFIG": str(unit.config_path)}
    command = [sys.executable, "-m", "workers.gpu", "--pool", "warm", "--engine-only"]
    second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "another unit serves pool 'warm'" in second.stderr


@pytest.mark.parametrize(
    "pool, message",
    [
        ({"arguments": ["--scheduling-policy=fcfs"]}, "'--scheduling-policy=fcfs': the GPU unit sets it"),
        ({"arguments": ["--dtype", "half"]}, "'--dtype': use pools.warm.dtype"),
        ({"lora": {"modules": ["lm_head"]}}, "pools.warm.lora.modules: lm_head can't be served"),
    ],
)
def test_a_pool_that_can_not_be_served_is_refused_in_one_line(
    own: GpuUnit, pool: dict[str, object], message: str
) -> None:
    own.write_config(pool)
    own.start()
    assert own.process is not None
    assert own.process.wait(60) == 1
    assert message in own.log
    assert "Traceback" not in own.log


async def test_a_killed_unit_leaves_an_engine_that_the_next_one_ends_and_sigterm_drains_that_one(unit: GpuUnit) -> None:
    left = family(unit.wait_ready().pid)
    # A stopped engine can't obey the signal that the kernel sends it at its parent's death: the worst leftover.
    for process in left:
        process.suspend()
    unit.kill()
    assert all(process.is_running() for process in left)
    unit.paths.record.unlink()
    unit.start()
    assert unit.process is not None
    record = await asyncio.to_thread(unit.wait_ready)
    assert gone(left)
    processes = [*family(unit.process.pid), *family(record.pid)]
    calls = await flood(unit, 12, max_tokens=400)
    late = asyncio.create_task(unit.engine(patience_s=0).complete(ask("too late")))
    assert await asyncio.to_thread(unit.stop) == 0
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(answer, Completion) and answer.finish_reason != "abort" for answer in answers)
    await asyncio.wait([late])
    assert gone(processes)
    assert unit.record is None
    assert not unit.paths.socket.exists()
    assert not unit.paths.processes()
