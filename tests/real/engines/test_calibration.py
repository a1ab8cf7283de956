"""What an engine tells of itself: its steps, its figures, and that it is warm. On a real vLLM."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator

import pytest

from evalwindow.engines.vllm_calibrate import Calibrator, calibrate
from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.engines.vllm_metrics import read_figures
from evalwindow.engines.vllm_probe import EngineProbe
from tests.real.engines.requests import ask
from tests.real.engines.unit import POOL, GpuUnit

pytestmark = pytest.mark.timeout(600)  # with the start of the engine


@pytest.fixture
async def http(unit: GpuUnit) -> AsyncIterator[VllmHttp]:
    http = VllmHttp(unit.paths.socket)
    yield http
    await http.aclose()


def test_an_engine_that_got_ready_knows_what_its_steps_cost(unit: GpuUnit) -> None:
    assert unit.record is not None
    calibration = unit.record.calibration
    assert calibration is not None
    assert [rows for rows, _ in calibration.steps] == [1, 6, 16]  # smoke's slots and max_num_seqs
    seconds = [seconds for _, seconds in calibration.steps]
    assert seconds[0] > 0 and seconds == sorted(seconds)
    assert calibration.prefill_s > 0
    assert "engine of pool warm: steps of sequences take ms 1: " in unit.log


def test_the_cache_has_as_many_tokens_as_the_engines_log_says(unit: GpuUnit) -> None:
    assert unit.record is not None and unit.record.calibration is not None
    told = re.search(r"KV cache size: ([\d,]+) tokens", unit.paths.log.read_text())
    assert told is not None
    assert unit.record.calibration.kv_tokens == int(told[1].replace(",", ""))


async def test_a_measurement_stops_when_its_time_is_up_and_says_what_it_has(unit: GpuUnit, http: VllmHttp) -> None:
    calibration = await Calibrator(http, name=POOL, context=512, budget_s=0).measure((1, 6, 16))
    assert [rows for rows, _ in calibration.steps] == [1]


async def test_an_engine_that_refuses_to_be_measured_is_served_without(
    unit: GpuUnit, http: VllmHttp, caplog: pytest.LogCaptureFixture
) -> None:
    config = unit.config
    with caplog.at_level(logging.WARNING):
        assert await calibrate(http, name="nobody", pool=config.pools[POOL], lanes=config.lanes, context=512) is None
    assert "engine of pool nobody can't be calibrated" in caplog.text
    assert "nobody" in caplog.text


async def test_a_pool_that_wants_no_calibration_has_none(unit: GpuUnit, http: VllmHttp) -> None:
    before = await read_figures(http)
    unwanted = unit.config.pools[POOL].model_copy(update={"calibrate": False})
    async with EngineProbe(unit.paths.socket, name=POOL) as probe:
        assert await probe.calibrate(pool=unwanted, lanes=unit.config.lanes, context=512) is None
    assert (await read_figures(http)).generation_tokens == before.generation_tokens


async def test_the_engines_figures_are_those_of_the_answers(unit: GpuUnit, http: VllmHttp) -> None:
    """Whoever adds up what each answer told has what the engine has: nothing is left out of the metering."""
    engine, before = unit.engine(), await read_figures(http)
    answers = await asyncio.gather(*(engine.complete(ask(f"how many {n}?", max_tokens=n + 1)) for n in range(24)))
    after = await read_figures(http)
    assert after.prompt_tokens - before.prompt_tokens == sum(answer.usage.prompt_tokens for answer in answers)
    assert after.generation_tokens - before.generation_tokens == sum(answer.usage.output_tokens for answer in answers)
    told = sum(answer.usage.engine_s for answer in answers)
    assert after.running_s - before.running_s == pytest.approx(told, rel=0.02)
    assert (after.running, after.waiting, after.kv_usage) == (0, 0, 0.0)
    await engine.aclose()
