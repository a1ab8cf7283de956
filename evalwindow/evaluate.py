"""A shard's prompts x an engine x scorers -> results. Knows no queue and no SQL."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from evalwindow.cache import cache_key, whole_key
from evalwindow.engines.base import Engine
from evalwindow.engines.retry import Backoff, patiently
from evalwindow.errors import EngineDied, EngineRefused, EngineUnavailable
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
from evalwindow.poison import Case, Docket, Quarantined, Suspect
from evalwindow.scorers.run import score_all
from evalwindow.suites import Suite

SPARED = 5  # times that a prompt's connection broke off though its engine lives, or was to end anyhow


class Cache(Protocol):
    """Completions by provenance key."""

    async def get(self, keys: Iterable[str]) -> Mapping[str, Completion]: ...

    async def put(self, key: str, completion: Completion) -> None: ...


class Slots(Protocol):
    """Lets prompts into the engine."""

    def hold(self, request: CompletionRequest, *, alone: bool = False) -> AbstractAsyncContextManager[Hold]: ...


@dataclass(frozen=True, kw_only=True)
class Question:
    """One (sample, epoch) as it is asked, of whom, and the key that the answer is kept under."""

    sample: Sample
    epoch: int
    request: CompletionRequest
    info: EngineInfo
    key: str
    first: str  # the key of its first epoch: what ends engines is the prompt, whatever its seed
    whole: str  # the key of all prompts of its candidate and suite


@dataclass(frozen=True, kw_only=True)
class Evaluator:
    """Evaluates samples of one run."""

    suite: Suite
    candidate: Candidate
    engine_of: Callable[[str], Engine]  # by model name; raises EngineRefused where this worker has none
    cache: Cache | None
    slots: Slots  # held while a prompt is in the engine
    backoff: Backoff  # how long to wait for an engine that restarts
    docket: Docket | None = None  # where prompts that end engines are written down; None: nobody does

    async def info(self) -> EngineInfo:
        """What answers; waits for an engine that is away."""
        return await self.identity(self.candidate.model)

    async def identity(self, model: str) -> EngineInfo:
        with _naming(model):
            return await patiently(lambda: self.engine_of(model).info(model), self.backoff)

    def question(self, sample: Sample, epoch: int, *, info: EngineInfo) -> Question:
        request = self.request(sample, epoch)
        whole = whole_key(info, suite=self.suite.digest, candidate=self.candidate)
        first = key = cache_key(info, request)
        if epoch:
            first = cache_key(info, replace(request, epoch=0, sampling=self.suite.sampling(self.candidate, 0)))
        return Question(sample=sample, epoch=epoch, request=request, info=info, key=key, first=first, whole=whole)

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
        """One look-up for a whole shard: completions that need no engine, by key; and what may not be asked."""
        asked = list(questions)
        return await self._known([key for each in asked for key in (each.key, each.first, each.whole)])

    async def _known(self, keys: Iterable[str]) -> Mapping[str, Completion]:
        wanted = list(dict.fromkeys(keys))
        if self.cache is not None:
            return await self.cache.get(wanted)
        if self.docket is not None:
            await self.docket.look(wanted)
        return {}

    async def result(self, question: Question, *, known: Mapping[str, Completion], reask: bool = False) -> SampleResult:
        """One (sample, epoch): from the cache or the engine, then scored. A refusal is a result with `error`."""
        sample, epoch = question.sample, question.epoch
        started = time.perf_counter()
        try:
            case = self._case(question, key=question.first, model=question.request.model)
            completion = await self._complete(
                question.request, info=question.info, key=question.key, case=case, known=known
            )
        except EngineRefused as error:
            return self._refused(sample, epoch, error=error, reask=reask)
        latency = time.perf_counter() - started
        ask = _Judge(self, question)
        scores = await score_all(self.suite.spec.scorers, sample, completion, ask)
        return SampleResult(
            sample_id=sample.id,
            epoch=epoch,
            scores=scores,
            completion=ask.charged(completion),
            reask=reask,
            latency_s=latency,
            quarantined=ask.quarantined,
        )

    def _case(self, question: Question, *, key: str, model: str) -> Case:
        """Of a prompt that is asked for this question: its own, or a judge's."""
        whole = Suspect(key=question.whole, suite=self.suite.name, sample_id="", model=self.candidate.model)
        prompt = replace(whole, key=key, sample_id=question.sample.id, model=model)
        return Case(prompt=prompt, whole=whole, docket=self.docket)

    async def _complete(
        self, request: CompletionRequest, *, info: EngineInfo, key: str, case: Case, known: Mapping[str, Completion]
    ) -> Completion:
        if key in known:
            return _free(known[key])
        with _naming(request.model):
            completion, engine = await self._answer(request, case)
        if self.cache is not None and engine in ("", info.model_digest):
            await self.cache.put(key, completion)  # an engine that was replaced meanwhile answers under another key
        return completion

    async def _answer(self, request: CompletionRequest, case: Case) -> tuple[Completion, str]:
        """From the engine, and which one (its digest, where a governor says so).

        Asked again after the engine's death, until the prompt is proven to be its cause; then Quarantined.
        """
        spared = 0
        while True:
            try:
                answer = await self._ask(request, case)
            except EngineDied as error:
                spared += bool(error.had)
                if spared > SPARED:
                    raise
                await asyncio.sleep(self.backoff.pause(spared) if spared else 0)
            else:
                if answer is not None:
                    return answer

    async def _ask(self, request: CompletionRequest, case: Case) -> tuple[Completion, str] | None:
        """Once. None: the engine died of it or beside it, or it has become a suspect while it waited."""
        alone, engine = case.alone(), self.engine_of(request.model)
        try:
            async with self.slots.hold(request, alone=alone) as hold:
                if alone:
                    await case.look_again()
                if case.alone() and not alone:
                    return None
                with _telling(hold):
                    completion = await engine.complete(request)
                hold.used(completion.usage)
        except EngineDied as error:
            if not hold.died:
                raise
            await case.died(loading=error.had == "adapter", alone=alone, error=str(error))
            return None
        await case.answered()
        return replace(completion, usage=hold.charged(completion.usage)), hold.engine

    def _refused(self, sample: Sample, epoch: int, *, error: EngineRefused, reask: bool) -> SampleResult:
        scores = {scorer.label: Score.unscored(str(error)) for scorer in self.suite.spec.scorers}
        quarantined = isinstance(error, Quarantined)
        return SampleResult(
            sample_id=sample.id, epoch=epoch, scores=scores, error=str(error), reask=reask, quarantined=quarantined
        )


class _Judge:
    """`ask` of the scorers: a completion of any model, cached, its cost charged to the sample."""

    def __init__(self, evaluator: Evaluator, question: Question) -> None:
        self._evaluator, self._question = evaluator, question
        self._gpu_s = self._cost = 0.0
        self.quarantined = False  # it was not asked, because its prompt has ended engines

    async def __call__(
        self, model: str, messages: tuple[Message, ...], sampling: Sampling, schema: Mapping[str, Any] | None
    ) -> Completion:
        evaluator = self._evaluator
        request = CompletionRequest(
            model=model, messages=messages, sampling=sampling, schema=schema, tier=evaluator.suite.tier
        )
        info = await evaluator.identity(model)
        key = cache_key(info, request)
        case = evaluator._case(self._question, key=key, model=model)
        known = await evaluator._known([key])
        try:
            completion = await evaluator._complete(request, info=info, key=key, case=case, known=known)
        except Quarantined:
            self.quarantined = True
            raise
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


@contextmanager
def _telling(hold: Hold) -> Iterator[None]:
    """Whoever keeps the engine hears that it broke off with the prompt; one that only waited has nothing to tell."""
    try:
        yield
    except EngineDied as error:
        hold.broke_off = bool(error.had)
        raise


def _free(completion: Completion) -> Completion:
    """A cached answer costs no GPU, no money and no time."""
    usage = replace(completion.usage, queue_s=0.0, engine_s=0.0, gpu_s=0.0, cost=0.0)
    return replace(completion, usage=usage, cached=True)
