"""Leases of the shards that this process works on: renewed together, watched for a cancel and a window's end."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from evalwindow.errors import ServiceDown
from evalwindow.recorder import Ledger

log = logging.getLogger(__name__)

HEARD_S = 2.0  # who ended a run is heard within this time

#: renew({shard id: token}) -> {shard id: "held" | "closing" | "lost" | "cancelled"}
Renew = Callable[[Mapping[str, int]], Mapping[str, str]]


class Lease:
    """The right to work on one shard: `ended` is set when it is gone, `closing` when the store says to finish.

    `closes_at` is when that is known to come, by time.monotonic(): so a window ends though nobody can say so.
    """

    def __init__(self, shard_id: str, token: int, *, closes_at: float = math.inf) -> None:
        self.shard_id, self.token, self.closes_at = shard_id, token, closes_at
        self.ended, self.closing = asyncio.Event(), asyncio.Event()
        self.why = ""  # lost or cancelled

    def closed(self) -> bool:
        """No further prompt may start; those that have started may end."""
        return self.closing.is_set() or time.monotonic() >= self.closes_at

    def end(self, why: str) -> None:
        self.why = why
        self.ended.set()


class Leases:
    """Renews every lease of the process in one round trip, every third of its length and every 2 s at the latest.

    So a run that was cancelled, or superseded by a newer commit, ends within 2 s, between prompts and within them.
    `ledger` is what their holders have not written yet.
    """

    def __init__(self, renew: Renew, *, lease_s: float) -> None:
        self._renew, self._pause = renew, min(lease_s / 3, HEARD_S)
        self.ledger = Ledger()
        self._held: dict[str, Lease] = {}
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def hold(self, shard_id: str, token: int, *, closes_at: float = math.inf) -> AsyncIterator[Lease]:
        """Keep a claimed shard's lease alive inside the block."""
        lease = self._held[shard_id] = Lease(shard_id, token, closes_at=closes_at)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            yield lease
        finally:
            if self._held.get(shard_id) is lease:
                del self._held[shard_id]

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._pause)
            if self._held:
                await self._round()

    async def _round(self) -> None:
        held = dict(self._held)
        tokens = {shard_id: lease.token for shard_id, lease in held.items()}
        try:
            answers = await asyncio.to_thread(self._renew, tokens)
        except ServiceDown as error:  # the token still guards what we write; try again next time
            log.warning("leases not renewed: %s", error)
            return
        for shard_id, answer in answers.items():
            _heed(held[shard_id], answer)


def _heed(lease: Lease, answer: str) -> None:
    if answer in ("lost", "cancelled"):
        lease.end(answer)
    elif answer == "closing" and not lease.closing.is_set():
        log.info("shard %s: its window is over, no further prompt starts", lease.shard_id)
        lease.closing.set()
