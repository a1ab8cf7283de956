"""Engines and their GPU units die in the middle of a batch: what they answered counts, the rest is asked of others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Team
from evalwindow.config_file import read_config
from evalwindow.model import Candidate, RunState
from evalwindow.queue import Queue
from evalwindow.services import Services, build
from evalwindow.settings import Settings
from soak.invariants import check, settle
from soak.servers import Mortal
from tests.real.engines.unit import MODEL, GpuUnit, family, gone
from tests.real.house import until
from tests.unit.worlds import rows, write_suite
from workers.dispatcher import Dispatcher

pytestmark = pytest.mark.timeout(1800)

TEAM, SUITE, SAMPLES, SHARD, LEASE_S = "search", "echo", 96, 24, 4
TOKENS = 200  # an answer takes a while, and a shard is more than an engine has places for
POOL = {"calibrate": False}


class Fleet:
    """Two GPU units with their consumers, and a dispatcher in this process."""

    def __init__(self, units: tuple[GpuUnit, GpuUnit], services: Services) -> None:
        self.units, self.services, self.store = units, services, services.store
        self.runs: list[str] = []

    def submit(self) -> str:
        """A run that nothing is known of yet."""
        candidate = Candidate(model=MODEL, system=f"run {len(self.runs)}")
        wish = Submission(key=f"k{len(self.runs)}", team=TEAM, suite=SUITE, candidate=candidate)
        self.runs.append(flow.submit(self.services, wish).id)
        return self.runs[-1]

    def busy(self, *units: GpuUnit) -> None:
        """Wait until shards of the last run are in all of these hands at once."""
        until(lambda: all(self._held(unit, self.runs[-1]) for unit in units))

    def _held(self, unit: GpuUnit, run_id: str) -> bool:
        pids = {process.pid for process in unit.consumers.values()}
        rows = [shard for shard in self.store.shards(run_id) if shard.state == "running"]
        return any(int(str(shard.worker).rpartition(":")[2]) in pids for shard in rows)

    def ends(self) -> None:
        """All runs of this step are concluded, each sample with an answer."""
        until(lambda: all(self.store.run(run_id).state is RunState.CONCLUDED for run_id in self.runs))
        for run_id in self.runs:
            results = self.store.results(run_id)
            assert sorted(result.sample_id for result in results) == sorted(f"s{n}" for n in range(SAMPLES))
            assert [result.error for result in results if result.completion is None] == []


@pytest.fixture
async def fleet(tmp_path: Path, postgres: Mortal, redis: Mortal) -> AsyncIterator[Fleet]:
    environment = {
        "EVALWINDOW_DATABASE_URL": postgres.url,
        "EVALWINDOW_REDIS_URL": redis.url,
        "EVALWINDOW_LEASE_S": str(LEASE_S),
    }
    one, other = (GpuUnit(tmp_path / name, pool=POOL, arguments=(), environment=environment) for name in "ab")
    for unit in (one, other):
        write_suite(unit.folder / "suites", rows(SAMPLES), sampling={"max_tokens": TOKENS})
        unit.start()
    config = read_config(one.config_path)
    lanes = config.lanes.model_copy(
        update={"regression": config.lanes.regression.model_copy(update={"shard_size": SHARD, "consumers": 2})}
    )
    config = config.model_copy(update={"lanes": lanes, "teams": {TEAM: Team()}})
    settings = Settings(database_url=postgres.url, redis_url=redis.url, home=tmp_path / "home", lease_s=LEASE_S)
    services = build(settings, config=config, queue=Queue(redis.url))
    async with dispatching(services):
        yield Fleet((one, other), services)
        for unit in (one, other):
            if unit.process is not None and unit.process.poll() is None:
                await asyncio.to_thread(unit.stop)
    await services.aclose()


@asynccontextmanager
async def dispatching(services: Services) -> AsyncIterator[None]:
    running = asyncio.create_task(Dispatcher(services).run())
    try:
        yield
    finally:
        services.stopping.set()
        await running


def core_of(unit: GpuUnit) -> psutil.Process:
    """The process that computes, which the kernel would choose where memory is short: it has the most."""
    assert unit.record is not None
    return max(psutil.Process(unit.record.pid).children(recursive=True), key=lambda each: each.memory_info().rss)


def story(fleet: Fleet, postgres: Mortal) -> None:
    one, other = fleet.units
    both_ready(fleet)

    # The kernel's OOM killer takes one engine's core, and at the same time the other unit gets a spot notice.
    run_id = fleet.submit()
    fleet.busy(one, other)
    core_of(other).kill()
    noticed = everything_of(one)
    assert one.stop() == 0
    assert gone(noticed)
    assert "handed back" in one.log
    one.start()
    fleet.ends()
    assert "engine of pool warm died" in other.log
    # Who asked the engine that died kept its shard and asks again; who had to go handed its shards back uncounted.
    assert {shard.attempts for shard in fleet.store.shards(run_id)} == {1}

    # kill -9 of a unit: its engine goes with it, its consumers hand back what they can, the other unit takes it over.
    both_ready(fleet)
    run_id = fleet.submit()
    fleet.busy(one)
    killed = everything_of(one)
    one.kill()
    assert gone(killed)
    fleet.ends()
    assert {shard.attempts for shard in fleet.store.shards(run_id)} <= {1, 2}

    until(lambda: not settle(postgres.url, seconds=30))
    broken = check(postgres.url)
    assert not broken, str(broken)


def both_ready(fleet: Fleet) -> None:
    with ThreadPoolExecutor() as threads:
        assert all(threads.map(GpuUnit.wait_ready, fleet.units))
    for unit in fleet.units:
        until(lambda unit=unit: len(unit.consumers) == 2)  # else one of them takes everything


def everything_of(unit: GpuUnit) -> list[psutil.Process]:
    assert unit.process is not None
    return family(unit.process.pid)


async def test_engines_and_units_die_in_the_middle_of_a_batch_and_every_sample_has_one_answer(
    fleet: Fleet, postgres: Mortal
) -> None:
    await asyncio.to_thread(story, fleet, postgres)
