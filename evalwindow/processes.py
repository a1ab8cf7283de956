"""The Procfile's processes, kept running: each under a guard, restarted with backoff when it ends by itself."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

GRACE_S = 90.0  # over the GPU unit's own: its consumers' 30 s, then the engine's (pools.*.shutdown_s + 10 s)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
HEALTHY_S = 60.0  # after this long an exit is a new trouble, not the old one


@dataclass(frozen=True, kw_only=True)
class Exit:
    """A process ended though nobody asked it to."""

    name: str
    code: int
    last_words: str
    pause_s: float  # until it is started again


class Process:
    """One process of the Procfile; `start` it once, `stop` it once."""

    def __init__(
        self, *, name: str, command: str, environ: Mapping[str, str], log: Path, notify: Callable[[Exit], None]
    ) -> None:
        self.name, self.log = name, log
        self.exits: list[Exit] = []
        self._command, self._environ, self._notify = shlex.split(command), dict(environ), notify
        self._stopping = threading.Event()
        self._lock = threading.Lock()  # between a stop and a restart
        self._guard: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name=f"keep-{name}", daemon=True)

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        self._spawn()
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """Of the process itself, not of its guard; None while there is none."""
        try:
            children = psutil.Process(self._guard.pid).children() if self._guard else []
        except psutil.NoSuchProcess:
            children = []
        return children[0].pid if children else None

    def ask(self) -> None:
        """Begin to stop: the process gets SIGTERM and GRACE_S."""
        with self._lock:
            self._stopping.set()
            if self._guard and self._guard.stdin:
                self._guard.stdin.close()

    def kill(self) -> None:
        """Stop the whole tree at once."""
        self.ask()
        if self._guard:
            self._guard.terminate()

    def wait(self) -> None:
        """Return when nothing of the process is left."""
        self._thread.join()

    def last_words(self, lines: int = 5) -> str:
        return " / ".join(line.strip() for line in _tail(self.log).splitlines()[-lines:] if line.strip())

    def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._guard is not None:
            started = time.monotonic()
            code = self._guard.wait()
            if self._stopping.is_set():
                return
            pause_s = FIRST_PAUSE_S if time.monotonic() - started > HEALTHY_S else pause_s
            self._report(code, pause_s)
            if self._stopping.wait(pause_s):
                return
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._spawn()

    def _report(self, code: int, pause_s: float) -> None:
        seen = Exit(name=self.name, code=code, last_words=self.last_words(), pause_s=pause_s)
        self.exits.append(seen)
        self._notify(seen)

    def _spawn(self) -> None:
        command = [sys.executable, "-m", "evalwindow.guard", str(GRACE_S), *self._command]
        with self._lock, self.log.open("ab") as log:
            if self._stopping.is_set():
                return
            self._guard = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environ,
                start_new_session=True,  # a terminal's Ctrl-C goes to the starter alone
            )


def read_procfile(path: Path) -> dict[str, str]:
    """Name -> command, in the file's order."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name.strip(): command.strip() for name, _, command in pairs}


def _tail(path: Path, size: int = 4096) -> str:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - size))
        return file.read().decode(errors="replace")
