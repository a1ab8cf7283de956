"""Leases of the shards that this process works on: renewed together, watched for a cancel and a window's end.

A statement that writes results renews them, too; only where none came for a while, one of their own does.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Protocol

from evalwindow.errors import ServiceDown
from evalwindow.recorder import Ledger, Page, Renewal

log = logging.getLogger(__name__)

HEARD_S = 2.0  # between two looks while no wake-ups are heard

#: renew({shard id: token}) -> {shard id: "held" | "closing" | "done" | "lost" | "cancelled"}
Renew = Callable[[Mapping[str, int]], Mapping[str, str]]


class Wakes(Protocol):
    """Tells of runs that are final, while it is `listening`."""

    listening: bool

    async def run(self) -> None:
        """Until it is cancelled."""
        ...


#: wakes_of(heard): they call `heard` with the id of each run that is final
WakesOf = Callable[[Callable[[str], None]], Wakes]


class Lease:
    """The right to work on one shard: `ended` is set when it is gone, `closing` when the store says to finish.

    `closes_at` is when that is known to come, by time.monotonic(): so a window ends though nobody can say so.
    """

    def __init__(self, shard_id: str, token: int, *, run_id: str = "", closes_at: float = math.inf) -> None:
        self.shard_id, self.token, self.run_id, self.closes_at = shard_id, token, run_id, closes_at
        self.ended, self.closing = asyncio.Event(), asyncio.Event()
        self.asked_at = time.monotonic()  # when it was claimed, or its renewal was last asked for
        self.why = ""  # lost or cancelled
        self.finished = False  # the shard is done: there is nothing to renew, and nothing to stop

    def closed(self) -> bool:
        """No further prompt may start; those that have started may end."""
        return self.closing.is_set() or time.monotonic() >= self.closes_at

    def end(self, why: str) -> None:
        self.why = why
        self.ended.set()


class Leases:
    """Renews every lease of the process in one round trip, at the latest every third of its length.

    A run that was cancelled, or superseded by a newer commit, ends at once, between prompts and within them: the wakes
    tell. Without them it ends within 2 s. `ledger` is what their holders have not written yet; what it writes renews
    leases by the way.
    """

    def __init__(self, renew: Renew, *, lease_s: float, wakes_of: WakesOf | None = None) -> None:
        self._renew, self._lease_s, self._longest = renew, lease_s, lease_s / 3
        self.ledger = Ledger(self)
        self._held: dict[str, Lease] = {}
        self._soon = asyncio.Event()
        self._wakes = wakes_of(self._heard) if wakes_of else None
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def pause_s(self) -> float:
        """Seconds after which a lease is renewed while nothing is told."""
        told = self._wakes is not None and self._wakes.listening
        return self._longest if told else min(self._longest, HEARD_S)

    @asynccontextmanager
    async def hold(
        self, shard_id: str, token: int, *, run_id: str = "", closes_at: float = math.inf
    ) -> AsyncIterator[Lease]:
        """Keep a claimed shard's lease alive inside the block."""
        lease = self._held[shard_id] = Lease(shard_id, token, run_id=run_id, closes_at=closes_at)
        self._start()
        try:
            yield lease
        finally:
            if self._held.get(shard_id) is lease:
                del self._held[shard_id]

    def due(self, done: Page | None = None) -> Renewal:
        """Of the leases that are through half of that time, and of others of the run whose shard is done."""
        now, half = time.monotonic(), self.pause_s / 2
        chosen = [
            lease
            for shard_id, lease in self._open.items()
            if (done is None or shard_id != done.shard_id)
            and (now - lease.asked_at > half or (done is not None and lease.run_id == done.run_id))
        ]
        return Renewal(tokens={lease.shard_id: lease.token for lease in chosen}, lease_s=self._lease_s)

    def heed(self, asked: Renewal, answers: Mapping[str, str], *, asked_at: float) -> None:
        """What PostgreSQL has said to a renewal. Leases that are over don't hear it."""
        held = self._open
        for shard_id, answer in answers.items():
            lease = held.get(shard_id)
            if lease is not None and lease.token == asked.tokens.get(shard_id):
                lease.asked_at = max(lease.asked_at, asked_at)
                _heed(lease, answer)

    async def aclose(self) -> None:
        for task in self._tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _start(self) -> None:
        """What is not at work yet, or has died of a defect."""
        works = {"rounds": self._run} | ({"wakes": self._wakes.run} if self._wakes else {})
        for name, work in works.items():
            if name not in self._tasks or self._tasks[name].done():
                self._tasks[name] = asyncio.create_task(work())

    def _heard(self, run_id: str) -> None:
        if any(lease.run_id == run_id for lease in self._open.values()):
            self._soon.set()

    @property
    def _open(self) -> dict[str, Lease]:
        return {shard_id: lease for shard_id, lease in self._held.items() if not lease.finished}

    @property
    def _tokens(self) -> dict[str, int]:
        return {shard_id: lease.token for shard_id, lease in self._open.items()}

    async def _run(self) -> None:
        while True:
            told = await self._told()
            if self._open and (told or self._rest_s <= 0):
                await self._round()

    async def _told(self) -> bool:
        """True: a run is final. False: it may be time to renew."""
        try:
            await asyncio.wait_for(self._soon.wait(), self._rest_s)
        except TimeoutError:
            return False
        self._soon.clear()
        return True

    @property
    def _rest_s(self) -> float:
        """Seconds until the first of the leases has to be renewed."""
        now = time.monotonic()
        first = min((lease.asked_at for lease in self._open.values()), default=now)
        return max(0.0, first + self.pause_s - now)

    async def _round(self) -> None:
        asked, now = Renewal(tokens=self._tokens, lease_s=self._lease_s), time.monotonic()
        for shard_id in asked.tokens:
            self._held[shard_id].asked_at = now
        try:
            answers = await asyncio.to_thread(self._renew, asked.tokens)
        except ServiceDown as error:  # the token still guards what we write; try again next time
            log.warning("leases not renewed: %s", error)
            return
        self.heed(asked, answers, asked_at=now)


def _heed(lease: Lease, answer: str) -> None:
    if answer in ("lost", "cancelled"):
        lease.end(answer)
    elif answer == "closing" and not lease.closing.is_set():
        log.info("shard %s: its window is over, no further prompt starts", lease.shard_id)
        lease.closing.set()
