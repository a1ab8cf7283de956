"""Process groups: children that end with us, and leftovers of a predecessor that did not get to end them."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import psutil

from evalwindow.engines.record import write_atomically

PR_SET_PDEATHSIG = 1  # prctl(2)
SAME_START_S = 1.0  # two readings of one process's start differ by less
_libc = ctypes.CDLL(None, use_errno=True)


async def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], output: IO[bytes] | None = None
) -> asyncio.subprocess.Process:
    """Start a command as the leader of its own group. It gets SIGTERM when we die, however we die.

    Call it from the main thread: the kernel watches the thread that starts a child, not the process.
    """
    parent = os.getpid()
    return await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
        preexec_fn=lambda: die_with(parent),
    )


def die_with(parent: int) -> None:
    """Of a child, before it becomes its command: SIGTERM when its parent dies, also if that has happened already."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def kill_group(group: int) -> None:
    """SIGKILL to every process of a group; none left is fine."""
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def wait_until_gone(group: int, *, timeout_s: float = 10.0) -> None:
    """Wait for killed processes to leave: until then they hold their GPU memory."""
    psutil.wait_procs(members(group), timeout=timeout_s)


def members(group: int) -> list[psutil.Process]:
    """Live processes of a group."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


@dataclass(frozen=True, kw_only=True)
class Group:
    """A process group that a later process can recognise, after ours was killed."""

    leader: int  # its pid is the group's id
    started: float  # of the leader, seconds since 1970
    executable: str
    user: int

    @classmethod
    def of(cls, leader: int, *, program: str) -> Group:
        """The group of a child that was just started; it may have ended already."""
        try:
            started = psutil.Process(leader).create_time()
        except psutil.NoSuchProcess:
            started = time.time()
        return cls(leader=leader, started=started, executable=os.path.realpath(program), user=os.getuid())

    def write(self, path: Path) -> None:
        write_atomically(path, json.dumps(asdict(self)).encode())

    @classmethod
    def read(cls, path: Path) -> Group:
        return cls(**json.loads(path.read_bytes()))

    def alive(self) -> list[psutil.Process]:
        """Processes that are still of this group, and not of another that got the same number later."""
        return [process for process in members(self.leader) if self._is_ours(process)]

    def end(self) -> list[int]:
        """Kill what is left of the group; the pids."""
        left = self.alive()
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(left, timeout=10)
        return [process.pid for process in left]

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            started = process.create_time()
            if process.pid == self.leader and abs(started - self.started) > SAME_START_S:
                return False
            same_program = process.exe() == self.executable and process.uids().real == self.user
            return same_program and started >= self.started - SAME_START_S
        return False
