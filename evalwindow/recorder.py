"""Writes what shards compute: a shard's last results with its end, a slow one's every few seconds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, TypeVar

from evalwindow.errors import ServiceDown
from evalwindow.model import Completion, SampleResult
from evalwindow.poison import Doubts, Known, Standing, Suspect

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH = 50  # results of one shard; a default shard's are written once, with its end
EVERY_S = 10.0  # what is older is written, all of a process's shards in one statement
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """Results that one claim of a shard has answered."""

    run_id: str
    shard_id: str
    token: int
    results: Sequence[SampleResult]


class ResultStore(Protocol):
    def write(self, pages: Sequence[Page], completions: Mapping[str, Completion]) -> int: ...

    def write_last(self, page: Page, completions: Mapping[str, Completion]) -> bool: ...

    def look_up(self, keys: Iterable[str], *, completions: bool = True) -> Known: ...

    def strike(
        self, suspect: Suspect, *, whole: Suspect, run_id: str, error: str, proven: bool
    ) -> Mapping[str, Standing]: ...

    def absolve(self, keys: Iterable[str]) -> None: ...


class Ledger:
    """What the shards of one process have computed and nobody has written yet, and what they know of suspects."""

    def __init__(self) -> None:
        self.doubts = Doubts()
        self._unwritten: set[Recorder] = set()
        self._turn = asyncio.Lock()
        self._clock: asyncio.Task[None] | None = None

    def note(self, recorder: Recorder) -> None:
        """It has something to write: at the latest in EVERY_S seconds."""
        self._unwritten.add(recorder)
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._soon())

    async def write(self, recorder: Recorder) -> None:
        """What this recorder has; when it returns, all that it was given is written."""
        async with self._turn:
            await self._write([recorder])

    async def write_last(self, recorder: Recorder) -> bool:
        """What this recorder has, with its shard's end; True when nothing of its run remains."""
        async with self._turn:
            page, completions = recorder.take()
            try:
                last = await outlasting(lambda: recorder.store.write_last(page, completions))
            except BaseException:
                recorder.give_back(page, completions)
                raise
            self._forget([recorder])
            return last

    async def _soon(self) -> None:
        while self._unwritten:
            await asyncio.sleep(EVERY_S)
            async with self._turn:
                try:
                    await self._write(list(self._unwritten))
                except Exception:  # whose fault it is shows when each shard writes its own
                    log.exception("results of %d shards could not be written together", len(self._unwritten))

    async def _write(self, recorders: Sequence[Recorder]) -> None:
        """One statement; what can't be written goes back to whom it is from."""
        if not recorders:
            return
        taken = {recorder: recorder.take() for recorder in recorders}
        pages = [page for page, _ in taken.values() if page.results]
        completions = {key: each for _, kept in taken.values() for key, each in kept.items()}
        store = recorders[0].store
        try:
            if pages or completions:
                await outlasting(lambda: store.write(pages, completions))
        except BaseException:
            for recorder, (page, kept) in taken.items():
                recorder.give_back(page, kept)
            raise
        self._forget(recorders)

    def _forget(self, recorders: Iterable[Recorder]) -> None:
        self._unwritten.difference_update(each for each in recorders if each.empty)
        if not self._unwritten and self._clock is not None and self._clock is not asyncio.current_task():
            self._clock.cancel()


class Recorder:
    """Results and cache entries of one shard, written every 50 results, after 10 s, or when `flush` is called.

    At most one batch of a shard, and the work of 10 s, is lost by a kill; its samples are evaluated again by whoever
    claims the shard next. With `expected` results, the last of them wait for `finish`, which writes them together with
    the shard's end; leaving the block by an error writes them, too.
    """

    def __init__(
        self,
        store: ResultStore,
        *,
        run_id: str,
        shard_id: str,
        token: int,
        ledger: Ledger | None = None,
        expected: int | None = None,
        struck: bool = True,
    ) -> None:
        self.store = store
        self._run_id, self._shard_id, self._token = run_id, shard_id, token
        self._ledger = ledger or Ledger()
        self._missing, self._struck = expected, struck
        self._results: list[SampleResult] = []
        self._completions: dict[str, Completion] = {}

    async def __aenter__(self) -> Recorder:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            await self.write()

    async def get(self, keys: Iterable[str]) -> Mapping[str, Completion]:
        """Completions that are known; what is held against these keys is learned by the way."""
        return await self._look_up(list(keys), completions=True)

    async def look(self, keys: Iterable[str]) -> None:
        """Costs nothing where no prompt at all had a strike when the shard was claimed."""
        if self._struck:
            await self._look_up(list(keys), completions=False)
        else:
            self._ledger.doubts.learn(list(keys), {})

    async def look_again(self, keys: Iterable[str]) -> None:
        wanted = list(keys)
        try:
            known = await asyncio.to_thread(self.store.look_up, wanted, completions=False)
        except ServiceDown as error:
            log.warning("not looked up again: %s", error)
        else:
            self._ledger.doubts.learn(wanted, known.standings)

    def standing(self, key: str) -> Standing:
        return self._ledger.doubts.of(key)

    async def strike(self, suspect: Suspect, *, whole: Suspect, error: str, proven: bool) -> None:
        store, run_id = self.store, self._run_id
        struck = await outlasting(lambda: store.strike(suspect, whole=whole, run_id=run_id, error=error, proven=proven))
        self._ledger.doubts.learn(struck, struck)
        standing = struck[suspect.key]
        log.warning("%s: %s", _named(suspect), "quarantined" if standing.quarantined else f"{standing.strikes} strikes")

    async def absolve(self, keys: Iterable[str]) -> None:
        answered = list(keys)
        self._ledger.doubts.learn(answered, {})
        await outlasting(lambda: self.store.absolve(answered))

    async def put(self, key: str, completion: Completion) -> None:
        self._completions[key] = completion
        self._ledger.note(self)

    async def add(self, result: SampleResult) -> None:
        self._results.append(result)
        self._ledger.note(self)
        if self._missing is not None:
            self._missing -= 1
        if len(self._results) >= BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Write what is there, unless it is the rest that `finish` will write."""
        if self._missing != 0:
            await self.write()

    async def write(self) -> None:
        """Write what is there."""
        await self._ledger.write(self)

    async def finish(self) -> bool:
        """Write what is left and mark the shard done; True when nothing of its run remains."""
        return await self._ledger.write_last(self)

    @property
    def empty(self) -> bool:
        return not self._results and not self._completions

    async def _look_up(self, keys: list[str], *, completions: bool) -> Mapping[str, Completion]:
        known = await outlasting(lambda: self.store.look_up(keys, completions=completions))
        self._ledger.doubts.learn(keys, known.standings)
        return known.completions

    def take(self) -> tuple[Page, dict[str, Completion]]:
        """What is to be written; it is the ledger's business from now on."""
        page = Page(run_id=self._run_id, shard_id=self._shard_id, token=self._token, results=self._results)
        completions = self._completions
        self._results, self._completions = [], {}
        return page, completions

    def give_back(self, page: Page, completions: Mapping[str, Completion]) -> None:
        self._results = [*page.results, *self._results]
        self._completions = {**completions, **self._completions}


def _named(suspect: Suspect) -> str:
    what = f"sample {suspect.sample_id!r}" if suspect.sample_id else f"all of model {suspect.model!r}"
    return f"{what} of suite {suspect.suite!r}"


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
