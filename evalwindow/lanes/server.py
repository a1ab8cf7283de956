"""The governor of a pool's engine as a server: it lives in the GPU unit, both consumers ask it."""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import count
from pathlib import Path
from typing import Any

from evalwindow.lanes.governor import Governor, Key
from evalwindow.lanes.hold import Ticket, Used
from evalwindow.lanes.limits import LaneLimits
from evalwindow.lanes.wire import Lines, line
from evalwindow.model import Tier

log = logging.getLogger(__name__)


class GovernorServer:
    """Grants turns on a Unix socket. Shut until `open` says that an engine is there.

    Who waits for longer than `patience_s` while it is shut is told that there is none.
    """

    def __init__(self, socket: Path, limits: LaneLimits, *, patience_s: float) -> None:
        self.wanted = asyncio.Event()  # somebody waits while it is shut
        self._socket, self._patience_s = socket, patience_s
        self._governor = Governor(limits, now=time.monotonic())
        self.doubted = asyncio.Event()  # somebody says that the engine broke off; whoever keeps it is to look
        self._engine, self._open = "", False
        self._died = False  # while it is shut: because the engine died
        self._broken: set[Key] = set()  # inside still, until it is known what of
        self._lines: dict[int, _Line] = {}
        self._numbers = count()
        self._server: asyncio.Server | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._left = asyncio.Event()  # pulses when a prompt has left

    async def start(self) -> None:
        self._socket.unlink(missing_ok=True)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: _Line(self, next(self._numbers)), str(self._socket))

    async def stop(self) -> None:
        """Idempotent."""
        for timer in (self._timer, self._patience):
            if timer is not None:
                timer.cancel()
        if self._server is not None:
            self._server.close()
            for connection in list(self._lines.values()):
                connection.close()
            await self._server.wait_closed()
            self._server = None
        self._socket.unlink(missing_ok=True)

    def open(self, limits: LaneLimits, *, engine: str) -> None:
        """This engine (its model's digest) is ready: let prompts in."""
        self._engine, self._open, self._died = engine, True, False
        self._judge(died=False)
        self._governor.open(limits, now=time.monotonic())
        self.wanted.clear()
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        self.look()

    def shut(self) -> None:
        """The engine is to be away, drains or rests: who asks waits, who is in may end."""
        self._shut(died=False, now=time.monotonic())

    def mourn(self, *, since: float | None = None) -> None:
        """The engine died or hangs: shut. What it did `since` (by the monotonic clock) was no work."""
        now = time.monotonic()
        if since is not None:
            self._governor.forgive(now - since, now=now)
        self._shut(died=True, now=now)

    def trust(self) -> None:
        """The engine lives, whatever was said of it."""
        self._judge(died=False)
        if self._open:
            self._governor.resume(now=time.monotonic())
            self.look()

    def _shut(self, *, died: bool, now: float) -> None:
        self._open, self._died = False, died
        self._governor.shut(now=now)
        self._judge(died=died)
        self._want()

    async def drained(self, timeout_s: float) -> bool:
        """Wait until nothing is in flight; False when it takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._governor.inside:
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            return False
        return True

    @property
    def inside(self) -> int:
        """Prompts in the engine."""
        return self._governor.inside

    def idle_s(self) -> float:
        """Seconds since the last prompt was in flight or waited."""
        return self._governor.idle_s(time.monotonic())

    def figures(self) -> dict[str, Any]:
        """Counted since the start of the unit: see lanes/figures.py."""
        return self._governor.report(time.monotonic())

    def joined(self, connection: _Line) -> None:
        self._lines[connection.number] = connection

    def heard(self, number: int, message: list[Any]) -> None:
        """Raises ValueError, LookupError or TypeError for what is no message."""
        if message[0] == "ask":
            _, prompt, tier, team, chars, most, *alone = message
            ticket = Ticket(
                tier=Tier(tier), team=str(team), chars=int(chars), max_tokens=int(most), alone=alone == [True]
            )
            self._governor.ask((number, int(prompt)), ticket)
        elif message[0] == "leave":
            self._leave((number, int(message[1])), message[2])
        elif message[0] == "broke":
            self._broke((number, int(message[1])))
        else:
            raise ValueError(f"unknown message {message[0]!r}")

    def gone(self, number: int) -> None:
        """A consumer has closed its connection, or died."""
        self._lines.pop(number, None)
        now = time.monotonic()
        for key in self._governor.keys_of(number):
            self._governor.leave(key, now=now)
            self._broken.discard(key)
        self._left.set()
        self.look()

    def look(self) -> None:
        """Tell everybody whose turn it is now."""
        for number, prompt in self._governor.turns(time.monotonic()):
            self._lines[number].tell("turn", prompt, self._engine)
        self._want()
        self._look_again()

    def _leave(self, key: Key, tokens: list[int] | None) -> None:
        used = None if tokens is None else Used(prompt=tokens[0], cached=tokens[1], output=tokens[2])
        share = self._governor.leave(key, now=time.monotonic(), used=used)
        if share is not None:
            self._lines[key[0]].tell("paid", key[1], share)
            self._left.set()

    def _broke(self, key: Key) -> None:
        """Nobody starts until it is known whether the engine lives."""
        self._broken.add(key)
        if not self._open:
            return self._judge(died=self._died)
        self._governor.shut(now=time.monotonic())
        self.doubted.set()
        return None

    def _judge(self, *, died: bool) -> None:
        """Tell all whose prompts were broken off; they leave."""
        self.doubted.clear()
        broken, self._broken = self._broken, set()
        now = time.monotonic()
        for key in broken:
            self._governor.leave(key, now=now)
            self._lines[key[0]].tell("judged", key[1], died)
        if broken:
            self._left.set()

    def _want(self) -> None:
        """Somebody waits in vain: wake who can help, and don't let them wait for ever."""
        if self._open or not self._governor.waiting:
            return
        self.wanted.set()
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(self._patience_s, self._send_away)

    def _send_away(self) -> None:
        self._patience = None
        for key in self._governor.asked():
            self._governor.leave(key, now=time.monotonic())
            self._lines[key[0]].tell("away", key[1], None)

    def _look_again(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        after_s = self._governor.look_again_s()
        if after_s is not None:
            self._timer = asyncio.get_running_loop().call_later(after_s, self.look)


class _Line(asyncio.Protocol):
    """The connection of one consumer."""

    def __init__(self, server: GovernorServer, number: int) -> None:
        self.number = number
        self._server, self._lines = server, Lines()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.joined(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._lines.feed(data):
                self._server.heard(self.number, message)
        except (ValueError, LookupError, TypeError) as error:
            log.error("a consumer said what nobody understands, its connection is closed: %r", error)
            self.close()
        self._server.look()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.gone(self.number)

    def tell(self, *message: object) -> None:
        if self._transport is not None:
            self._transport.write(line(*message))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
