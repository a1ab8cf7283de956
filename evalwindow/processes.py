"""The Procfile's processes, kept running: each under a guard, restarted with backoff when it ends by itself."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from evalwindow.errors import ServiceDown

GRACE_S = 90.0  # over the GPU unit's own: its consumers' 30 s, then the engine's (pools.*.shutdown_s + 10 s)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
POLL_S = 0.5
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
        self.started = datetime.max.replace(tzinfo=UTC)  # the last time
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
        if self._thread.ident is not None:  # it was started
            self._thread.join()

    def last_words(self, lines: int = 5) -> str:
        return last_words(self.log, lines)

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
        with self._lock:
            if not self._stopping.is_set():
                self.started = datetime.now(UTC)
                self._guard = _guarded(self._command, environ=self._environ, log=self.log)


def stop_all(processes: Mapping[str, Process], *, last: str = "") -> None:
    """Drain and end all together, the one named `last` after the others; returns when nothing of them is left.

    Ctrl-C meanwhile ends them at once.
    """
    try:
        for group in ([one for one in processes if one != last], [one for one in processes if one == last]):
            for name in group:
                processes[name].ask()
            _wait(processes[name] for name in group)
    except KeyboardInterrupt:
        for process in processes.values():
            process.kill()
        _wait(processes.values())


def _wait(processes: Iterable[Process]) -> None:
    for process in processes:
        process.wait()


def run_once(*, name: str, command: str, environ: Mapping[str, str], log: Path) -> None:
    """Run a command to its end; raises ServiceDown with its last words when it fails. Ends with this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    guard = _guarded(shlex.split(command), environ=environ, log=log)
    assert guard.stdin is not None
    try:
        code = guard.wait()
    finally:
        guard.stdin.close()
        guard.wait()
    if code:
        raise not_ready(name, f"it ended with exit code {code}", log=log)


def await_ready(processes: Mapping[str, Process], missing: Callable[[], str | None], *, ready_s: float) -> None:
    """Return once `missing` names no process any more.

    Raises ServiceDown with the last words of a process that ended meanwhile, or of the missing one after `ready_s`.
    """
    until = time.monotonic() + ready_s
    while (name := missing()) is not None:
        for process in processes.values():
            if process.exits:
                raise not_ready(process.name, f"it ended with exit code {process.exits[0].code}", log=process.log)
        if time.monotonic() > until:
            raise not_ready(name, f"it is not ready after {ready_s:.0f} s", log=processes[name].log)
        time.sleep(POLL_S)


def not_ready(name: str, reason: str, *, log: Path) -> ServiceDown:
    reason = f"{reason}; its last words: {last_words(log) or 'none'}"
    return ServiceDown(service=name, host=socket.gethostname(), reason=reason, advice=f"see {log}")


def last_words(log: Path, lines: int = 5) -> str:
    return " / ".join(line.strip() for line in _tail(log).splitlines()[-lines:] if line.strip())


def worker_name(pid: int) -> str:
    """What a process of this host is called in leases and in the rows of engines."""
    return f"{socket.gethostname()}:{pid}"


def free_port(host: str, wanted: int) -> int:
    """The port that is wanted, or a free one when that is 0 or taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
        except OSError:
            probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def read_procfile(path: Path) -> dict[str, str]:
    """Name -> command, in the file's order."""
    lines = (line.strip() for line in path.read_text().splitlines())
    pairs = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name.strip(): command.strip() for name, _, command in pairs}


def _guarded(command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "evalwindow.guard", str(GRACE_S), *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
            start_new_session=True,  # a terminal's Ctrl-C goes to the starter alone
        )


def _tail(path: Path, size: int = 4096) -> str:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - size))
        return file.read().decode(errors="replace")
