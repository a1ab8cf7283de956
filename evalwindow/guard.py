"""Runs one command and leaves nothing of it behind: `python -m evalwindow.guard GRACE_S COMMAND...`.

Its standard input is a pipe that the starter holds. When the pipe closes (the starter stopped it, or died of anything,
kill -9 included) or on SIGTERM, the command alone gets SIGTERM, so that it can drain its own children in its own order.
After GRACE_S seconds, or on a second request, everything under it is killed. Descendants whose parents died are adopted
(Linux: child subreaper) and die too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time

import psutil

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
STDIN = 0


def main(argv: list[str]) -> int:
    """The command's exit code; 128 + n when signal n ended it."""
    grace_s, command = float(argv[1]), argv[2:]
    wake = _listen()
    _adopt_orphans()
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    code = _watch(child.pid, wake=wake, grace_s=grace_s)
    _kill_descendants()
    return code if code >= 0 else 128 - code


def _listen() -> socket.socket:
    """Signals arrive as bytes here, beside the pipe."""
    read, write = socket.socketpair()
    read.setblocking(False)
    write.setblocking(False)
    signal.set_wakeup_fd(write.detach())
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the starter's to hear
    return read


def _adopt_orphans() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _watch(pid: int, *, wake: socket.socket, grace_s: float) -> int:
    sources: list[int] = [STDIN, wake.fileno()]
    requests, deadline = 0, None
    while (code := _reap(pid)) is None:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        readable, _, _ = select.select(sources, [], [], left_s)
        requests += _requests(readable, sources, wake)
        if requests and deadline is None:
            deadline = time.monotonic() + grace_s
            os.kill(pid, signal.SIGTERM)
        if requests > 1 or (deadline is not None and time.monotonic() >= deadline):
            _kill_descendants()
    return code


def _requests(readable: list[int], sources: list[int], wake: socket.socket) -> int:
    """How many requests to stop have just come in."""
    count = 0
    if STDIN in readable and not os.read(STDIN, 4096):
        sources.remove(STDIN)
        count += 1
    with contextlib.suppress(BlockingIOError):
        count += wake.recv(4096).count(signal.SIGTERM)
    return count


def _reap(pid: int) -> int | None:
    """Bury whatever has ended; the exit code of `pid` when it was among them."""
    code = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == pid:
                code = os.waitstatus_to_exitcode(ended[1])
    return code


def _kill_descendants() -> None:
    """SIGKILL until none is left: one that forks meanwhile is found in the next round."""
    while living := [process for process in psutil.Process().children(recursive=True) if _runs(process)]:
        for process in living:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.01)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv))
