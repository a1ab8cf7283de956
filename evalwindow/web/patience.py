"""How long a client may take to say what it wants: heads are bounded in bytes and in time.

uvicorn bounds neither on its own: a client that sends a header a minute holds a connection for ever.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 15.0  # from the connection, or a request's first byte, to the end of its head
HEAD_BYTES = 64 * 1024  # of an unfinished head; then the answer is 400


class PatientProtocol(H11Protocol):
    """HTTP/1.1 by h11, which counts a head's bytes, with a time limit for it."""

    head_s = HEAD_S
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._asked():
            self._stop_waiting()
        else:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _asked(self) -> bool:
        """A whole head is here, and its answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if not self._asked():
            self.transport.close()
