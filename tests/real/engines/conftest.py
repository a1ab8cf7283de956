"""One real engine for all tests of the engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from evalwindow.engines.vllm import VllmEngine
from tests.real.engines.unit import GpuUnit, family, gone

#: What tests of memory and steps (test_fit.py) look at, and others don't mind.
POOL = {
    "step_tokens": 128,
    "arguments": ["--enforce-eager", "--kv-cache-memory-bytes", "16M", "--enable-logging-iteration-details"],
}


@pytest.fixture(scope="session")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuUnit]:
    """Whoever ends or replaces its engine leaves one like it; only the last test may leave none (test_vllm_unit.py)."""
    unit = GpuUnit(tmp_path_factory.mktemp("unit"), pool=POOL)
    unit.start()
    try:
        unit.wait_ready()
        assert unit.process is not None
        processes = family(unit.process.pid)
        yield unit
    finally:
        status = unit.stop()
    assert status == 0
    assert gone(processes)


@pytest.fixture
async def engine(unit: GpuUnit) -> AsyncIterator[VllmEngine]:
    engine = unit.engine()
    yield engine
    await engine.aclose()
