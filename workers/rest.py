"""Waits for the moment at which an engine may rest, and for the one at which it has to wake."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from pathlib import Path

from evalwindow.config_file import read_config
from evalwindow.errors import EvalwindowError
from evalwindow.lanes.server import GovernorServer
from workers.warmth import Warmth

log = logging.getLogger("workers.gpu")

LOOK_S = 2.0


class Calendar:
    """What evalwindow.yaml says about a pool's rest now; while it can't be read, what it said before."""

    def __init__(self, config: Path, *, pool: str) -> None:
        self._config, self._pool = config, pool
        self._warmth: Warmth | None = None
        self._read_at: int | None = None  # the file's time

    @property
    def warmth(self) -> Warmth | None:
        """None: the engine never rests."""
        changed_at = self._changed_at()
        if changed_at != self._read_at:
            self._read_at = changed_at
            self._read()
        return self._warmth

    def _changed_at(self) -> int | None:
        try:
            return self._config.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    def _read(self) -> None:
        try:
            config = read_config(self._config)
        except EvalwindowError as error:
            log.warning("hours of pool %s stay as they were: %s", self._pool, error)
            return
        self._warmth = Warmth.of(config, self._pool) if self._pool in config.pools else None


async def may_rest(calendar: Calendar, governor: GovernorServer, *, ready_at: float) -> str:
    """Waits until the engine, ready since then by the monotonic clock, may rest; how: sleep or stop."""
    while True:
        await asyncio.sleep(LOOK_S)
        warmth = calendar.warmth
        idle_s = min(governor.idle_s(), time.monotonic() - ready_at)
        if warmth is not None and warmth.may_rest(idle_s=idle_s, now=dt.datetime.now(dt.UTC)):
            return warmth.rest


async def has_to_wake(calendar: Calendar, governor: GovernorServer) -> None:
    """Waits until somebody asks for a turn, or the calendar wants the engine awake."""
    while not governor.wanted.is_set():
        warmth = calendar.warmth
        if warmth is None or warmth.wanted(dt.datetime.now(dt.UTC)):
            return
        try:
            await asyncio.wait_for(governor.wanted.wait(), LOOK_S)
        except TimeoutError:
            continue
