"""A house that tells a GitHub, takes webhooks, and is checked at the end: what was promised, and what came of it."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from subprocess import Popen
from typing import Any

import psycopg
import yaml
from sqlalchemy import make_url, text

from demo.github_standin import Standin
from demo.github_webhook import pull_request_event, signed_headers
from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.model import Candidate, RunState, Source
from evalwindow.processes import free_port
from evalwindow.services import Services
from evalwindow.store import Store
from soak.invariants import Received, check, settle
from tests.real.house import COMMANDS, REPO, TEAM, House, late, until

SECRET = "a webhook's secret"
CONFIG = ".evalwindow.yaml"
SETTLES_S = 240.0  # at most: on a busy machine


class Scene:
    """Over a house: its web app and GitHub, and everything that anybody was promised."""

    def __init__(self, house: House, services: Services, *, github: Standin, github_url: str) -> None:
        self.house, self.services, self.github = house, services, github
        self.store: Store = services.store
        port = free_port("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{port}"
        self._runs: list[str] = []
        self._deliveries: list[str] = []
        COMMANDS["web"] = ["-m", "evalwindow.web"]
        house.environ |= {
            "EVALWINDOW_GITHUB_API_URL": github_url,
            "EVALWINDOW_GITHUB_TOKEN": "ghs_installed",
            "EVALWINDOW_WEBHOOK_SECRET": SECRET,
            "EVALWINDOW_PORT": str(port),
        }

    def start(self, *kinds: str) -> list[Popen[bytes]]:
        """Processes of these kinds; a web app answers when this returns."""
        processes = [self.house.start(kind) for kind in kinds]
        if "web" in kinds:
            until(self.answers)
        return processes

    def submit(self, suite: str = "echo", *, number: int = 1) -> str:
        """A run of pull request `number`, as the API admits it; its id."""
        source = Source(repo=REPO, pull_request=number, head_sha=sha_of(number, suite), branch="main")
        candidate = Candidate(model="parrot", system=f"pull request {number}")  # nobody has asked this before
        wish = Submission(key=f"{number} {suite}", team=TEAM, suite=suite, candidate=candidate, source=source)
        self._runs.append(flow.submit(self.services, wish).id)
        return self._runs[-1]

    def push(self, number: int, *suites: str) -> str:
        """A commit of pull request `number` and its webhook, which the web app takes; the delivery's id."""
        delivery = f"delivery-{number}"
        assert self.webhook(number, *suites, delivery=delivery) == 202
        self._deliveries.append(delivery)
        return delivery

    def webhook(self, number: int, *suites: str, delivery: str) -> int:
        """The same, whatever the answer is."""
        sha = sha_of(number, *suites)
        config = {"suites": list(suites), "candidate": {"model": "parrot", "system": f"pull request {number}"}}
        self.github.put_files(REPO, sha, {CONFIG: yaml.safe_dump(config).encode()})
        body = json.dumps(pull_request_event(REPO, number, sha)).encode()
        headers = signed_headers(body, secret=SECRET, delivery=delivery)
        request = urllib.request.Request(f"{self.url}/webhooks/github", data=body, headers=headers)  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    def runs(self) -> list[str]:
        """Ids of all runs, the oldest first."""
        return [run.id for run in reversed(self.store.runs(1000))]

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=10) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except OSError:
            return False

    def said(self, words: str) -> int:
        """How often the processes have said that."""
        return self.house.said().count(words)

    def hold_back(self, *, first: int) -> None:
        """The model answers so many prompts; the others wait for `go_on`."""
        self.house.api.first = first
        self.house.api.open.clear()

    def lease(self, seconds: float) -> None:
        """Of the shards that processes take which start now; a long one outlasts every pause of this machine."""
        self.house.environ["EVALWINDOW_LEASE_S"] = str(seconds)

    def go_on(self) -> None:
        self.house.api.open.set()

    def late(self, table: str) -> None:
        """Time passes: the leases of these rows run out now."""
        late(self.store, table)

    def select(self, statement: str) -> Sequence[Any]:
        with self.store._transaction() as connection:
            return connection.execute(text(statement)).all()

    def ends_well(self, *, runs: int | None = None) -> None:
        """Everything comes to its end, each once, as somebody was promised."""
        under_way = settle(self.store.url, seconds=SETTLES_S)
        assert not under_way, f"{under_way}\n{self.house.said()}"
        received = Received(github=self.github, runs=self._runs, deliveries=self._deliveries)
        broken = check(self.store.url, received)
        assert not broken, f"{broken}\n{self.house.said()}"
        states = [self.store.run(run_id).state for run_id in self.runs()]
        assert states == [RunState.CONCLUDED] * (len(self._runs) if runs is None else runs)


def cut_connections(url: str) -> int:
    """End every connection of a client to the database but this one; how many there were."""
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(dsn, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        ).fetchone()
    assert ended is not None
    return int(ended[0])


def sha_of(number: int, *suites: str) -> str:
    return hashlib.sha1(f"{number} {suites}".encode(), usedforsecurity=False).hexdigest()
