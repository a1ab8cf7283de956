"""A service for the commands: real web app, database and broker, and a worker that answers from recordings."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
import yaml

from evalwindow import flow
from evalwindow.cli import main
from evalwindow.config_file import read_config
from evalwindow.embedded import Server
from evalwindow.model import RunState
from evalwindow.services import Services, build
from evalwindow.settings import Settings
from evalwindow.store import Store
from evalwindow.web.app import create_app
from tests.unit.worlds import rows, write_outputs, write_suite

COUNT = 60


@dataclass
class Installation:
    """Where a command finds the service, and the service itself."""

    settings: Settings
    services: Services
    folder: Path

    @property
    def store(self) -> Store:
        return self.services.store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A regression suite "echo", a smoke suite "tiny", and recordings that are right, wrong and half right."""
    suites = tmp_path / "suites"
    suites.mkdir()
    write_suite(suites, rows(COUNT), policy={"margin": 0.1}, description="say it again")
    write_suite(suites, rows(3, must_pass=True), suite="tiny", tier="smoke")
    answers = {f"s{n}": str(n) for n in range(COUNT)}
    recordings = {
        "right": answers,
        "wrong": dict.fromkeys(answers, "[bold]no idea[/bold]"),
        "half": {sample: answer if int(answer) % 2 else "?" for sample, answer in answers.items()},
    }
    for name, outputs in recordings.items():
        write_outputs(tmp_path / f"{name}.jsonl", outputs)
    config = {
        "suites": "suites",
        "models": {name: {"engine": "replay", "outputs": f"{name}.jsonl"} for name in recordings},
        "teams": {"search": {"repos": ["acme/search"]}, "ads": {}},
    }
    (tmp_path / "evalwindow.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.fixture
def installation(
    folder: Path, database_url: str, redis: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Installation]:
    """The environment of an operator on the machine of the service."""
    config = folder / "evalwindow.yaml"
    settings = Settings(database_url=database_url, redis_url=redis.url, home=folder / "home", config=config)
    monkeypatch.setenv("EVALWINDOW_DATABASE_URL", database_url)
    monkeypatch.setenv("EVALWINDOW_CONFIG", str(config))
    monkeypatch.setenv("EVALWINDOW_HOME", str(folder / "home"))
    services = build(settings, config=read_config(config))
    yield Installation(settings=settings, services=services, folder=folder)
    asyncio.run(services.aclose())


@pytest.fixture
def service(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installation]:
    """The environment of somebody of team "search", and the web app that the commands talk to."""
    monkeypatch.setenv("EVALWINDOW_TOKEN", installation.store.add_token("search"))
    with _serving(installation.services) as url:
        monkeypatch.setenv("EVALWINDOW_URL", url)
        yield installation


@pytest.fixture
def worker(service: Installation) -> Iterator[None]:
    """Answers every run that is queued."""
    ended = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_work(service.settings, ended)))
    thread.start()
    yield
    ended.set()
    thread.join()


async def _work(settings: Settings, ended: threading.Event) -> None:
    services = build(settings)
    while not ended.is_set():
        for run in services.store.runs(state=RunState.QUEUED):
            for shard in services.store.shards(run.id):
                await flow.run_shard(services, shard.id)
        await asyncio.sleep(0.05)
    await services.aclose()


@contextmanager
def _serving(services: Services) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(create_app(services), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str


class Command:
    """`evalwindow ...` in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Outcome:
        self._capsys.readouterr()
        code = main(arguments)
        return Outcome(code, *self._capsys.readouterr())


@pytest.fixture
def evalwindow(capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(capsys)
