"""HTTP to one engine over its Unix socket. What vLLM's answers mean is decided here, once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from evalwindow.errors import EngineDied, EngineRefused, EngineUnavailable

LONGEST_QUOTE = 300  # characters of the engine's own words that go into a report
CORE_DIED = "EngineCore encountered an issue"  # the server's last words to all whose prompts it had
KEEP_ALIVE_S = 60.0  # below the server's, so that we close an idle connection first


class UnknownModel(EngineRefused):
    """The engine does not serve this model or adapter."""


class EngineFault(EngineUnavailable):
    """The engine answered with a 5xx."""


@dataclass
class _Line:
    """Connections to one generation of the engine."""

    session: aiohttp.ClientSession
    inode: int  # of the socket
    in_flight: int = 0


class VllmHttp:
    """A connection pool that follows the socket: a new engine behind the same path gets new connections."""

    def __init__(self, socket: Path, *, timeout_s: float = 600.0) -> None:
        self._socket = socket
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=5.0)
        self._line: _Line | None = None

    async def get(self, path: str) -> Any:
        """The JSON (or text) of a GET; errors as in `post`."""
        return await self._request("GET", path)

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON (or text) of a POST.

        Raises EngineRefused for 4xx (UnknownModel for 404), EngineUnavailable when the engine is away (EngineFault for
        5xx), EngineDied when it broke off after it was asked. Cancelling closes the connection, at which the engine
        aborts the request.
        """
        return await self._request("POST", path, json=body)

    async def aclose(self) -> None:
        if self._line is not None:
            await self._line.session.close()

    async def _request(self, method: str, path: str, **body: Any) -> Any:
        line = await self._follow()
        line.in_flight += 1
        try:
            async with line.session.request(method, f"http://engine{path}", **body) as response:
                text = await response.text()
        except (aiohttp.ClientError, OSError) as error:
            kind = EngineDied if method == "POST" and _broke_off(error) else EngineUnavailable
            raise kind(f"engine at {self._socket}: {type(error).__name__}: {error}") from error
        finally:
            line.in_flight -= 1
            await self._close_if_left(line)
        return _judged(response.status, text)

    async def _follow(self) -> _Line:
        try:
            inode = self._socket.stat().st_ino
        except FileNotFoundError as error:
            raise EngineUnavailable(f"engine at {self._socket} is not running") from error
        left = self._line
        if left is not None and left.inode == inode:
            return left
        line = self._line = _Line(self._connect(), inode)
        if left is not None:
            await self._close_if_left(left)
        return line

    def _connect(self) -> aiohttp.ClientSession:
        connector = aiohttp.UnixConnector(str(self._socket), limit=0, keepalive_timeout=KEEP_ALIVE_S)
        return aiohttp.ClientSession(connector=connector, timeout=self._timeout)

    async def _close_if_left(self, line: _Line) -> None:
        """The old engine's connections close behind the last request that is on them."""
        if line is not self._line and line.in_flight == 0:
            await line.session.close()


def _broke_off(error: Exception) -> bool:
    """Of a connection that there was; slowness breaks nothing off."""
    return not isinstance(error, (aiohttp.ClientConnectorError, TimeoutError))


def _judged(status: int, text: str) -> Any:
    if status == 200:
        return _finished(_parsed(text))
    words = _words(text)
    if status == 404:
        raise UnknownModel(words)
    if status >= 500 and CORE_DIED in words:
        raise EngineDied(f"engine answered {status}: {words}")
    if status >= 500 or status in (408, 429):
        raise EngineFault(f"engine answered {status}: {words}")
    raise EngineRefused(f"the engine refused the request: {words}")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # /health and the adapters' calls answer with plain text
        return text


def _finished(answer: Any) -> Any:
    """A draining engine answers 200 with finish_reason "abort": that is no answer."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    found = [choice for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []
    if any(choice.get("finish_reason") == "abort" for choice in found):
        raise EngineUnavailable("the engine is draining")
    return answer


def _words(text: str) -> str:
    """The engine's message, shortened."""
    parsed = _parsed(text)
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    message = str(error.get("message", error) if isinstance(error, dict) else error)
    return message if len(message) <= LONGEST_QUOTE else message[: LONGEST_QUOTE - 1] + "…"
