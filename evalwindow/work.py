"""What a worker does with a shard that it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any

from evalwindow.evaluate import Evaluator, Question
from evalwindow.gate import next_reask
from evalwindow.model import Completion, EngineInfo, SampleResult, Tier
from evalwindow.recorder import Recorder
from evalwindow.suites import Suite


class Interrupted(BaseException):
    """Work is to end: this prompt was not started.

    No Exception, as a cancellation is none: nothing that handles a scorer's errors may take it for an answer.
    """


class Slots:
    """A lane's semaphore that lets nobody in once one of `ends` says so: the process stops, the window is over."""

    def __init__(self, semaphore: asyncio.Semaphore, *ends: Callable[[], bool]) -> None:
        self._semaphore, self._ends = semaphore, ends

    @property
    def shut(self) -> bool:
        """No further prompt may start."""
        return any(end() for end in self._ends)

    async def __aenter__(self) -> None:
        await self._semaphore.acquire()
        if self.shut:
            self._semaphore.release()
            raise Interrupted

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._semaphore.release()


class ShardWork:
    """Evaluates the samples of one shard that have no result yet."""

    def __init__(self, *, suite: Suite, evaluator: Evaluator, recorder: Recorder, info: EngineInfo) -> None:
        self._suite, self._evaluator, self._recorder, self._info = suite, evaluator, recorder, info

    async def run(self, sample_ids: Iterable[str], *, done: Iterable[tuple[str, int]]) -> None:
        """Raises Interrupted when prompts were left out because work is to end; what is done is recorded."""
        finished = set(done)
        todo = [
            self._question(sample_id, epoch)
            for sample_id in sample_ids
            for epoch in range(self._suite.spec.epochs)
            if (sample_id, epoch) not in finished
        ]
        known = await self._evaluator.cached(todo)
        try:
            await _all(self._one(question, known=known) for question in todo)
        finally:
            await self._recorder.flush()

    async def reask(self, results: list[SampleResult]) -> None:
        """The smoke tripwire's further calls, one after another until the test is decided."""
        try:
            while (sample_id := next_reask(self._suite, results)) is not None:
                epoch = 1 + max(result.epoch for result in results if result.sample_id == sample_id)
                result = await self._evaluator.result(self._question(sample_id, epoch), known={}, reask=True)
                results.append(result)
                await self._recorder.add(result)
        finally:
            await self._recorder.flush()

    def _question(self, sample_id: str, epoch: int) -> Question:
        return self._evaluator.question(self._suite.sample(sample_id), epoch, info=self._info)

    async def _one(self, question: Question, *, known: Mapping[str, Completion]) -> None:
        await self._recorder.add(await self._evaluator.result(question, known=known))

    @property
    def asks_again(self) -> bool:
        return self._suite.tier is Tier.SMOKE


async def _all(jobs: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all; the first real error cancels the rest, an interruption lets those in the engine end first."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        outcomes = await _until_error(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if any(isinstance(outcome, Interrupted) for outcome in outcomes):
        raise Interrupted


async def _until_error(tasks: list[asyncio.Task[None]]) -> list[BaseException | None]:
    outcomes: list[BaseException | None] = []
    for next_done in asyncio.as_completed(tasks):
        try:
            await next_done
            outcomes.append(None)
        except Interrupted as interruption:
            outcomes.append(interruption)
    return outcomes
