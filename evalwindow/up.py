"""Everything on one machine: embedded servers where none are given, the schema, the Procfile's processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from evalwindow.embedded import start_postgres, start_redis
from evalwindow.errors import ServiceDown
from evalwindow.processes import Exit, Process, read_procfile
from evalwindow.settings import PREFIX, Settings, read_settings
from evalwindow.store import Store

READY_S = 900.0  # a large model that is loaded for the first time; one that can't start ends sooner and says why
POLL_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What runs, and where."""

    base_url: str
    database_url: str
    redis_url: str
    home: Path
    processes: Mapping[str, Process]
    port_moved: bool  # the port that was asked for is taken, another one is used

    @property
    def logs(self) -> Path:
        return self.home / "log"

    def stop(self) -> None:
        """Drain and end all processes together; returns when none is left. Ctrl-C meanwhile ends them at once."""
        for process in self.processes.values():
            process.ask()
        try:
            self._wait()
        except KeyboardInterrupt:
            for process in self.processes.values():
                process.kill()
            self._wait()

    def _wait(self) -> None:
        for process in self.processes.values():
            process.wait()


@contextmanager
def running(
    *,
    home: Path,
    config: Path,
    environ: Mapping[str, str] | None = None,
    notify: Callable[[Exit], None] | None = None,
    ready_s: float = READY_S,
) -> Iterator[Stack]:
    """The whole stack, ready, until the block ends; nothing of it outlives this process, however that one ends.

    `environ` is laid over os.environ: EVALWINDOW_DATABASE_URL and EVALWINDOW_REDIS_URL in it replace the embedded
    servers. A process that ends later is started again after a pause and `notify` is called, from another thread.
    Raises ServiceDown, with the process's last words, when one ends before all are ready, or after `ready_s`.
    """
    wanted = {**os.environ, **(environ or {})}
    wanted |= {f"{PREFIX}HOME": str(home.resolve()), f"{PREFIX}CONFIG": str(config.resolve())}
    settings = read_settings(wanted)
    with ExitStack() as cleanup:
        database_url, redis_url = _servers(settings, cleanup)
        _migrate(database_url)
        port = _free_port(settings)
        wanted |= {
            f"{PREFIX}DATABASE_URL": database_url,
            f"{PREFIX}REDIS_URL": redis_url,
            f"{PREFIX}PORT": str(port),
        }
        stack = Stack(
            base_url=f"http://{settings.host}:{port}",
            database_url=database_url,
            redis_url=redis_url,
            home=home.resolve(),
            processes=_processes(settings.home, _with_own_python(wanted), notify or _say_exit),
            port_moved=settings.port not in (0, port),
        )
        cleanup.callback(stack.stop)
        for process in stack.processes.values():
            process.start()
        _await_ready(stack, ready_s)
        yield stack


def up(settings: Settings, ready: Callable[[Stack], None]) -> None:
    """Run until SIGINT or SIGTERM; `ready` is called once all answers. A second signal stops without draining."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), running(home=settings.home, config=settings.config) as stack:
        ready(stack)
        threading.Event().wait()


def _servers(settings: Settings, cleanup: ExitStack) -> tuple[str, str]:
    """URLs of PostgreSQL and Redis; starts those that the settings don't name."""
    database_url, redis_url = settings.database_url, settings.redis_url
    if not database_url:
        postgres = start_postgres(settings.home)
        cleanup.callback(postgres.stop)
        database_url = postgres.url
    if not redis_url:
        redis = start_redis(settings.home)
        cleanup.callback(redis.stop)
        redis_url = redis.url
    return database_url, redis_url


def _migrate(database_url: str) -> None:
    with closing(Store(database_url)) as store:
        store.migrate()


def _processes(home: Path, environ: Mapping[str, str], notify: Callable[[Exit], None]) -> dict[str, Process]:
    return {
        name: Process(name=name, command=command, environ=environ, log=home / "log" / f"{name}.log", notify=notify)
        for name, command in read_procfile(procfile()).items()
    }


def procfile() -> Path:
    """The Procfile: at the root of a checkout, in the package of a wheel."""
    return Path(__file__).with_name("Procfile").resolve()


def _with_own_python(environ: Mapping[str, str]) -> dict[str, str]:
    """The Procfile's `python` is this one, and its output comes at once."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}"
    return {**environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _free_port(settings: Settings) -> int:
    """The port of the settings, or a free one when it is 0 or taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError:
            probe.bind((settings.host, 0))
        port: int = probe.getsockname()[1]
        return port


def _await_ready(stack: Stack, ready_s: float) -> None:
    until = time.monotonic() + ready_s
    while not _answers(f"{stack.base_url}/readyz"):
        for process in stack.processes.values():
            if process.exits:
                code = process.exits[0].code
                raise _not_ready(process, f"it ended with exit code {code}")
        if time.monotonic() > until:
            raise _not_ready(stack.processes["web"], f"/readyz doesn't answer after {ready_s:.0f} s")
        time.sleep(POLL_S)


def _not_ready(process: Process, reason: str) -> ServiceDown:
    reason = f"{reason}; its last words: {process.last_words() or 'none'}"
    return ServiceDown(service=process.name, host=socket.gethostname(), reason=reason, advice=f"see {process.log}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own http URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _say_exit(seen: Exit) -> None:
    words = f"{seen.name} ended with exit code {seen.code} and starts again in {seen.pause_s:g} s: {seen.last_words}"
    print(words, file=sys.stderr, flush=True)  # noqa: T201  the foreground process speaks to its terminal
