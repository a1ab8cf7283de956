"""500 prompts under way: through evalwindow, or straight to the engine; and smokes all through them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from benchmarks.bench_engine import BenchEngine, bodies
from benchmarks.runs import PATIENCE_S, Taken, taken, wish
from evalwindow.client import Client
from evalwindow.suites import Suite


class Night(Protocol):
    """A regression that is under way."""

    async def left(self) -> int:
        """Prompts that have no answer yet."""
        ...

    async def end(self) -> float:
        """Wait for it; its wall in seconds."""
        ...


class ApiNight:
    """Submitted to the API."""

    def __init__(self, client: Client, run_id: str, *, submitted: float) -> None:
        self._client, self._run_id, self._submitted = client, run_id, submitted

    @classmethod
    async def begin(cls, client: Client, suite: str, *, salt: str) -> ApiNight:
        submitted = time.time()
        accepted = await client.submit(wish(suite, salt=salt))
        return cls(client, accepted.id, submitted=submitted)

    async def left(self) -> int:
        progress = await self._client.progress(self._run_id)
        return progress.total - progress.done

    async def end(self) -> float:
        return (await self.taken()).verdict_s

    async def taken(self) -> Taken:
        run = await self._client.wait(self._run_id, timeout_s=PATIENCE_S)
        return taken(run, submitted=self._submitted)

    async def cancel(self) -> None:
        await self._client.cancel(self._run_id)


class DirectNight:
    """Every prompt sent by itself, as `ask` lets it in."""

    def __init__(self, asked: list[asyncio.Task[int]]) -> None:
        self._asked, self._begun, self._ended = asked, time.perf_counter(), 0.0
        for task in asked:
            task.add_done_callback(self._note)

    async def left(self) -> int:
        return sum(not task.done() for task in self._asked)

    async def end(self) -> float:
        await asyncio.gather(*self._asked)
        return self._ended - self._begun

    async def cancel(self) -> None:
        """Ask nothing more; the engine forgets what it has."""
        for task in self._asked:
            task.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)

    def _note(self, task: asyncio.Task[int]) -> None:
        self._ended = time.perf_counter()


class FirstCome:
    """A client without lanes: as many prompts at once as the engine has sequences, in the order of their arrival."""

    def __init__(self, engine: BenchEngine, *, places: int) -> None:
        self._engine, self._places = engine, asyncio.Semaphore(places)

    def night(self, suite: Suite, *, salt: str) -> DirectNight:
        return DirectNight([asyncio.create_task(self._ask(body)) for body in bodies(suite, salt=salt)])

    async def smoke(self, suite: Suite, *, salt: str = "") -> list[float]:
        """Seconds to each answer, from now."""
        begun = time.perf_counter()

        async def one(body: dict[str, Any]) -> float:
            await self._ask(body)
            return time.perf_counter() - begun

        return await asyncio.gather(*map(one, bodies(suite, salt=salt)))

    async def _ask(self, body: dict[str, Any]) -> int:
        async with self._places:
            return await self._engine.ask(body)


async def all_through(
    night: Night, smoke: Callable[[], Awaitable[float]], *, gap_s: float, until_left: int
) -> list[float]:
    """Smokes, one every `gap_s`, for as long as more than `until_left` prompts have no answer; what each took."""
    pending = []
    while await night.left() > until_left:
        pending.append(asyncio.ensure_future(smoke()))
        await asyncio.sleep(gap_s)
    return list(await asyncio.gather(*pending))
