"""Chores: things that a process does over and over, whatever happens to the services below it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from typing import Generic, TypeVar

from evalwindow.errors import ServiceDown

log = logging.getLogger(__name__)
T = TypeVar("T")

LONGEST_PAUSE_S = 5.0

#: One round; True: there may be more to do at once.
Round = Callable[[], Awaitable[bool]]


async def keep(name: str, work: Round, *, poll_s: float, stopping: asyncio.Event) -> None:
    """Do rounds until `stopping` is set.

    A service that is away is said once, and once that it is back; rounds are tried at growing pauses until then. A
    defect is logged with its traceback and ends only its round.
    """
    away, pause = False, poll_s
    while not stopping.is_set():
        try:
            more = await work()
        except ServiceDown as error:
            if not away:
                log.error("%s waits: %s", name, error)
            away, pause = True, min(2 * pause, LONGEST_PAUSE_S)
        except Exception:
            log.exception("%s", name)
            pause = LONGEST_PAUSE_S
        else:
            if away:
                log.info("%s goes on", name)
            away, pause = False, poll_s
            if more:
                continue
        await _sleep(pause, stopping)


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
    ) -> None:
        self._name, self._claim, self._handle, self._defect = name, claim, handle, defect
        self._limit_s = limit_s
        self._free = asyncio.Semaphore(size)
        self._at_work: set[asyncio.Task[None]] = set()

    async def round(self) -> bool:
        """Claim one thing; False when there is none, or no hand is free."""
        if self._free.locked():
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
