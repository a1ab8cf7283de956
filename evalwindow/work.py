"""What a worker does with a shard that it holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from evalwindow.evaluate import Evaluator, Question
from evalwindow.gate import next_reask
from evalwindow.lanes.hold import Hold, Lanes, Ticket
from evalwindow.model import Completion, CompletionRequest, EngineInfo, SampleResult, Tier
from evalwindow.recorder import Recorder
from evalwindow.suites import Suite

LOOK_S = 0.2  # who waits for a turn hears this soon that none will come


class Interrupted(BaseException):
    """Work is to end: this prompt was not started.

    No Exception, as a cancellation is none: nothing that handles a scorer's errors may take it for an answer.
    """


class Slots:
    """A shard's way into the engines, shut once one of `ends` says so: the process stops, the window is over.

    Who waits for a turn then is interrupted, and who is in may end.
    """

    def __init__(self, lanes: Lanes, *ends: Callable[[], bool], team: str = "") -> None:
        self._lanes, self._ends, self._team = lanes, ends, team
        self.engines: set[str] = set()  # digests of what has answered, where a governor said so
        self._entering: set[asyncio.Task[Hold]] = set()
        self._watching: asyncio.Task[None] | None = None

    @property
    def shut(self) -> bool:
        """No further prompt may start."""
        return any(end() for end in self._ends)

    @asynccontextmanager
    async def hold(self, request: CompletionRequest, *, alone: bool = False) -> AsyncIterator[Hold]:
        """Wait for a turn of this prompt; raises Interrupted when none may come any more."""
        async with AsyncExitStack() as stack:
            place = self._lanes.hold(request.model, Ticket.of(request, team=self._team, alone=alone))
            hold = await self._entered(stack, place)
            if self.shut:
                raise Interrupted
            if hold.engine:
                self.engines.add(hold.engine)
            yield hold

    async def _entered(self, stack: AsyncExitStack, place: AbstractAsyncContextManager[Hold]) -> Hold:
        if self.shut:
            raise Interrupted
        entering = asyncio.create_task(stack.enter_async_context(place))
        self._entering.add(entering)
        entering.add_done_callback(self._entering.discard)
        self._watch()
        try:
            return await entering
        except asyncio.CancelledError:
            entering.cancel()
            await asyncio.wait([entering])
            if self.shut and not _cancelled():
                raise Interrupted from None
            raise

    def _watch(self) -> None:
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._interrupt())

    async def _interrupt(self) -> None:
        now = asyncio.get_running_loop().time
        while self._entering and not self.shut:  # noqa: ASYNC110 - ends are asked, they tell nobody
            await asyncio.sleep(LOOK_S - now() % LOOK_S)  # with the process's other shards, so that it wakes up once
        for entering in self._entering:
            entering.cancel()


def _cancelled() -> bool:
    """Is it this very task that was cancelled?"""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


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
