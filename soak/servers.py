"""Servers that may be killed, stopped and brought back at the same address."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from evalwindow.embedded import Server


class Mortal:
    """PostgreSQL or Redis, as `start` starts it."""

    def __init__(self, start: Callable[[], Server]) -> None:
        self._start = start
        self._server: Server | None = start()
        self.url = self._server.url

    def kill(self) -> None:
        """kill -9, and what it leaves behind is left to it."""
        assert self._server is not None
        os.kill(self._server.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """End it cleanly; harmless when it is not there."""
        if self._server is not None:
            self._server.stop()
        self._server = None

    def start(self) -> None:
        """Bring it back; harmless when it is there."""
        if self._server is None:
            self._server = self._start()
            assert self._server.url == self.url, "it came back, but at another address"
