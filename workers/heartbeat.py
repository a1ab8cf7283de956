"""Says in the store how a pool's engine is: `/readyz` and the dispatcher go by it."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path

from evalwindow.engines.record import read_record
from evalwindow.errors import ServiceDown
from evalwindow.model import EngineInfo
from evalwindow.store import Store

log = logging.getLogger(__name__)

EVERY_S = 10.0  # readers call an engine missing after a minute
LOOK_S = 0.5  # a change is said this soon

READY, STARTING, STOPPED = "ready", "starting", "stopped"


class Heartbeat:
    """One engine's signs of life."""

    def __init__(self, store: Store, *, pool: str, worker: str, record: Path) -> None:
        self._store, self._pool, self._worker, self._record = store, pool, worker, record
        self._said: str | None = None
        self._said_at = 0.0

    async def keep(self) -> None:
        """Until it is cancelled."""
        while True:
            record = await asyncio.to_thread(read_record, self._record)
            state, info = (STARTING, None) if record is None else (READY, record.info)
            if state != self._said or time.monotonic() - self._said_at > EVERY_S:
                await self._say(state, info)
            await asyncio.sleep(LOOK_S)

    async def end(self) -> None:
        """The last one: nobody has to wait for a minute to know."""
        await self._say(STOPPED, None)
        await asyncio.to_thread(self._store.close)

    async def _say(self, state: str, info: EngineInfo | None) -> None:
        try:
            await asyncio.to_thread(self._store.heartbeat, self._pool, self._worker, info, state)
        except ServiceDown as error:
            if self._said is not None:  # once is enough
                log.warning("no sign of life: %s", error)
            self._said = None
        else:
            self._said = state
        self._said_at = time.monotonic()
