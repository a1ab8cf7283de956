"""What the tour plays on: the whole stack in a folder of its own, and a stand-in for GitHub."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from demo.github_standin import APP_TOKEN_PREFIX, Standin, create_app
from demo.mailbox import Mailbox
from evalwindow.client import Client
from evalwindow.errors import ServiceDown
from evalwindow.report.files import report_folder
from evalwindow.store import Store
from evalwindow.up import READY_S, Stack, running

ROOT = Path(__file__).parents[2]
TEAM, REPO = "search", "acme/search"
PAGES_S = 60.0
SERVERS = ("postgres", "redis", "engines")  # folders of the home that are worth nothing once all has stopped


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The running stack and whoever talks to it."""

    stack: Stack
    github: Standin
    client: Client  # of team TEAM
    token: str
    webhook_secret: str
    mailbox: Mailbox

    async def pages(self, run_ids: Sequence[str]) -> None:
        """Wait until the page of each run lies in its folder."""
        paths = [report_folder(self.stack.home) / f"{run_id}.html" for run_id in run_ids]
        deadline = time.monotonic() + PAGES_S
        while missing := [path for path in paths if not path.exists()]:
            if time.monotonic() > deadline:
                raise ServiceDown(
                    f"{missing[0]} was not written within {PAGES_S:.0f} s; see {self.stack.home / 'logs'}"
                )
            await asyncio.sleep(0.05)


@contextmanager
def standin_running(standin: Standin) -> Iterator[str]:
    """The stand-in for GitHub on a free port, in a thread; its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(standin), log_level="error")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def stack_running(
    *,
    home: Path,
    config: Path,
    github_url: str,
    webhook_secret: str,
    environ: Mapping[str, str] | None = None,
    ready_s: float = READY_S,
    orchestrator: bool = False,
) -> Iterator[Stack]:
    """Everything of evalwindow, with servers of its own: what the user's environment names is not touched.

    `environ` is laid over that.
    """
    isolated = {
        "EVALWINDOW_DATABASE_URL": "",
        "EVALWINDOW_REDIS_URL": "",
        "EVALWINDOW_GITHUB_API_URL": github_url,
        "EVALWINDOW_GITHUB_TOKEN": f"{APP_TOKEN_PREFIX}demo",
        "EVALWINDOW_GITHUB_APP_ID": "",
        "EVALWINDOW_GITHUB_PRIVATE_KEY": "",
        "EVALWINDOW_HOST": "127.0.0.1",
        "EVALWINDOW_PORT": "0",
        "EVALWINDOW_AIRFLOW_PORT": "0",
        "EVALWINDOW_PUBLIC_URL": "",
        "EVALWINDOW_WEBHOOK_SECRET": webhook_secret,
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    wanted = {**isolated, **(environ or {})}
    with running(home=home, config=config, environ=wanted, ready_s=ready_s, orchestrator=orchestrator) as stack:
        yield stack


@asynccontextmanager
async def on_stage(
    stack: Stack, standin: Standin, *, webhook_secret: str, mailbox: Mailbox | None = None
) -> AsyncIterator[Stage]:
    """With a token for the team and a client that uses it."""
    token = _new_token(stack.database_url)
    async with Client.open(stack.base_url, token) as client:
        yield Stage(
            stack=stack,
            github=standin,
            client=client,
            token=token,
            webhook_secret=webhook_secret,
            mailbox=mailbox or Mailbox(),
        )


def new_secret() -> str:
    return secrets.token_hex(16)


def forget_servers(home: Path) -> None:
    """Remove the servers' data; reports and logs stay."""
    for name in SERVERS:
        shutil.rmtree(home / name, ignore_errors=True)


def _new_token(database_url: str) -> str:
    store = Store(database_url)
    try:
        return store.add_token(TEAM)
    finally:
        store.close()
