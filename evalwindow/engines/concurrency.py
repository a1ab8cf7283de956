"""How many requests at once an API bears: additive increase, multiplicative decrease."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Ticket:
    """The right to have one request in flight."""

    epoch: int  # how many times the limit had been halved when the request started


class AdaptiveLimit:
    """Halves on a throttled request, grows by one after as many successes as it is wide, never above `ceiling`."""

    def __init__(self, ceiling: int) -> None:
        self._ceiling = ceiling
        self._limit = float(ceiling)
        self._in_flight = self._successes = self._epoch = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        return int(self._limit)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Ticket]:
        """Wait for room, and hold it inside the block."""
        while self._in_flight >= self.limit:
            await self._turn()
        self._in_flight += 1
        try:
            yield Ticket(self._epoch)
        finally:
            self._in_flight -= 1
            self._wake()

    def throttled(self, ticket: Ticket) -> None:
        """A request was refused for its rate. Requests that left before the last halving say nothing new."""
        if ticket.epoch == self._epoch:
            self._limit = max(1.0, self._limit / 2)
            self._epoch += 1
            self._successes = 0

    def succeeded(self) -> None:
        """A request was answered."""
        self._successes += 1
        if self._successes >= self._limit:
            self._limit = min(float(self._ceiling), self._limit + 1)
            self._successes = 0

    async def _turn(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # our turn came as we left: pass it on
                self._wake()
            raise

    def _wake(self) -> None:
        room = self.limit - self._in_flight
        while room > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                room -= 1
