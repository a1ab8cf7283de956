"""A prompt and an adapter that end a real engine from within, each time, among innocent prompts.

Real: vLLM with its core in a process of its own, the GPU unit, its governor, PostgreSQL, the use-cases.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.cache import whole_key
from evalwindow.config import Team
from evalwindow.config_file import read_config
from evalwindow.model import Answer, Candidate, RunState
from evalwindow.poison import ALONE_AT, Suspect
from evalwindow.score import Unqueued
from evalwindow.services import Services, build
from evalwindow.settings import Settings
from evalwindow.store.rows import RunRow
from tests.real.engines.poison import POISON, WeakSpots
from tests.real.engines.tiny import adapter_files
from tests.real.engines.unit import MODEL, GpuUnit
from tests.unit.worlds import rows, write_suite

pytestmark = pytest.mark.timeout(900)

TEAM, HANG_S = "search", 6.0


@pytest.fixture(scope="module")
def spots(tmp_path_factory: pytest.TempPathFactory) -> WeakSpots:
    return WeakSpots(tmp_path_factory.mktemp("weak") / "spots")


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory, spots: WeakSpots) -> Iterator[GpuUnit]:
    """Its core is a process of its own, as on a GPU, and dies of what the weak spots say."""
    folder = tmp_path_factory.mktemp("mortal")
    environment = {"OMP_NUM_THREADS": "1", "TORCH_COMPILE_DISABLE": "1", **spots.environment}
    unit = GpuUnit(folder, pool={"environment": environment, "hang_s": HANG_S, "calibrate": False})
    bad = {"id": "bad", "input": f"say {POISON}", "target": "x"}
    write_suite(folder / "suites", [*rows(5), bad], sampling={"max_tokens": 24})
    write_suite(folder / "suites", rows(4), suite="plain", sampling={"max_tokens": 24})
    unit.start()
    try:
        unit.wait_ready()
        yield unit
    finally:
        unit.stop()


@pytest.fixture
async def services(mortal: GpuUnit, database_url: str) -> AsyncIterator[Services]:
    settings = Settings(database_url=database_url, redis_url="redis://127.0.0.1:1", home=mortal.home)
    config = read_config(mortal.config_path)
    lanes = config.lanes.model_copy(update={"regression": config.lanes.regression.model_copy(update={"shard_size": 3})})
    config = config.model_copy(update={"lanes": lanes, "teams": {TEAM: Team()}})
    built = build(settings, config=config, queue=Unqueued())
    yield built
    await built.aclose()


async def through(services: Services, suite: str, *, key: str = "k", adapter: str | None = None) -> RunRow:
    """Submit a run, work on all of its shards at once, and the run as it is then."""
    wish = Submission(key=suite + key, team=TEAM, suite=suite, candidate=Candidate(model=MODEL, adapter=adapter))
    run = await asyncio.to_thread(flow.submit, services, wish)
    await asyncio.gather(*(flow.run_shard(services, shard.id) for shard in services.store.shards(run.id)))
    return services.store.run(run.id)


async def whole_of(services: Services, suite: str, adapter: str) -> Suspect:
    """All prompts of a suite for an adapter."""
    info, digest = await services.engine_of(MODEL).info(MODEL), services.library.asked_for(suite)[suite].digest
    key = whole_key(info, suite=digest, candidate=Candidate(model=MODEL, adapter=adapter))
    return Suspect(key=key, suite=suite, sample_id="", model=MODEL)


async def test_an_adapter_that_ends_engines_as_it_is_loaded_ends_as_an_unscored_run(
    services: Services, spots: WeakSpots
) -> None:
    """Here by a consumer that takes over from another one, which was killed after its second strike."""
    adapter = services.store.put_artifact("adapter", "poison", adapter_files(seed=5))
    spots.poison_adapter(adapter)
    whole = await whole_of(services, "plain", adapter)
    for _ in range(ALONE_AT):
        services.store.strike(whole, whole=whole, run_id="r", error="it died", proven=False)
    run = await through(services, "plain", adapter=adapter)
    results = services.store.results(run.id)
    assert [result.error for result in results if not result.quarantined] == []
    assert len(results) == 4
    assert spots.ends == {"adapter": 1}
    assert (run.state, run.answer) == (RunState.CONCLUDED, Answer.INCONCLUSIVE)
    assert [(row.key, row.sample_id) for row in services.store.quarantined()] == [(whole.key, "")]


async def test_a_prompt_that_hangs_and_ends_engines_is_found_and_the_innocent_ones_are_answered(
    services: Services, mortal: GpuUnit, spots: WeakSpots
) -> None:
    before = spots.ends
    run = await through(services, "echo")
    results = {result.sample_id: result for result in services.store.results(run.id)}
    ends = spots.ends - before
    assert ends["hang"] == 1
    assert 1 <= ends["prompt"] <= ALONE_AT
    assert "hangs: no token for" in mortal.log
    assert sorted(sample_id for sample_id, result in results.items() if result.quarantined) == ["bad"]
    assert sorted(sample_id for sample_id, result in results.items() if result.completion) == [
        f"s{n}" for n in range(5)
    ]
    assert all(result.completion.usage.gpu_s < HANG_S for result in results.values() if result.completion)
    assert (run.state, run.answer) == (RunState.CONCLUDED, Answer.INCONCLUSIVE)
    assert run.verdict is not None
    assert "1 sample was not asked: it ended the engine (bad)" in run.verdict.title
    [kept] = services.store.quarantined()
    assert (kept.sample_id, kept.suite, kept.team, kept.run_id) == ("bad", "echo", TEAM, run.id)

    ends = spots.ends
    again = await through(services, "echo", key="again")
    assert again.answer is Answer.INCONCLUSIVE
    assert [result.quarantined for result in services.store.results(again.id)].count(True) == 1
    assert spots.ends == ends
