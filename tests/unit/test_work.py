"""A shard's life in a worker: what is done is skipped, stopping hands back, errors cancel the rest."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.engines.replay import ReplayEngine
from evalwindow.engines.retry import Backoff
from evalwindow.errors import EngineUnavailable
from evalwindow.evaluate import Evaluator
from evalwindow.model import Candidate
from evalwindow.recorder import Recorder
from evalwindow.work import Interrupted, ShardWork
from tests.unit.test_recorder import Rows
from tests.unit.worlds import PROMPT, make_suite, rows, slots_for


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
        slots=slots_for(slots, stopping.is_set),
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


async def test_what_is_cached_is_recorded_though_nothing_may_start(tmp_path):
    suite, stopping = make_suite(tmp_path, rows(2)), asyncio.Event()
    engine = Recorded(echoes(2))
    work, store = await make_work(suite, engine, stopping)
    question = work._question("s1", 0)
    known = {question.key: await engine.complete(question.request)}
    stopping.set()
    await work._one(question, known=known)
    await work._recorder.flush()
    assert (engine.asked, recorded_ids(store)) == (["s1"], ["s1"])


class Judged(Recorded):
    """A judge too: no prompt of a sample. Everything is to end when it is asked first."""

    async def complete(self, request):
        if request.sample_id:
            return await super().complete(request)
        raise AssertionError("the judge must not be asked")


async def test_a_sample_whose_judge_may_not_be_asked_any_more_is_left_for_later_and_never_unscored(tmp_path):
    grader = {"type": "model_graded", "judge": "m", "rubric": "Right?"}
    suite, stopping = make_suite(tmp_path, rows(3), scorers=["exact", grader]), asyncio.Event()
    engine = Judged(echoes(3), stop_after=1, stopping=stopping)
    work, store = await make_work(suite, engine, stopping)
    with pytest.raises(Interrupted):
        await work.run([f"s{n}" for n in range(3)], done=())
    assert len(engine.asked) == 1
    assert store.batches == []


STEPS = st.lists(st.sampled_from(["enter", "enter", "leave", "cancel", "end"]), max_size=40)


class Lane:
    """Slots with prompts that come, go and are cancelled."""

    def __init__(self, size):
        self.size, self.over, self.entered_late = size, False, 0
        self.slots = slots_for(size, lambda: self.over, lambda: False)
        self.inside, self.prompts, self.outcomes = [], [], []

    async def prompt(self):
        leave = asyncio.Event()
        try:
            async with self.slots.hold(PROMPT):
                self.entered_late += self.over
                self.inside.append(leave)
                await leave.wait()
            self.outcomes.append("answered")
        except Interrupted:
            self.outcomes.append("interrupted")

    @property
    def waiting(self):
        return [task for task in self.prompts if not task.done()][len(self.inside) :]

    async def play(self, step):
        if step == "enter":
            self.prompts.append(asyncio.create_task(self.prompt()))
        elif step == "leave" and self.inside:
            self.inside.pop(0).set()
        elif step == "cancel" and self.waiting:
            self.waiting[-1].cancel()
        elif step == "end":
            self.over = True
        for _ in range(8 * len(self.prompts) + 8):  # everybody whose turn it is
            await asyncio.sleep(0)

    def check(self):
        assert len(self.inside) <= self.size
        assert self.entered_late == 0
        if not self.over and self.waiting:
            assert len(self.inside) == self.size  # nobody waits beside a free slot


@given(size=st.integers(1, 3), script=STEPS)
def test_slots_hold_so_many_at_a_time_and_nobody_once_it_is_over(size, script):
    async def story():
        lane = Lane(size)
        for step in script:
            await lane.play(step)
            lane.check()
        while lane.inside:
            await lane.play("leave")
            lane.check()
        ends = await asyncio.wait_for(asyncio.gather(*lane.prompts, return_exceptions=True), 10)
        cancelled = sum(isinstance(end, asyncio.CancelledError) for end in ends)
        assert len(lane.outcomes) + cancelled == len(lane.prompts)  # nobody is forgotten
        assert lane.over or "interrupted" not in lane.outcomes

    asyncio.run(story())


async def smoke_work(tmp_path, *, answers, must_pass=True, stop_after=None):
    suite, stopping = make_suite(tmp_path, rows(3, must_pass=must_pass), tier="smoke"), asyncio.Event()
    outputs = {(f"s{n}", epoch): str(n) for n in range(3) for epoch in range(40)} | answers
    engine = Recorded(outputs, stopping=stopping)
    work, store = await make_work(suite, engine, stopping, slots=3)
    first = [await work._evaluator.result(work._question(sample.id, 0), known={}) for sample in suite.samples]
    engine.asked.clear()
    engine.stop_after = stop_after
    if stop_after is None:
        await work.reask(first)
    else:
        with pytest.raises(Interrupted):
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


async def test_re_asks_that_were_answered_are_recorded_when_work_is_to_end(tmp_path):
    engine, store, _ = await smoke_work(tmp_path, answers={("s1", 0): "wrong"}, stop_after=4)
    assert engine.asked == recorded_ids(store) == ["s1"] * 4


async def test_a_failure_that_repeats_is_settled_after_two_more_calls(tmp_path):
    engine, _, _ = await smoke_work(tmp_path, answers={("s1", epoch): "wrong" for epoch in range(40)})
    assert engine.asked == ["s1"] * 2


async def test_two_failures_are_red_without_another_call(tmp_path):
    engine, _, _ = await smoke_work(tmp_path, answers={("s1", 0): "wrong", ("s2", 0): "wrong"})
    assert engine.asked == []
