"""A unit's turns in the rollouts of its pool."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from evalwindow.errors import ServiceDown
from evalwindow.store import Store
from evalwindow.store.listener import Listener
from evalwindow.store.wakes import ROLLOUTS

log = logging.getLogger("workers.gpu")

LOOK_S = 2.0  # between two looks at a rollout that goes on, or for one while no wake-ups are heard
SELDOM_S = 60.0  # between two looks for one while they are
LEASE_S = 60.0  # a unit that died in its turn frees it after so long
RENEW_S = 10.0
AGAIN_S = 2.0  # while PostgreSQL is away
LONGEST_ERROR = 500  # characters: the whole story is in the engine's log


class Turns:
    """Of one unit."""

    def __init__(self, store: Store, *, pool: str, worker: str) -> None:
        self._store, self._pool, self._worker = store, pool, worker
        self._told = asyncio.Event()
        self._listener = Listener(store, ROLLOUTS, self._heard, changed=self._told.set)

    async def listen(self) -> None:
        """Hear at once of a rollout that is asked for, until it is cancelled."""
        await self._listener.run()

    async def mine(self, serving: Callable[[], tuple[float, str]]) -> str:
        """Wait for a turn; the rollout's id. `serving()` -> (when its config was read, the model's digest)."""
        while True:
            self._told.clear()
            try:
                goes_on, rollout_id = await asyncio.to_thread(self._take, *serving())
            except ServiceDown:  # the heartbeat says so
                goes_on, rollout_id = True, None
            if rollout_id is not None:
                return rollout_id
            with suppress(TimeoutError):
                pause = SELDOM_S if self._listener.listening and not goes_on else LOOK_S
                await asyncio.wait_for(self._told.wait(), pause)

    @asynccontextmanager
    async def kept(self, rollout_id: str) -> AsyncIterator[None]:
        """Renew the lease inside the block. Who is cancelled in it leaves the turn to the next."""
        renewing = asyncio.create_task(self._renew(rollout_id))
        try:
            yield
        except asyncio.CancelledError:
            await self._leave(rollout_id)
            raise
        finally:
            renewing.cancel()

    async def done(self, rollout_id: str, *, model_digest: str) -> None:
        await _written(
            lambda: asyncio.to_thread(
                self._store.end_turn, rollout_id, self._pool, self._worker, model_digest=model_digest
            )
        )

    async def halt(self, rollout_id: str, error: Exception) -> None:
        """The new engine may not serve: nobody else tries."""
        await _written(
            lambda: asyncio.to_thread(
                self._store.halt_rollout, rollout_id, self._pool, self._worker, error=_shortened(str(error))
            )
        )

    def _heard(self, pool: str) -> None:
        if pool == self._pool:
            self._told.set()

    def _take(self, read_at: float, model_digest: str) -> tuple[bool, str | None]:
        """(a rollout goes on, its id if this is our turn in it)."""
        if self._store.open_rollout(self._pool) is None:
            return False, None
        age_s = time.time() - read_at
        return True, self._store.take_turn(
            self._pool, self._worker, config_age_s=age_s, model_digest=model_digest, lease_s=LEASE_S
        )

    async def _renew(self, rollout_id: str) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                await asyncio.to_thread(self._store.keep_turn, rollout_id, self._worker, lease_s=LEASE_S)
            except ServiceDown as error:
                log.warning("the turn is not renewed: %s", error)

    async def _leave(self, rollout_id: str) -> None:
        try:
            await asyncio.to_thread(self._store.leave_turn, rollout_id, self._worker)
        except ServiceDown as error:
            log.warning("the turn ends with its lease: %s", error)


async def _written(write: Callable[[], Awaitable[None]]) -> None:
    """For as long as a lease lasts. What was not written then is found out again by the next turn."""
    deadline = time.monotonic() + LEASE_S
    while time.monotonic() < deadline:
        try:
            return await write()
        except ServiceDown as error:
            log.warning("the end of the turn is not written yet: %s", error)
            await asyncio.sleep(AGAIN_S)
    return None


def _shortened(text: str) -> str:
    """The first line and, where one follows the quoted log, the advice: rows are shown to everybody."""
    first, *more = text.splitlines() or [""]
    advice = [line for line in more[-1:] if not line.startswith(" ")]
    return " ".join([first, *advice])[:LONGEST_ERROR]
