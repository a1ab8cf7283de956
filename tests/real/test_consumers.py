"""The unit's Celery consumers come and go; the engine stays."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from evalwindow.embedded import Server
from tests.real.engines.unit import GpuUnit, family, gone

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def unit(tmp_path_factory: pytest.TempPathFactory, database_url: str, redis: Server) -> Iterator[GpuUnit]:
    services = {"EVALWINDOW_DATABASE_URL": database_url, "EVALWINDOW_REDIS_URL": redis.url}
    unit = GpuUnit(tmp_path_factory.mktemp("unit"), arguments=(), environment=services)
    unit.start()
    yield unit
    if unit.process is not None and unit.process.poll() is None:
        unit.stop()


def consumers(unit: GpuUnit) -> dict[str, psutil.Process]:
    """Tier -> process; a consumer that is ready bears its node name as its title."""
    assert unit.process is not None
    titles = {child: " ".join(child.cmdline()) for child in psutil.Process(unit.process.pid).children()}
    found = {child: re.search(r"celeryd: (\w+)\.warm\.", title) for child, title in titles.items()}
    return {match[1]: child for child, match in found.items() if match}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def listening(unit: GpuUnit) -> int:
    """How often a consumer has said that it is ready."""
    return unit.log.count(" ready.")


def test_consumers_die_and_are_renewed_and_the_engine_never_notices(unit: GpuUnit) -> None:
    engine = unit.wait_ready().pid
    until(lambda: listening(unit) == 2)
    first = consumers(unit)
    assert first.keys() == {"smoke", "regression"}

    os.kill(first["smoke"].pid, signal.SIGKILL)
    until(lambda: listening(unit) == 3)
    second = consumers(unit)
    assert second["smoke"].pid != first["smoke"].pid
    assert second["regression"].pid == first["regression"].pid

    unit.signal(signal.SIGUSR1)  # new worker code
    until(lambda: listening(unit) == 5)
    third = consumers(unit)
    assert not {process.pid for process in third.values()} & {process.pid for process in second.values()}

    assert unit.wait_ready().pid == engine
    everything = family(unit.process.pid) if unit.process else []
    assert unit.stop() == 0
    assert gone(everything)


def test_consumers_of_a_killed_unit_end_by_themselves(unit: GpuUnit) -> None:
    unit.wait_ready()
    until(lambda: listening(unit) == 2)
    assert unit.process is not None
    everything = family(unit.process.pid)
    unit.process.kill()
    unit.process.wait()
    assert gone(everything, within_s=60)
