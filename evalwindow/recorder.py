"""Writes what shards compute: a shard's last results with its end, a slow one's with those or every few seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Protocol, TypeVar

from evalwindow.errors import ServiceDown
from evalwindow.model import Completion, SampleResult
from evalwindow.poison import Doubts, Known, Standing, Suspect

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH = 50  # results of one shard; a default shard's are written once, with its end
EVERY_S = 10.0  # what is older is written
LONGEST_PAUSE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Page:
    """Results that one claim of a shard has answered."""

    run_id: str
    shard_id: str
    token: int
    results: Sequence[SampleResult]


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """Leases that a statement renews by the way."""

    tokens: Mapping[str, int] = field(default_factory=dict)  # of held shards, by id
    lease_s: float = 0.0


NO_RENEWAL = Renewal()


@dataclass(frozen=True, kw_only=True)
class Written:
    """What became of what was to be written."""

    added: int = 0  # results that were new
    last: bool = False  # a shard was marked done, and nothing of its run remains
    leases: Mapping[str, str] = field(default_factory=dict)  # of a renewal: answers by shard id, as of Store.renew


class Keeper(Protocol):
    """Keeps the leases of this process."""

    def due(self, done: Page | None) -> Renewal:
        """What is worth renewing with that shard's end, which it leaves out."""

    def heed(self, asked: Renewal, answers: Mapping[str, str], *, asked_at: float) -> None:
        """`asked_at`: by time.monotonic()."""


class ResultStore(Protocol):
    def write(
        self,
        pages: Sequence[Page],
        completions: Mapping[str, Completion],
        *,
        done: Page | None = None,
        renewal: Renewal = NO_RENEWAL,
    ) -> Written: ...

    def look_up(self, keys: Iterable[str], *, completions: bool = True) -> Known: ...

    def strike(
        self, suspect: Suspect, *, whole: Suspect, run_id: str, error: str, proven: bool
    ) -> Mapping[str, Standing]: ...

    def absolve(self, keys: Iterable[str]) -> None: ...


class Ledger:
    """What the shards of one process have computed and nobody has written yet, and what they know of suspects.

    Whoever writes writes all of it, in one statement that renews the leases of `keeper`, too.
    """

    def __init__(self, keeper: Keeper | None = None) -> None:
        self.doubts = Doubts()
        self._keeper = keeper
        self._unwritten: set[Recorder] = set()
        self._turn = asyncio.Lock()
        self._clock: asyncio.Task[None] | None = None

    def note(self, recorder: Recorder) -> None:
        """It has something to write: at the latest in EVERY_S seconds."""
        self._unwritten.add(recorder)
        if self._clock is None or self._clock.done():
            self._clock = asyncio.create_task(self._soon())

    async def write(self, recorder: Recorder, *, ends: bool = False) -> bool:
        """What this recorder has; when it returns, all that it was given is written.

        `ends`: with its shard's end; True when nothing of its run remains.
        """
        done = recorder if ends else None
        async with self._turn:
            if recorder.empty and not ends:
                return False
            last = await self._together(recorder, done=done) if self._unwritten - {recorder} else None
            return await self._write({recorder}, done=done) if last is None else last

    async def _soon(self) -> None:
        while self._unwritten:
            await asyncio.sleep(EVERY_S)
            async with self._turn:
                await self._together()

    async def _together(self, *recorders: Recorder, done: Recorder | None = None) -> bool | None:
        """All that is there. None: that can't be; whose fault it is shows when each shard writes its own."""
        unwritten = {*self._unwritten, *recorders}
        try:
            return await self._write(unwritten, done=done)
        except Exception:
            log.exception("results of %d shards could not be written together", len(unwritten))
            return None

    async def _write(self, recorders: Set[Recorder], *, done: Recorder | None = None) -> bool:
        """One statement; what can't be written goes back to whom it is from."""
        if not recorders:
            return False
        taken = {recorder: recorder.take() for recorder in recorders}
        last = taken[done][0] if done else None
        pages = [page for page, _ in taken.values() if page.results]
        completions = {key: each for _, kept in taken.values() for key, each in kept.items()}
        store = next(iter(recorders)).store
        try:
            written = await self._renewing(partial(store.write, pages, completions), done=last)
        except BaseException:
            for recorder, (page, kept) in taken.items():
                recorder.give_back(page, kept)
            raise
        self._forget(recorders)
        return written.last

    async def _renewing(self, write: Callable[..., Written], *, done: Page | None) -> Written:
        """Whoever comes by PostgreSQL renews the leases that will have to be soon."""
        renewal = self._keeper.due(done) if self._keeper else NO_RENEWAL

        def once() -> tuple[float, Written]:
            return time.monotonic(), write(done=done, renewal=renewal)

        asked_at, written = await outlasting(once)
        if self._keeper is not None:
            self._keeper.heed(renewal, written.leases, asked_at=asked_at)
        return written

    def _forget(self, recorders: Iterable[Recorder]) -> None:
        """These are written; what is left is newer, and the clock begins anew for it."""
        self._unwritten.difference_update(each for each in recorders if each.empty)
        if self._clock is not None and self._clock is not asyncio.current_task():
            self._clock.cancel()
            self._clock = asyncio.create_task(self._soon()) if self._unwritten else None


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
        return await self._ledger.write(self, ends=True)

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
