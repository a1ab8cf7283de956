"""All of evalwindow on this machine, several of most processes, and everything that it talks to: all may be hurt."""

from __future__ import annotations

import os
import shlex
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from demo.github_standin import APP_TOKEN_PREFIX, Standin
from demo.walkthrough.stage import ROOT, standin_running
from evalwindow.embedded import start_postgres, start_redis
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import read_record
from evalwindow.processes import Exit, Process, free_port, stop_all
from evalwindow.store import Store
from soak.house import TEAM, Engine, furnish
from soak.invariants import watch
from soak.mail import MailServer
from soak.parrot import Parrot, parrot_running
from soak.servers import Mortal

READY_S = 300.0
SECRET = "soak"  # noqa: S105 - of webhooks that never leave this machine
WEBS, DISPATCHERS, CONSUMERS = 2, 2, 2
CONSUMER = (
    "python -m celery -A workers.app worker -P threads -c 4 -l INFO -Q regression.api,smoke.api "
    "--without-gossip --without-mingle -n consumer-{number}@%h"
)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What runs, and who is told."""

    home: Path
    engine: Engine
    postgres: Mortal
    redis: Mortal
    github: Standin
    mail: MailServer
    parrot: Parrot
    processes: dict[str, Process]
    urls: Sequence[str]  # of the web apps
    token: str

    def named(self, kind: str) -> list[Process]:
        return [process for name, process in self.processes.items() if name.startswith(kind)]

    def pids(self, kind: str) -> list[int]:
        """Of those that run at this moment."""
        return [pid for process in self.named(kind) if (pid := process.pid) is not None]

    def consumers(self) -> list[int]:
        """Pids of the Celery consumers: of the GPU unit, where there is one."""
        if self.engine == "api":
            return self.pids("consumer")
        children = [child for pid in self.pids("gpu") for child in _children(pid)]
        return [child.pid for child in children if "celery" in _title(child)]

    def engine_pid(self) -> int | None:
        """Of vLLM's server; None while no engine is ready."""
        record = read_record(EnginePaths(home=self.home, pool="warm").record)
        return record.pid if record else None

    def engine_processes(self) -> list[psutil.Process]:
        """vLLM's server and all below it."""
        pid = self.engine_pid()
        if pid is None or not psutil.pid_exists(pid):
            return []
        server = psutil.Process(pid)
        return [server, *_children(pid, recursive=True)]


@contextmanager
def stage_running(home: Path, *, engine: Engine, say: Callable[[str], None]) -> Iterator[Stage]:
    """Ready, until the block ends; nothing of it outlives this process."""
    github = Standin()
    with ExitStack() as cleanup:
        parrot = cleanup.enter_context(parrot_running())
        github_url = cleanup.enter_context(standin_running(github))
        mail = MailServer()
        cleanup.callback(mail.stop)
        postgres, redis = Mortal(lambda: start_postgres(home)), Mortal(lambda: start_redis(home))
        cleanup.callback(postgres.stop)
        cleanup.callback(redis.stop)
        config = furnish(home, engine=engine, parrot_url=parrot.url)
        environ = {
            "EVALWINDOW_DATABASE_URL": postgres.url,
            "EVALWINDOW_REDIS_URL": redis.url,
            "EVALWINDOW_CONFIG": str(config),
            "EVALWINDOW_HOME": str(home),
            "EVALWINDOW_LEASE_S": "6",
            "EVALWINDOW_DRAIN_S": "5",
            "EVALWINDOW_ENGINE_PATIENCE_S": "20",
            "EVALWINDOW_GITHUB_API_URL": github_url,
            "EVALWINDOW_GITHUB_TOKEN": f"{APP_TOKEN_PREFIX}soak",
            "EVALWINDOW_WEBHOOK_SECRET": SECRET,
            "EVALWINDOW_SMTP_URL": mail.url,
            "EVALWINDOW_MAIL_FROM": "evals@acme.example",
            "EVALWINDOW_HOST": "127.0.0.1",
            "PARROT": "no secret",
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
        }
        token = _prepared(postgres.url)
        ports = [free_port("127.0.0.1", 0) for _ in range(WEBS)]
        processes = _processes(home, environ, ports=ports, engine=engine, say=say)
        cleanup.callback(stop_all, processes)
        for process in processes.values():
            process.start()
        stage = Stage(
            home=home,
            engine=engine,
            postgres=postgres,
            redis=redis,
            github=github,
            mail=mail,
            parrot=parrot,
            processes=processes,
            urls=[f"http://127.0.0.1:{port}" for port in ports],
            token=token,
        )
        _await_ready(stage)
        yield stage


def _prepared(url: str) -> str:
    """The schema, a watch over every run's end, and a token of the team."""
    with closing(Store(url)) as store:
        store.migrate()
        watch(url)
        return store.add_token(TEAM)


def _processes(
    home: Path, environ: dict[str, str], *, ports: Sequence[int], engine: Engine, say: Callable[[str], None]
) -> dict[str, Process]:
    commands = {f"web-{number}": ("python -m evalwindow.web", port) for number, port in enumerate(ports, 1)}
    commands |= {f"dispatcher-{number}": ("python -m workers.dispatcher", 0) for number in range(1, DISPATCHERS + 1)}
    if engine == "tiny":
        commands["gpu"] = ("python -m workers.gpu --pool warm", 0)
    else:
        commands |= {f"consumer-{number}": (CONSUMER.format(number=number), 0) for number in range(1, CONSUMERS + 1)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    python_path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    own = {k: v for k, v in os.environ.items() if not k.startswith("EVALWINDOW_")} | environ
    own |= {"PATH": path, "PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1"}

    def notify(seen: Exit) -> None:
        say(f"{seen.name} ended with {seen.code}, starts again in {seen.pause_s:g} s")

    return {
        name: Process(
            name=name,
            command=shlex.join(shlex.split(command)),
            environ={**own, **({"EVALWINDOW_PORT": str(port)} if port else {})},
            log=home / "log" / f"{name}.log",
            notify=notify,
        )
        for name, (command, port) in commands.items()
    }


def _await_ready(stage: Stage) -> None:
    """Every web app answers that it has all that it needs; a consumer listens."""
    end = time.monotonic() + READY_S
    while not (all(map(_ready, stage.urls)) and stage.consumers()):
        if time.monotonic() > end:
            words = " / ".join(f"{name}: {one.last_words(1)}" for name, one in stage.processes.items())
            raise TimeoutError(f"not ready within {READY_S:.0f} s; last words: {words}")
        time.sleep(0.5)


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:  # noqa: S310 - our own, by http
            return bool(answer.status == 200)
    except OSError:
        return False


def _children(pid: int, *, recursive: bool = False) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=recursive)
    except psutil.NoSuchProcess:
        return []


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
