"""A connection that breaks: TCP in the middle, between somebody of ours and a server."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

KEPT = 16  # bytes of what was said before, for a pattern that two pieces share


@dataclass
class Wire:
    """What is said on it arrives. Whoever says what a pattern matches hears no answer any more.

    By `cut` the connection is reset when the answer comes, by `mute` it stays and nothing is heard on it. Each pattern
    is used once.
    """

    host: str
    port: int
    cut: list[re.Pattern[bytes]] = field(default_factory=list)
    mute: list[re.Pattern[bytes]] = field(default_factory=list)
    broken: int = 0  # connections
    own_port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, onwards = await asyncio.open_connection(self.host, self.port)
        line = _Line(self)
        both = [
            asyncio.create_task(line.onwards(reader, onwards)),
            asyncio.create_task(line.back(there, writer)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            for each in (writer, onwards):
                each.close()


class _Line:
    """One connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._is_cut = self._is_mute = False

    async def onwards(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = b""
        while data := await reader.read(65536):
            said = said[-KEPT:] + data
            self._is_cut = self._is_cut or self._found(self._wire.cut, said)
            self._is_mute = self._is_mute or self._found(self._wire.mute, said)
            writer.write(data)
            await writer.drain()

    async def back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._is_cut:
                own: socket.socket = writer.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no goodbye
                return
            if not self._is_mute:
                writer.write(data)
                await writer.drain()

    def _found(self, patterns: list[re.Pattern[bytes]], said: bytes) -> bool:
        for pattern in patterns:
            if pattern.search(said):
                patterns.remove(pattern)
                self._wire.broken += 1
                return True
        return False


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[Wire]:
    """A wire to the server at this URL; its own end is at 127.0.0.1:own_port."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    wire = Wire(host=parts.hostname, port=parts.port)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
    wire.own_port = server.sockets[0].getsockname()[1]
    try:
        yield wire
    finally:
        server.close()
