"""Evaluating samples: cache, engine, scorers, refusals, judges."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from evalwindow.cache import cache_key
from evalwindow.engines.replay import ReplayEngine
from evalwindow.engines.retry import Backoff
from evalwindow.errors import EngineUnavailable
from evalwindow.evaluate import Evaluator
from evalwindow.lanes.hold import Hold
from evalwindow.model import Candidate, Completion, CompletionRequest, EngineInfo, Usage
from tests.unit.worlds import make_suite, rows, slots_for, write_outputs


class MemoryCache:
    def __init__(self):
        self.kept = {}

    async def get(self, keys):
        return {key: self.kept[key] for key in keys if key in self.kept}

    async def put(self, key, completion):
        self.kept[key] = completion


class Costly(ReplayEngine):
    """Recorded answers that cost something, and are counted."""

    asked = 0

    async def complete(self, request: CompletionRequest) -> Completion:
        self.asked += 1
        completion = await super().complete(request)
        return replace(completion, usage=Usage(prompt_tokens=7, output_tokens=2, gpu_s=0.5, cost=0.25))


class Restarting(ReplayEngine):
    """Says nothing about itself at first."""

    away = 2

    async def info(self, model: str) -> EngineInfo:
        if self.away:
            self.away -= 1
            raise EngineUnavailable("starting")
        return await super().info(model)


@pytest.fixture
def cache():
    return MemoryCache()


def evaluator(suite, engine, cache=None, **fields):
    parts = {
        "candidate": Candidate(model="m"),
        "engine_of": lambda model: engine,
        "slots": slots_for(2),
        "backoff": Backoff(base_s=0.001, patience_s=1.0),
    }
    return Evaluator(suite=suite, cache=cache, **(parts | fields))


async def results(evaluator, *, epochs=1):
    info = await evaluator.info()
    work = [(sample, epoch) for sample in evaluator.suite.samples for epoch in range(epochs)]
    questions = [evaluator.question(sample, epoch, info=info) for sample, epoch in work]
    known = await evaluator.cached(questions)
    return [await evaluator.result(question, known=known) for question in questions]


def recording(tmp_path, outputs, kind=ReplayEngine):
    return kind.load(write_outputs(tmp_path / "outputs.jsonl", outputs))


async def test_right_and_wrong_answers_are_scored(tmp_path):
    suite = make_suite(tmp_path, rows(2))
    found = await results(evaluator(suite, recording(tmp_path, {"s0": "0", "s1": "nonsense"})))
    assert [result.scores["exact"].value for result in found] == [1.0, 0.0]


async def test_a_refusal_is_unscored_with_its_reason_not_wrong(tmp_path):
    suite = make_suite(tmp_path, rows(2))
    found = await results(evaluator(suite, recording(tmp_path, {"s0": "0"})))
    assert found[1].completion is None
    assert found[1].scores["exact"].value is None
    assert "s1" in found[1].error


async def test_a_second_run_of_the_same_is_answered_by_the_cache_and_costs_nothing(tmp_path, cache):
    suite = make_suite(tmp_path, rows(3))
    engine = recording(tmp_path, {f"s{n}": str(n) for n in range(3)}, kind=Costly)
    first = await results(evaluator(suite, engine, cache))
    second = await results(evaluator(suite, engine, cache))
    assert engine.asked == 3
    assert [result.completion.cached for result in first] == [False] * 3
    assert [result.completion.cached for result in second] == [True] * 3
    assert sum(result.completion.usage.gpu_s for result in first) == 1.5
    assert sum(result.completion.usage.gpu_s + result.completion.usage.cost for result in second) == 0
    assert second[0].completion.usage.output_tokens == 2


async def test_without_a_cache_every_prompt_is_asked(tmp_path):
    suite = make_suite(tmp_path, rows(2))
    engine = recording(tmp_path, {"s0": "0", "s1": "1"}, kind=Costly)
    await results(evaluator(suite, engine))
    await results(evaluator(suite, engine))
    assert engine.asked == 4


async def test_another_model_is_never_answered_with_the_first_ones_outputs(tmp_path, cache):
    suite = make_suite(tmp_path, rows(1))
    right = ReplayEngine.load(write_outputs(tmp_path / "a.jsonl", {"s0": "0"}))
    wrong = ReplayEngine.load(write_outputs(tmp_path / "b.jsonl", {"s0": "9"}))
    [first] = await results(evaluator(suite, right, cache))
    [second] = await results(evaluator(suite, wrong, cache))
    assert (first.scores["exact"].value, second.scores["exact"].value) == (1.0, 0.0)


class Replaced:
    """Slots of an engine that is another one by the time a prompt gets in."""

    @asynccontextmanager
    async def hold(self, request, *, alone=False):
        yield Hold(engine="the next revision")


async def test_an_engine_that_replaced_the_first_one_is_not_kept_under_its_name(tmp_path, cache):
    suite = make_suite(tmp_path, rows(1))
    [found] = await results(evaluator(suite, recording(tmp_path, {"s0": "0"}), cache, slots=Replaced()))
    assert found.scores["exact"].value == 1.0
    assert cache.kept == {}


async def test_epochs_are_asked_one_by_one_with_their_own_seeds(tmp_path, cache):
    suite = make_suite(tmp_path, rows(1), epochs=2, sampling={"seed": 5, "temperature": 1})
    engine = recording(tmp_path, {("s0", 0): "0", ("s0", 1): "1"}, kind=Costly)
    found = await results(evaluator(suite, engine, cache), epochs=2)
    assert [result.scores["exact"].value for result in found] == [1.0, 0.0]
    assert evaluator(suite, engine).request(suite.samples[0], 1).sampling.seed == 6


async def test_an_engine_that_starts_is_waited_for(tmp_path):
    suite = make_suite(tmp_path, rows(1))
    [found] = await results(evaluator(suite, recording(tmp_path, {"s0": "0"}, kind=Restarting)))
    assert found.scores["exact"].value == 1.0


async def test_an_engine_that_stays_away_ends_the_attempt(tmp_path):
    suite = make_suite(tmp_path, rows(1))
    engine = recording(tmp_path, {"s0": "0"}, kind=Restarting)
    engine.away = 10**9
    with pytest.raises(EngineUnavailable):
        await results(evaluator(suite, engine, backoff=Backoff(base_s=0.001, cap_s=0.002, patience_s=0.05)))


async def test_a_judges_answer_is_cached_and_charged_to_the_sample(tmp_path, cache):
    grader = {"type": "model_graded", "judge": "judge", "rubric": "Is it a number?"}
    suite = make_suite(tmp_path, rows(1), scorers=["exact", grader])
    answerer = recording(tmp_path, {"s0": "0"}, kind=Costly)
    judge = Costly({("", 0): "A"}, digest="judge")
    both = evaluator(suite, None, cache, engine_of={"m": answerer, "judge": judge}.__getitem__)
    [first] = await results(both)
    [second] = await results(both)
    assert first.completion.usage.gpu_s == 1.0
    assert second.completion.usage.gpu_s == 0.0
    assert judge.asked == 1


async def test_only_as_many_prompts_are_in_the_engine_as_there_are_slots(tmp_path):
    suite = make_suite(tmp_path, rows(8))
    inside, most = 0, 0

    class Watched(ReplayEngine):
        async def complete(self, request):
            nonlocal inside, most
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1
            return await super().complete(request)

    engine = recording(tmp_path, {f"s{n}": str(n) for n in range(8)}, kind=Watched)
    mine = evaluator(suite, engine, slots=slots_for(3))
    info = await mine.info()
    await asyncio.gather(*(mine.result(mine.question(sample, 0, info=info), known={}) for sample in suite.samples))
    assert most == 3


async def test_the_key_of_the_cache_is_the_requests(tmp_path, cache):
    suite = make_suite(tmp_path, rows(1))
    mine = evaluator(suite, recording(tmp_path, {"s0": "0"}), cache)
    await results(mine)
    assert set(cache.kept) == {cache_key(await mine.info(), mine.request(suite.samples[0], 0))}
