"""A shard's life in a worker: what is done is skipped, stopping hands back, errors cancel the rest."""

import asyncio

import pytest

from evalwindow.engines.replay import ReplayEngine
from evalwindow.engines.retry import Backoff
from evalwindow.errors import EngineUnavailable
from evalwindow.evaluate import Evaluator
from evalwindow.model import Candidate
from evalwindow.recorder import Recorder
from evalwindow.work import Interrupted, ShardWork, Slots
from tests.unit.test_recorder import Rows
from tests.unit.worlds import make_suite, rows


class Recorded(ReplayEngine):
    """Answers that a test can hold up or break, by sample id."""

    def __init__(self, outputs, *, broken=(), stop_after=None, stopping=None):
        super().__init__(outputs, digest="d")
        self.broken, self.stop_after, self.stopping, self.asked = set(broken), stop_after, stopping, []

    async def complete(self, request):
        self.asked.append(request.sample_id)
        if self.stop_after == len(self.asked):
            self.stopping.set()
        if request.sample_id in self.broken:
            raise EngineUnavailable("gone")
        await asyncio.sleep(0.001)
        return await super().complete(request)


async def make_work(suite, engine, stopping, *, slots=1):
    store = Rows()
    recorder = Recorder(store, run_id="r", shard_id="s", token=1)
    evaluator = Evaluator(
        suite=suite,
        candidate=Candidate(model="m"),
        engine_of=lambda model: engine,
        cache=None,
        slots=Slots(asyncio.Semaphore(slots), stopping),
        backoff=Backoff(patience_s=0.05),
    )
    work = ShardWork(suite=suite, evaluator=evaluator, recorder=recorder, info=await evaluator.info())
    return work, store


def recorded_ids(store):
    return sorted(sample_id for batch in store.batches for sample_id in batch)


def echoes(count, **overrides):
    return {(f"s{n}", 0): str(n) for n in range(count)} | overrides


async def test_samples_that_are_done_are_not_asked_again(tmp_path):
    suite, stopping = make_suite(tmp_path, rows(4)), asyncio.Event()
    engine = Recorded(echoes(4))
    work, store = await make_work(suite, engine, stopping)
    await work.run(["s0", "s1", "s2", "s3"], done={("s0", 0), ("s2", 0)})
    assert sorted(engine.asked) == recorded_ids(store) == ["s1", "s3"]


async def test_stopping_lets_prompts_in_the_engine_end_and_starts_no_other(tmp_path):
    suite, stopping = make_suite(tmp_path, rows(6)), asyncio.Event()
    engine = Recorded(echoes(6), stop_after=2, stopping=stopping)
    work, store = await make_work(suite, engine, stopping)
    with pytest.raises(Interrupted):
        await work.run([f"s{n}" for n in range(6)], done=())
    assert len(engine.asked) == 2
    assert recorded_ids(store) == sorted(engine.asked)


async def test_an_engine_that_is_gone_ends_the_attempt_and_keeps_what_was_answered(tmp_path):
    suite, stopping = make_suite(tmp_path, rows(6)), asyncio.Event()
    engine = Recorded(echoes(6), broken={"s3"})
    work, store = await make_work(suite, engine, stopping)
    with pytest.raises(EngineUnavailable):
        await work.run([f"s{n}" for n in range(6)], done=())
    kept = recorded_ids(store)
    assert {"s0", "s1"} <= set(kept) <= {"s0", "s1", "s2"}  # s2 may be in scoring just then


async def smoke_work(tmp_path, *, answers, must_pass=True):
    suite = make_suite(tmp_path, rows(3, must_pass=must_pass), tier="smoke")
    engine = Recorded({(f"s{n}", epoch): str(n) for n in range(3) for epoch in range(40)} | answers)
    work, store = await make_work(suite, engine, asyncio.Event(), slots=3)
    first = [await work._evaluator.result(work._question(sample.id, 0), known={}) for sample in suite.samples]
    engine.asked.clear()
    await work.reask(first)
    return engine, store, first


async def test_a_healthy_smoke_run_asks_nothing_again(tmp_path):
    engine, _, _ = await smoke_work(tmp_path, answers={})
    assert engine.asked == []


async def test_one_failure_is_asked_again_until_ten_passes_clear_it(tmp_path):
    engine, store, results = await smoke_work(tmp_path, answers={("s1", 0): "wrong"})
    assert engine.asked == ["s1"] * 10
    assert [result.epoch for result in results[3:]] == list(range(1, 11))
    assert all(result.reask for result in results[3:])
    assert recorded_ids(store) == ["s1"] * 10


async def test_a_failure_that_repeats_is_settled_after_two_more_calls(tmp_path):
    engine, _, _ = await smoke_work(tmp_path, answers={("s1", epoch): "wrong" for epoch in range(40)})
    assert engine.asked == ["s1"] * 2


async def test_two_failures_are_red_without_another_call(tmp_path):
    engine, _, _ = await smoke_work(tmp_path, answers={("s1", 0): "wrong", ("s2", 0): "wrong"})
    assert engine.asked == []
