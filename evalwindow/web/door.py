"""Nobody's submissions stand in another's way: of one caller's a few are worked on at once, the rest wait in line.

What is worked on takes a thread and a connection of this process, and there are few of both. Without a door a flood of
one team takes them all, and another team's one request waits behind hundreds. Here it waits behind AT_ONCE of them.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from evalwindow.web.problems import problem

AT_ONCE = 2
WAITING = 100  # more than these of one caller are refused unread: what waits takes memory
RETRY_AFTER_S = 1
GUARDED = ("POST", "/v1/runs")  # not its own cancelling, nor uploads, which may take minutes


@dataclass
class _Line:
    """Of one caller; there as long as it has a request here."""

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    inside: int = 0  # worked on or waiting


class Door:
    """ASGI middleware for submissions; a caller is who sends the same Authorization header."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._lines: dict[bytes, _Line] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != GUARDED:
            await self._app(scope, receive, send)
            return
        caller = _caller(scope)
        if self._is_full(caller):
            await _refusal()(scope, receive, send)
            return
        async with self._turn(caller):
            await self._app(scope, receive, send)

    def _is_full(self, caller: bytes) -> bool:
        line = self._lines.get(caller)
        return line is not None and line.inside >= AT_ONCE + WAITING

    @asynccontextmanager
    async def _turn(self, caller: bytes) -> AsyncIterator[None]:
        line = self._lines.setdefault(caller, _Line())
        line.inside += 1
        try:
            async with line.turns:
                yield
        finally:
            line.inside -= 1
            if not line.inside:
                del self._lines[caller]


def _caller(scope: Scope) -> bytes:
    """A digest: tokens themselves are not kept in memory."""
    given = b"\n".join(value for name, value in scope["headers"] if name == b"authorization")
    return hashlib.sha256(given).digest()


def _refusal() -> ASGIApp:
    text = (
        f"{WAITING} requests with this token wait already, which is the limit of one server: "
        f"send fewer at once; try again in {RETRY_AFTER_S} s"
    )
    return problem(429, text, "TryLater", {"Retry-After": str(RETRY_AFTER_S), "Connection": "close"})
