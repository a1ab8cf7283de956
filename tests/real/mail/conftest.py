"""A real mail server, and a real night whose verdicts are to be told: rows in PostgreSQL, recorded outputs."""

from __future__ import annotations

import asyncio
import datetime as dt
import email
import email.policy
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Config, MailTo, ReplayModel, Team, Window
from evalwindow.embedded import Server
from evalwindow.model import Candidate
from evalwindow.nights.opening import open_night
from evalwindow.nights.settling import settle
from evalwindow.nights.starting import start_entry
from evalwindow.services import Services, build
from evalwindow.settings import Settings
from tests.unit.worlds import rows, write_outputs, write_suite

SENDER = "Evals <evals@acme.example>"
READER, TEAM = "release@acme.example", "search@acme.example"
COUNT = 60


@dataclass
class Inbox:
    """A mail server: what it was handed in, and what it is to answer."""

    port: int = 0
    received: list[tuple[str, EmailMessage]] = field(default_factory=list)  # (to whom, what)
    to_recipients: list[str] = field(default_factory=list)  # answers to RCPT, in their order; then 250
    to_data: list[str] = field(default_factory=list)
    asked: int = 0  # RCPT commands
    _controller: Controller | None = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self, **options: Any) -> None:
        """On the same port as before."""
        if not self.port:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.port = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **options)
        self._controller.start()

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
        self._controller = None

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked += 1
        answer = self.to_recipients.pop(0) if self.to_recipients else "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.to_data.pop(0) if self.to_data else "250 OK"
        if answer.startswith("250"):
            message = email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            self.received += [(address, message) for address in envelope.rcpt_tos]
        return answer

    def to(self, address: str) -> list[EmailMessage]:
        return [message for whom, message in self.received if whom == address]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """It answers already."""
    server = Inbox()
    server.start()
    yield server
    server.stop()


@dataclass(kw_only=True)
class Town:
    """Services over a folder with a suite and recorded outputs: `good` is the baseline."""

    folder: Path
    settings: Settings
    config: Config
    _opened: list[Services] = field(default_factory=list)

    def services(self, *, mail: tuple[MailTo, ...] | None = None, **settings: Any) -> Services:
        """As a process that has just started has them."""
        config = self.config
        if mail is not None:
            window = config.windows["nightly"].model_copy(update={"mail": mail})
            config = config.model_copy(update={"windows": {"nightly": window}})
        services = build(self.settings.model_copy(update=settings), config=config)
        self._opened.append(services)
        return services

    async def night(self, services: Services, key: str = "one", *, unfinished: str | None = None) -> str:
        """A night that was opened, worked on and settled; of `unfinished` one shard was worked on."""
        store, now = services.store, dt.datetime.now(dt.UTC)
        if store.baseline("echo", "main") is None:
            await self._promote(services)
        ends_at = now + dt.timedelta(hours=8)
        night = open_night(
            services, "nightly", key=key, starts_at=now, ends_at=ends_at, url="https://airflow.example/x"
        )
        for entry in store.entries(night.id):
            started = start_entry(services, entry.id, owner="a test")
            assert started.run is not None
            shards = store.shards(started.run.id)
            for shard in shards[:1] if entry.model == unfinished else shards:
                await flow.run_shard(services, shard.id)
        if unfinished:
            store.close_night(night.id, "the budget is used up")
        settle(services, night.id)
        return night.id

    async def _promote(self, services: Services) -> None:
        wish = Submission(key="base", team="search", suite="echo", candidate=Candidate(model="good"))
        run = await asyncio.to_thread(flow.submit, services, wish)
        for shard in services.store.shards(run.id):
            await flow.run_shard(services, shard.id)
        services.store.promote("echo", "main", run.id, "lea", "first")

    async def aclose(self) -> None:
        for services in self._opened:
            await services.aclose()


@pytest_asyncio.fixture
async def town(tmp_path: Path, database_url: str, redis: Server, inbox: Inbox) -> AsyncIterator[Town]:
    """Its nights judge `worse` and `good` against `good`, and tell READER all and TEAM failures."""
    (tmp_path / "suites").mkdir()
    policy = {"margin": 0.1, "blocking": ["odd"]}
    samples = [row | {"slices": ["odd" if n % 2 else "even"]} for n, row in enumerate(rows(COUNT))]
    write_suite(tmp_path / "suites", samples, policy=policy)
    right = {f"s{n}": str(n) for n in range(COUNT)}
    recordings = {"good": right, "worse": {name: "?" if int(text) % 2 else text for name, text in right.items()}}
    outputs = {name: write_outputs(tmp_path / f"{name}.jsonl", texts) for name, texts in recordings.items()}
    window = Window(
        cron="0 22 * * *",
        duration_minutes=480,
        timezone="Europe/Berlin",
        team="search",
        suites=("echo",),
        models=("good", "worse"),
        mail=(MailTo(to=(READER,)), MailTo(to=(TEAM,), when="failure")),
    )
    built = Town(
        folder=tmp_path,
        settings=Settings(
            database_url=database_url,
            redis_url=redis.url,
            home=tmp_path / "home",
            public_url="https://evals.example",
            smtp_url=SecretStr(inbox.url),
            mail_from=SENDER,
            poll_s=0.02,
        ),
        config=Config(
            suites=tmp_path / "suites",
            models={name: ReplayModel(engine="replay", outputs=path) for name, path in outputs.items()},
            teams={"search": Team()},
            windows={"nightly": window},
        ),
    )
    yield built
    await built.aclose()


@pytest.fixture
def due(town: Town) -> Callable[[Services], None]:
    """Whatever waits for its next attempt is due now."""

    def make_due(services: Services) -> None:
        with services.store._transaction() as connection:
            connection.exec_driver_sql("UPDATE delivery SET next_at = now() WHERE state = 'waiting'")

    return make_due
