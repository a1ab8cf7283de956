"""Says in the store how a pool's engine is and what it does: `/readyz`, the dispatcher and the pages go by it."""

from __future__ import annotations

import asyncio
import logging
import time

from evalwindow.errors import ServiceDown
from evalwindow.store import Store
from evalwindow.store.pools import STOPPED
from workers.gauge import Gauge
from workers.serving import Serving, Sign

log = logging.getLogger(__name__)

EVERY_S = 15.0  # readers call an engine missing after a minute: two may get lost
LOOK_S = 0.5  # a change is said this soon


class Heartbeat:
    """One engine's signs of life."""

    def __init__(self, store: Store, serving: Serving, *, pool: str, worker: str) -> None:
        self._store, self._serving, self._pool, self._worker = store, serving, pool, worker
        self._gauge = Gauge(serving)
        self._said: Sign | None = None
        self._said_at = 0.0

    async def keep(self) -> None:
        """Until it is cancelled."""
        while True:
            sign = self._serving.sign
            if sign != self._said or time.monotonic() - self._said_at > EVERY_S:
                await self._say(sign)
            await asyncio.sleep(LOOK_S)

    async def end(self) -> None:
        """The last one: nobody has to wait for a minute to know."""
        await self._say(Sign(state=STOPPED, info=None, generation=self._serving.sign.generation))

    async def _say(self, sign: Sign) -> None:
        load = await self._gauge.read()
        try:
            await asyncio.to_thread(
                self._store.heartbeat,
                self._pool,
                self._worker,
                sign.info,
                sign.state,
                generation=sign.generation,
                load=load,
            )
        except ServiceDown as error:
            if self._said is not None:  # once is enough
                log.warning("no sign of life: %s", error)
            self._said = None
        else:
            self._said = sign
        self._said_at = time.monotonic()
