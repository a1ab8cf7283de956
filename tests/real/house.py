"""A small house: suites, evalwindow.yaml, an API that answers, and its processes as a machine would run them."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from sqlalchemy import text

from evalwindow.store import Store
from tests.unit.worlds import rows, write_suite
from workers.groups import die_with

ROOT = Path(__file__).parents[2]
TEAM, REPO = "search", "acme/search"
COMMANDS = {
    "dispatcher": ["-m", "workers.dispatcher"],
    "consumer": [
        *("-m", "celery", "-A", "workers.app", "worker", "-P", "threads", "-c", "2", "-l", "INFO"),
        *("-Q", "regression.api,smoke.api", "--without-gossip", "--without-mingle"),
    ],
}


class Api:
    """An OpenAI-compatible server: "say 7" is answered by "7", once `open` is set. The `first` so many never wait."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.first = 0
        self.asked: list[str] = []
        self._counting = threading.Lock()
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][-1]["content"]
                if api._count(prompt) > api.first:
                    api.open.wait(600)
                with suppress(BrokenPipeError):  # who asked was killed
                    self._answer(body["model"], re.sub(r"\D", "", prompt))

            def _answer(self, model: str, text: str) -> None:
                message = {"role": "assistant", "content": text}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
                answer = {"id": "x", "object": "chat.completion", "created": 0, "model": model, "choices": [choice]}
                content = json.dumps(answer | {"usage": usage}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def _count(self, prompt: str) -> int:
        with self._counting:
            self.asked.append(prompt)
            return len(self.asked)

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


class House:
    """Its folder, its environment, and the processes that it started."""

    def __init__(self, folder: Path, *, api: Api, database_url: str, redis_url: str, samples: int = 40) -> None:
        self.folder, self.api = folder, api
        suites = folder / "suites"
        suites.mkdir()
        write_suite(suites, rows(samples))
        write_suite(suites, rows(3, must_pass=True), suite="trip", tier="smoke")
        model = {"engine": "openai", "base_url": api.url, "model": "parrot", "api_key_env": "PARROT_KEY"}
        config = {
            "suites": str(suites),
            "models": {"parrot": model},
            "teams": {TEAM: {"repos": [REPO]}},
            "lanes": {"regression": {"slots": 8, "shard_size": 5, "consumers": 2}},
        }
        (folder / "evalwindow.yaml").write_text(yaml.safe_dump(config))
        self.environ = {
            "EVALWINDOW_DATABASE_URL": database_url,
            "EVALWINDOW_REDIS_URL": redis_url,
            "EVALWINDOW_CONFIG": str(folder / "evalwindow.yaml"),
            "EVALWINDOW_HOME": str(folder),
            "EVALWINDOW_LEASE_S": "3",
            "EVALWINDOW_POLL_S": "0.05",
            "PARROT_KEY": "no secret",
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, kind: str, *, under: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """A dispatcher or a consumer; what it says goes to a file of its own. `under` is a command that becomes it."""
        log = self._log(kind, len(self._processes))
        process = launch([*under, sys.executable, *COMMANDS[kind]], environ=self.environ, log=log)
        self._processes.append(process)
        return process

    def said(self) -> str:
        """What all processes have said, in the order in which they were started."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _log(self, kind: str, number: int) -> Path:
        return self.folder / f"{number:02}-{kind}.log"


def launch(command: Sequence[str], *, environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A process that ends with these tests, however they end. From a thread that lasts: see workers.groups.spawn."""
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **environ},
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=partial(die_with, os.getpid()),
        )


def late(store: Store, table: str) -> None:
    """Time passes: the leases of these rows run out now, and shards' messages that nobody took count as lost."""
    with store._transaction() as connection:
        connection.execute(text(f"UPDATE {table} SET lease_until = now() WHERE lease_until IS NOT NULL"))  # noqa: S608
        if table == "shard":
            long_ago = "UPDATE shard SET dispatched_at = now() - interval '1 day' WHERE state = 'dispatched'"
            connection.execute(text(long_ago))
        connection.execute(text("SELECT pg_notify('evalwindow_work', 'later')"))


def until(condition: Callable[[], object], *, seconds: float = 240.0, said: Callable[[], str] = str) -> None:
    """Wait for it; fails when it doesn't come, with what was `said` meanwhile."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it never happened\n{said()}"
        time.sleep(0.05)


def ended(process: subprocess.Popen[bytes], *, by: signal.Signals | None = None) -> int:
    """Exit status, after a signal if one is given."""
    if by is not None:
        process.send_signal(by)
    return process.wait(240)
