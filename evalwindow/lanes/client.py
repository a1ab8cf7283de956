"""A consumer's side of the governor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from evalwindow.config import Config, WarmModel
from evalwindow.errors import EngineUnavailable
from evalwindow.lanes.hold import Hold, Ticket, Used
from evalwindow.lanes.local import LocalLanes
from evalwindow.lanes.wire import Lines, line
from evalwindow.model import Usage

T = TypeVar("T")

#: Tries a call that raises EngineUnavailable again, for as long as it is worth it.
Retry = Callable[[Callable[[], Awaitable[tuple["_Connection", "_Turn"]]]], Awaitable[tuple["_Connection", "_Turn"]]]


class RoutedLanes:
    """Prompts for a pool's models ask the governor of its engine; all others have slots of this process.

    `socket_of(pool)` is where a pool's governor listens on this host; `retry` waits for one that is not there yet.
    """

    def __init__(self, config: Config, *, socket_of: Callable[[str], Path], retry: Retry) -> None:
        self._config, self._socket_of, self._retry = config, socket_of, retry
        self._local = LocalLanes(config.lanes)
        self._governed: dict[str, GovernorClient] = {}

    @asynccontextmanager
    async def hold(self, model: str, ticket: Ticket) -> AsyncIterator[Hold]:
        chosen = self._config.models.get(model)
        lanes = self._of_pool(chosen.pool) if isinstance(chosen, WarmModel) else self._local
        async with lanes.hold(model, ticket) as hold:
            yield hold

    async def aclose(self) -> None:
        for client in self._governed.values():
            client.close()

    def _of_pool(self, pool: str) -> GovernorClient:
        if pool not in self._governed:
            self._governed[pool] = GovernorClient(self._socket_of(pool), pool=pool, retry=self._retry)
        return self._governed[pool]


class GovernorClient:
    """One connection, made at the first prompt and made again when it is lost."""

    def __init__(self, socket: Path, *, pool: str, retry: Retry) -> None:
        self._socket, self._pool, self._retry = socket, pool, retry
        self._connection: _Connection | None = None
        self._connecting = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, model: str, ticket: Ticket) -> AsyncIterator[Hold]:
        """Raises EngineUnavailable when no engine has come within the unit's patience, or no unit within ours."""
        connection, turn = await self._retry(lambda: self._ask(ticket))
        if turn.engine is None:
            raise EngineUnavailable(f"pool {self._pool!r} has no engine that is ready")
        hold = Hold(engine=turn.engine)
        try:
            yield hold
        finally:
            if hold.broke_off:
                hold.died = await connection.broke(turn.number)
            else:
                hold.gpu_s = await connection.leave(turn.number, hold.usage)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    async def _ask(self, ticket: Ticket) -> tuple[_Connection, _Turn]:
        connection = await self._connected()
        return connection, await connection.ask(ticket)

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.lost:
                loop = asyncio.get_running_loop()
                try:
                    _, self._connection = await loop.create_unix_connection(_Connection, str(self._socket))
                except OSError as error:
                    raise EngineUnavailable(f"the GPU unit of pool {self._pool!r} is not running: {error}") from error
            return self._connection


@dataclass(frozen=True)
class _Turn:
    number: int
    engine: str | None  # None: there is none


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost = False
        self._numbers = count()
        self._turns: dict[int, asyncio.Future[str | None]] = {}
        self._paid: dict[int, asyncio.Future[float | None]] = {}
        self._judged: dict[int, asyncio.Future[bool]] = {}
        self._lines = Lines()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for message in self._lines.feed(data):
            self._heard(*message)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        away = EngineUnavailable("the GPU unit has closed its connection")
        for turn in self._turns.values():
            if not turn.done():
                turn.set_exception(away)
        for paid in self._paid.values():
            _answer(paid, None)
        for judged in self._judged.values():
            _answer(judged, False)  # the engine has gone with its unit

    async def ask(self, ticket: Ticket) -> _Turn:
        """Wait for a turn. A cancelled wait leaves the queue."""
        number = next(self._numbers)
        turn = self._turns[number] = asyncio.get_running_loop().create_future()
        alone = (True,) if ticket.alone else ()
        self._say("ask", number, ticket.tier.value, ticket.team, ticket.chars, ticket.max_tokens, *alone)
        try:
            return _Turn(number, await turn)
        except asyncio.CancelledError:
            self._say("leave", number, None)
            raise
        finally:
            del self._turns[number]

    async def leave(self, number: int, usage: Usage | None) -> float | None:
        """Give the place back; the share of the engine's time. None without an answer, or when the unit is gone."""
        if usage is None or self.lost:
            self._say("leave", number, None)
            return None
        used = Used.of(usage)
        paid: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
        self._paid[number] = paid
        self._say("leave", number, [used.prompt, used.cached, used.output])
        try:
            return await paid
        finally:
            del self._paid[number]

    async def broke(self, number: int) -> bool:
        """Give the place back of a prompt that the engine broke off; whether it died, as far as its unit can tell."""
        if self.lost:
            return False
        judged: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._judged[number] = judged
        self._say("broke", number)
        try:
            return await judged
        finally:
            del self._judged[number]

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _heard(self, kind: str, number: int, value: Any) -> None:
        if kind == "paid":
            _answer(self._paid.get(number), float(value))
        elif kind == "judged":
            _answer(self._judged.get(number), bool(value))
        else:
            _answer(self._turns.get(number), str(value) if kind == "turn" else None)

    def _say(self, *message: object) -> None:
        if self._transport is not None and not self.lost:
            self._transport.write(line(*message))


def _answer(future: asyncio.Future[T] | None, value: T) -> None:
    if future is not None and not future.done():
        future.set_result(value)
