"""Slots of one process: for engines that nobody else here works with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from evalwindow.config import Lanes as LaneConfig
from evalwindow.lanes.hold import Hold, Ticket
from evalwindow.model import Tier


class LocalLanes:
    """As many prompts of each tier at once as its lane has slots; first come, first served. Nothing is metered."""

    def __init__(self, lanes: LaneConfig) -> None:
        self._slots = {tier: asyncio.Semaphore(lanes.of(tier).slots) for tier in Tier}

    @asynccontextmanager
    async def hold(self, model: str, ticket: Ticket) -> AsyncIterator[Hold]:
        async with self._slots[ticket.tier]:
            yield Hold()
