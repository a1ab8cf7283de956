"""Chores: things that a process does whenever there is something to do, whatever happens to the services below it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from evalwindow.errors import ServiceDown

log = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_PAUSE_S = 5.0

#: One round; True: there may be more to do at once.
Round = Callable[[], Awaitable[bool]]


class Bell:
    """Wakes one chore, at once or at a moment; ringing it often before it is heard is ringing it once."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        self._rung.set()

    def ring_in(self, seconds: float | None) -> None:
        """At that moment, instead of the one that was set before; None: at none."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None
        if seconds is not None:
            self._alarm = asyncio.get_running_loop().call_later(max(0.0, seconds), self.ring)

    def heard(self) -> None:
        self._rung.clear()

    async def wait(self) -> None:
        await self._rung.wait()


async def keep(name: str, work: Round, *, bell: Bell, pause_s: float, stopping: asyncio.Event) -> None:
    """Do a round, and another one whenever the bell has rung, until `stopping` is set.

    A service that is away is said once, and once that it is back; rounds are tried at growing pauses from `pause_s` on
    until then. A defect is logged with its traceback and ends only its round.
    """
    away, pause = False, pause_s
    while not stopping.is_set():
        bell.heard()
        try:
            more = await work()
        except ServiceDown as error:
            if not away:
                log.error("%s waits: %s", name, error)
            await _sleep(pause, stopping)
            away, pause = True, min(2 * pause, LONGEST_PAUSE_S)
        except Exception:
            log.exception("%s", name)
            await _sleep(LONGEST_PAUSE_S, stopping)
        else:
            if away:
                log.info("%s goes on", name)
            away, pause = False, pause_s
            if not more:
                await _first(bell.wait(), stopping.wait())


class Crew(Generic[T]):
    """Claims things and handles up to `size` of them at a time, each within `limit_s` seconds."""

    def __init__(
        self,
        *,
        name: Callable[[T], str],
        claim: Callable[[], T | None],
        handle: Callable[[T], Awaitable[None]],
        defect: Callable[[T, Exception], None],
        size: int,
        limit_s: float,
        bell: Bell,
    ) -> None:
        self._name, self._claim, self._handle, self._defect = name, claim, handle, defect
        self._limit_s, self._bell = limit_s, bell
        self._refused = False  # something may wait for a hand
        self._free = asyncio.Semaphore(size)
        self._at_work: set[asyncio.Task[None]] = set()

    async def round(self) -> bool:
        """Claim one thing; False when there is none, or no hand is free: then the bell rings when one is."""
        self._refused = self._free.locked()
        if self._refused:
            return False
        await self._free.acquire()
        claimed: T | None = None
        try:
            claimed = await asyncio.to_thread(self._claim)
        finally:
            if claimed is None:
                self._free.release()
        if claimed is None:
            return False
        task = asyncio.create_task(self._work(claimed))
        self._at_work.add(task)
        task.add_done_callback(self._at_work.discard)
        return True

    async def finish(self, grace_s: float) -> None:
        """Wait for what is being handled; what takes longer is cancelled, and somebody claims it again later."""
        await finish(self._at_work, grace_s)

    async def _work(self, claimed: T) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                await self._handle(claimed)
        except (ServiceDown, TimeoutError) as error:  # its lease runs out, then it is claimed again
            log.warning("%s: %s", self._name(claimed), str(error) or f"not handled within {self._limit_s} s")
        except Exception as error:
            log.exception("%s", self._name(claimed))
            with suppress(ServiceDown):
                await asyncio.to_thread(self._defect, claimed, error)
        finally:
            self._free.release()
            if self._refused:
                self._bell.ring()


async def finish(tasks: Collection[asyncio.Task[None]], grace_s: float) -> None:
    """Wait for tasks, and cancel those that take longer than the grace."""
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


async def _sleep(seconds: float, stopping: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Until one of them is over."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
