"""The engine's record where all processes of this host read it: put up, kept up, taken down."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from evalwindow.engines.record import EngineRecord

log = logging.getLogger("workers.gpu")

AGAIN_S = 1.0  # between two tries while it can't be written


class Notice:
    """Of one pool's engine. A disk without room delays it, and ends nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._wanted: EngineRecord | None = None
        self._written: EngineRecord | None = None
        self._refused = False  # the last try failed

    @property
    def up(self) -> bool:
        """Whether it can be read there which engine this is. Whether that one rests may be yesterday's news."""
        return _same_engine(self._wanted, self._written)

    def put(self, record: EngineRecord) -> None:
        """At once, or as soon as `keep` gets it written; that of another engine is never left there."""
        self._wanted = record
        self._write(record)

    def take_down(self) -> None:
        """Idempotent."""
        self._wanted = self._written = None
        self._path.unlink(missing_ok=True)

    async def keep(self) -> None:
        """Write what could not be written before, until it is cancelled."""
        while True:
            await asyncio.sleep(AGAIN_S)
            if self._wanted is not None and self._wanted != self._written:
                self._write(self._wanted)

    def _write(self, record: EngineRecord) -> None:
        try:
            record.write(self._path)
        except OSError as error:
            if not self.up:
                self._path.unlink(missing_ok=True)
                self._written = None
            if not self._refused:
                log.warning("consumers don't hear of the engine, which is tried again: %s", error)
            self._refused = True
        else:
            if self._refused:
                log.info("consumers hear of the engine again")
            self._written, self._refused = record, False


def _same_engine(one: EngineRecord | None, other: EngineRecord | None) -> bool:
    return one is not None and other is not None and (one.pid, one.info) == (other.pid, other.info)
