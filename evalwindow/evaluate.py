"""A shard's prompts x an engine x scorers -> results. Knows no queue and no SQL."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from evalwindow.cache import cache_key
from evalwindow.engines.base import Engine
from evalwindow.engines.retry import Backoff, patiently
from evalwindow.errors import EngineRefused, EngineUnavailable
from evalwindow.lanes.hold import Hold
from evalwindow.model import (
    Candidate,
    Completion,
    CompletionRequest,
    EngineInfo,
    Message,
    Sample,
    SampleResult,
    Sampling,
    Score,
)
from evalwindow.scorers.run import score_all
from evalwindow.suites import Suite


class Cache(Protocol):
    """Completions by provenance key."""

    async def get(self, keys: Iterable[str]) -> Mapping[str, Completion]: ...

    async def put(self, key: str, completion: Completion) -> None: ...


class Slots(Protocol):
    """Lets prompts into the engine."""

    def hold(self, request: CompletionRequest) -> AbstractAsyncContextManager[Hold]: ...


@dataclass(frozen=True, kw_only=True)
class Question:
    """One (sample, epoch) as it is asked, of whom, and the key that the answer is kept under."""

    sample: Sample
    epoch: int
    request: CompletionRequest
    info: EngineInfo
    key: str


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Evaluates samples of one run."""

    suite: Suite
    candidate: Candidate
    engine_of: Callable[[str], Engine]  # by model name; raises EngineRefused where this worker has none
    cache: Cache | None
    slots: Slots  # held while a prompt is in the engine
    backoff: Backoff  # how long to wait for an engine that restarts

    async def info(self) -> EngineInfo:
        """What answers; waits for an engine that is away."""
        return await self.identity(self.candidate.model)

    async def identity(self, model: str) -> EngineInfo:
        with _naming(model):
            return await patiently(lambda: self.engine_of(model).info(model), self.backoff)

    def question(self, sample: Sample, epoch: int, *, info: EngineInfo) -> Question:
        request = self.request(sample, epoch)
        return Question(sample=sample, epoch=epoch, request=request, info=info, key=cache_key(info, request))

    def request(self, sample: Sample, epoch: int) -> CompletionRequest:
        spec = self.suite.spec
        choices = sample.choices if self.suite.scores_choices else ()
        return CompletionRequest(
            model=self.candidate.model,
            adapter=self.candidate.adapter,
            messages=self.suite.render(sample, self.candidate),
            sampling=self.suite.sampling(self.candidate, epoch),
            choices=choices,
            schema=spec.prompt.output_schema,
            tier=self.suite.tier,
            sample_id=sample.id,
            epoch=epoch,
        )

    async def cached(self, questions: Iterable[Question]) -> Mapping[str, Completion]:
        """One look-up for a whole shard: completions that need no engine, by key."""
        if self.cache is None:
            return {}
        return await self.cache.get([question.key for question in questions])

    async def result(self, question: Question, *, known: Mapping[str, Completion], reask: bool = False) -> SampleResult:
        """One (sample, epoch): from the cache or the engine, then scored. A refusal is a result with `error`."""
        sample, epoch = question.sample, question.epoch
        started = time.perf_counter()
        try:
            completion = await self._complete(question.request, info=question.info, key=question.key, known=known)
        except EngineRefused as error:
            return self._refused(sample, epoch, error=str(error), reask=reask)
        latency = time.perf_counter() - started
        ask = _Judge(self)
        scores = await score_all(self.suite.spec.scorers, sample, completion, ask)
        return SampleResult(
            sample_id=sample.id,
            epoch=epoch,
            scores=scores,
            completion=ask.charged(completion),
            reask=reask,
            latency_s=latency,
        )

    async def _complete(
        self, request: CompletionRequest, *, info: EngineInfo, key: str, known: Mapping[str, Completion]
    ) -> Completion:
        if key in known:
            return _free(known[key])
        engine = self.engine_of(request.model)
        with _naming(request.model):
            async with self.slots.hold(request) as hold:
                completion = await engine.complete(request)
                hold.used(completion.usage)
        completion = replace(completion, usage=hold.charged(completion.usage))
        if self.cache is not None and hold.engine in ("", info.model_digest):
            await self.cache.put(key, completion)  # an engine that was replaced meanwhile answers under another key
        return completion

    def _refused(self, sample: Sample, epoch: int, *, error: str, reask: bool) -> SampleResult:
        scores = {scorer.label: Score.unscored(error) for scorer in self.suite.spec.scorers}
        return SampleResult(sample_id=sample.id, epoch=epoch, scores=scores, error=error, reask=reask)


class _Judge:
    """`ask` of the scorers: a completion of any model, cached, its cost charged to the sample."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._gpu_s = self._cost = 0.0

    async def __call__(
        self, model: str, messages: tuple[Message, ...], sampling: Sampling, schema: Mapping[str, Any] | None
    ) -> Completion:
        evaluator = self._evaluator
        request = CompletionRequest(
            model=model, messages=messages, sampling=sampling, schema=schema, tier=evaluator.suite.tier
        )
        info = await evaluator.identity(model)
        key = cache_key(info, request)
        known = {} if evaluator.cache is None else await evaluator.cache.get([key])
        completion = await evaluator._complete(request, info=info, key=key, known=known)
        self._gpu_s += completion.usage.gpu_s
        self._cost += completion.usage.cost
        return completion

    def charged(self, completion: Completion) -> Completion:
        usage = completion.usage
        return replace(completion, usage=replace(usage, gpu_s=usage.gpu_s + self._gpu_s, cost=usage.cost + self._cost))


@contextmanager
def _naming(model: str) -> Iterator[None]:
    """An engine that is not available is this model's."""
    try:
        yield
    except EngineUnavailable as error:
        error.model = error.model or model
        raise


def _free(completion: Completion) -> Completion:
    """A cached answer costs no GPU, no money and no time."""
    usage = replace(completion.usage, queue_s=0.0, engine_s=0.0, gpu_s=0.0, cost=0.0)
    return replace(completion, usage=usage, cached=True)
