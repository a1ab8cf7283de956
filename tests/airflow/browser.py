"""A headless Chromium that a test drives over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)
SIZE = (1440, 1000)
POLL_S = 0.1


class Refused(Exception):
    """The browser can't do what it was told."""


@dataclass
class Page:
    """One tab. Expressions are JavaScript; values come back as JSON."""

    socket: aiohttp.ClientWebSocketResponse
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def goto(self, url: str) -> None:
        await self.call("Page.navigate", url=url)

    async def value(self, expression: str) -> Any:
        """Raises AssertionError with what the page threw."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Return once it is true; what throws is not true yet. The test's own time limit ends a wait in vain."""
        while not await self._holds(f"(() => {{ try {{ return !!({expression}) }} catch {{ return false }} }})()"):
            await asyncio.sleep(POLL_S)

    async def _holds(self, expression: str) -> bool:
        try:
            return bool(await self.value(expression))
        except Refused:  # the page went away meanwhile
            return False

    async def type(self, selector: str, text: str) -> None:
        """As keys into a field."""
        await self.until(f"document.querySelector({json.dumps(selector)})")
        await self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.call("Input.insertText", text=text)

    async def screenshot(self) -> bytes:
        """What is seen, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])

    async def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command; what the browser tells unasked is passed over."""
        number = next(self._numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = await self.socket.receive_json()
            if message.get("id") == number:
                if "error" in message:
                    raise Refused(f"{method}: {message['error']}")
                result: dict[str, Any] = message["result"]
                return result


@asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """A tab of a browser of its own, which ends with the block."""
    assert CHROMIUM is not None
    profile = Path(tempfile.mkdtemp(prefix="evalwindow-chromium-"))
    arguments = (
        *FLAGS,
        f"--window-size={SIZE[0]},{SIZE[1]}",
        "--remote-debugging-port=0",
        f"--user-data-dir={profile}",
    )
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(CHROMIUM, *arguments, "about:blank", stdout=quiet, stderr=quiet)
    try:
        port = await _port(process, profile / "DevToolsActivePort")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/json/list") as answer:
                tabs = [tab for tab in await answer.json() if tab["type"] == "page"]
            async with session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                await page.call("Page.enable")
                yield page
                await page.call("Browser.close")
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        shutil.rmtree(profile, ignore_errors=True)


async def _port(process: asyncio.subprocess.Process, file: Path) -> int:
    """The browser writes it down when it listens."""
    while not (written := _lines(file)):
        assert process.returncode is None, "Chromium ended before it listened"
        await asyncio.sleep(POLL_S)
    return int(written[0])


def _lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
