"""Locks between the processes of a host; the kernel drops them with the process, however it ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
from pathlib import Path

POLL_S = 0.02


class FileLock:
    """A lock on a file, shared or exclusive. Two FileLocks exclude each other within one process too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def try_lock(self, *, shared: bool = False) -> bool:
        """Take it now, or say no. Idempotent while it is held."""
        if self._fd is not None:
            return True
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    async def lock(self, *, shared: bool = False) -> None:
        """Wait for it without holding up the loop."""
        while not self.try_lock(shared=shared):  # noqa: ASYNC110 - no event of ours tells what another process does
            await asyncio.sleep(POLL_S)

    def unlock(self) -> None:
        """Idempotent."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
