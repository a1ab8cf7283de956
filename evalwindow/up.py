"""Everything on one machine: embedded servers where none are given, the schema, the Procfile's processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from evalwindow import airflow_processes
from evalwindow.airflow_processes import Airflow
from evalwindow.embedded import beside, start_postgres, start_redis
from evalwindow.errors import ConfigInvalid
from evalwindow.orchestrator import API_SERVER, installed
from evalwindow.orchestrator import PREFIX as COMPONENT
from evalwindow.processes import Exit, Process, await_ready, free_port, read_procfile, stop_all, worker_name
from evalwindow.settings import PREFIX, Settings, read_settings
from evalwindow.store import Store
from evalwindow.store.pools import AVAILABLE, ENGINE_SEEN_S

UNIT = "gpu"  # in the Procfile
READY_S = 900.0  # a large model that is loaded for the first time; one that can't start ends sooner and says why


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What runs, and where."""

    base_url: str
    database_url: str
    redis_url: str
    home: Path
    processes: Mapping[str, Process]
    port_moved: bool  # the port that was asked for is taken, another one is used
    airflow: Airflow | None = None

    @property
    def logs(self) -> Path:
        return self.home / "log"

    def stop(self) -> None:
        """Drain and end all processes together; returns when none is left. Ctrl-C meanwhile ends them at once."""
        stop_all(self.processes, last=API_SERVER)  # Airflow's tasks talk to it until they have ended


@contextmanager
def running(
    *,
    home: Path,
    config: Path,
    environ: Mapping[str, str] | None = None,
    notify: Callable[[Exit], None] | None = None,
    ready_s: float = READY_S,
    orchestrator: bool = False,
) -> Iterator[Stack]:
    """The whole stack, ready, until the block ends; nothing of it outlives this process, however that one ends.

    `environ` is laid over os.environ: EVALWINDOW_DATABASE_URL and EVALWINDOW_REDIS_URL in it replace the embedded
    servers. With `orchestrator` Airflow runs too, on a database of its own. A process that ends later is started again
    after a pause and `notify` is called, from another thread.
    Raises ServiceDown, with the process's last words, when one ends before all are ready, or after `ready_s`;
    ConfigInvalid when Airflow is wanted and only the other database is named.
    """
    wanted = {**os.environ, **(environ or {})}
    wanted |= {f"{PREFIX}HOME": str(home.resolve()), f"{PREFIX}CONFIG": str(config.resolve())}
    settings, notify = read_settings(wanted), notify or _say_exit
    if orchestrator:
        _check_databases(settings)
    with ExitStack() as cleanup:
        database_url, redis_url = _servers(settings, cleanup)
        _migrate(database_url)
        port = free_port(settings.host, settings.port)
        wanted |= {
            f"{PREFIX}DATABASE_URL": database_url,
            f"{PREFIX}REDIS_URL": redis_url,
            f"{PREFIX}PORT": str(port),
        }
        wanted = _with_own_python(wanted)
        own = _processes(settings.home, wanted, notify)
        airflow = _airflow(settings, database_url, wanted, notify) if orchestrator else None
        stack = Stack(
            base_url=f"http://{settings.host}:{port}",
            database_url=database_url,
            redis_url=redis_url,
            home=home.resolve(),
            processes={**own, **(airflow.processes if airflow else {})},
            port_moved=settings.port not in (0, port),
            airflow=airflow,
        )
        cleanup.callback(stack.stop)
        for process in own.values():
            process.start()
        if airflow:
            airflow.start()  # its schema is brought up to date while the model is loaded
        with closing(Store(database_url)) as store:
            await_ready(stack.processes, lambda: _missing(stack, store), ready_s=ready_s)
        yield stack


def up(settings: Settings, ready: Callable[[Stack], None], *, orchestrator: bool) -> None:
    """Run until SIGINT or SIGTERM; `ready` is called once all answers. A second signal stops without draining."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack_running = running(home=settings.home, config=settings.config, orchestrator=orchestrator)
    with suppress(KeyboardInterrupt), stack_running as stack:
        ready(stack)
        threading.Event().wait()


def can_orchestrate() -> bool:
    """Whether Airflow is installed and its DAGs are here: a checkout has them, a wheel has not."""
    return installed() and (procfile().parent / "dags").is_dir()


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
        if not name.startswith(COMPONENT)
    }


def _airflow(
    settings: Settings, database_url: str, environ: Mapping[str, str], notify: Callable[[Exit], None]
) -> Airflow:
    return airflow_processes.prepare(
        home=settings.home.resolve(),
        checkout=procfile().parent,
        database_url=settings.airflow_database_url or beside(database_url, "airflow"),
        port=settings.airflow_port,
        commands=read_procfile(procfile()),
        environ=environ,
        notify=notify,
    )


def _check_databases(settings: Settings) -> None:
    if settings.database_url and not settings.airflow_database_url:
        raise ConfigInvalid(
            f"{PREFIX}DATABASE_URL names a server of yours, but {PREFIX}AIRFLOW_DATABASE_URL is not set; let it name a "
            "database that Airflow may fill, or start without Airflow"
        )


def procfile() -> Path:
    """The Procfile: at the root of a checkout, in the package of a wheel."""
    return Path(__file__).with_name("Procfile").resolve()


def _with_own_python(environ: Mapping[str, str]) -> dict[str, str]:
    """The Procfile's `python` is this one, and its output comes at once."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ.get('PATH', os.defpath)}"
    return {**environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


def _missing(stack: Stack, store: Store) -> str | None:
    if not _has_engine(stack.processes[UNIT], store):
        return UNIT
    if not _answers(f"{stack.base_url}/readyz"):
        return "web"
    return stack.airflow.missing() if stack.airflow else None


def _has_engine(unit: Process, store: Store) -> bool:
    """One of its own: for a minute the row of a predecessor that was killed says that it is ready, and so /readyz."""
    pid = unit.pid
    if pid is None:
        return False
    engines = store.engines(seen_within_s=ENGINE_SEEN_S)
    return any(engine.worker == worker_name(pid) and engine.state in AVAILABLE for engine in engines)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own http URL
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _say_exit(seen: Exit) -> None:
    words = f"{seen.name} ended with exit code {seen.code} and starts again in {seen.pause_s:g} s: {seen.last_words}"
    print(words, file=sys.stderr, flush=True)  # noqa: T201  the foreground process speaks to its terminal
