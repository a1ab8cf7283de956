"""Writes what a shard computes, in batches, and waits out a database that is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from evalwindow.errors import ServiceDown
from evalwindow.model import Completion, SampleResult

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH = 25
LONGEST_PAUSE_S = 5.0


class ResultStore(Protocol):
    def record(self, run_id: str, shard_id: str, token: int, results: list[SampleResult]) -> int: ...

    def cache_get(self, keys: Iterable[str]) -> Mapping[str, Completion]: ...

    def cache_put(self, completions: Mapping[str, Completion]) -> None: ...


class Recorder:
    """Results and cache entries of one shard, written every 25 of them or when `flush` is called.

    At most one batch is lost by a kill; its samples are evaluated again by whoever claims the shard next.
    """

    def __init__(self, store: ResultStore, *, run_id: str, shard_id: str, token: int) -> None:
        self._store, self._run_id, self._shard_id, self._token = store, run_id, shard_id, token
        self._results: list[SampleResult] = []
        self._completions: dict[str, Completion] = {}
        self._writing = asyncio.Lock()

    async def get(self, keys: Iterable[str]) -> Mapping[str, Completion]:
        return await outlasting(lambda: self._store.cache_get(keys))

    async def put(self, key: str, completion: Completion) -> None:
        self._completions[key] = completion

    async def add(self, result: SampleResult) -> None:
        self._results.append(result)
        if len(self._results) >= BATCH:
            await self.flush()

    async def flush(self) -> None:
        async with self._writing:
            results, self._results = self._results, []
            completions, self._completions = self._completions, {}
            if results:
                await outlasting(lambda: self._store.record(self._run_id, self._shard_id, self._token, results))
            if completions:
                await outlasting(lambda: self._store.cache_put(completions))


async def outlasting(call: Callable[[], T]) -> T:
    """Run a blocking call in a thread, again and again while its service is down; cancel it to give up."""
    pause = 0.2
    while True:
        try:
            return await asyncio.to_thread(call)
        except ServiceDown as error:
            log.warning("waiting: %s", error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)
