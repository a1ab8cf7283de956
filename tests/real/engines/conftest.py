"""One real engine for all tests of the engines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from evalwindow.engines.vllm import VllmEngine
from tests.real.engines.unit import GpuUnit, family, gone


@pytest.fixture(scope="session")
def unit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GpuUnit]:
    unit = GpuUnit(tmp_path_factory.mktemp("unit"))
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
