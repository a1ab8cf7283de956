"""The same incident by webhooks: one repository sends a thousand, while another opens pull requests as usual."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import pytest
import yaml

from demo.github_standin import Standin
from demo.github_webhook import signed_headers
from demo.walkthrough.stage import standin_running
from evalwindow.flow.events import TOLD_A_MINUTE
from evalwindow.store import Store
from evalwindow.store.events import OVERTAKEN, REPEATED
from evalwindow.store.retention import Aged
from soak.invariants import settle
from tests.faults.flood import CONNECTIONS
from tests.faults.town import FLOODER, OTHERS, Town
from tests.real.house import House, until
from tests.unit.github.examples import pull_request

SECRET = "a webhook's secret"
MINE, THEIRS = f"acme/{FLOODER}", f"acme/{OTHERS[0]}"
PUSHES, REOPENED, OPENED = 400, 300, 300  # of one pull request each; of as many
USUAL = 3  # pull requests of the other team
SUBMISSIONS = 30  # a minute, of the team that floods
AT_ONCE = 12  # events that web app and dispatcher handle at the same time
QUOTA = {"smoke_runs": 6, "submissions_per_minute": SUBMISSIONS}


@dataclass(frozen=True, kw_only=True)
class Scene:
    town: Town
    github: Standin

    def push(self, repo: str, number: int, *, commit: int, action: str = "synchronize", second: int) -> bytes:
        """A commit of a pull request with its file on GitHub, and its event."""
        sha = hashlib.sha1(f"{repo} {number} {commit}".encode(), usedforsecurity=False).hexdigest()
        wanted = {"suites": ["trip"], "candidate": {"model": "parrot", "system": sha}}
        self.github.put_files(repo, sha, {".evalwindow.yaml": yaml.safe_dump(wanted).encode()})
        at = (dt.datetime(2026, 3, 2, tzinfo=dt.UTC) + dt.timedelta(seconds=second)).isoformat()
        event = pull_request(action=action, repo=repo, head_repo=repo, number=number, sha=sha, updated_at=at)
        return json.dumps(event).encode()

    def calls(self, repo: str, part: str) -> int:
        """Requests of GitHub about a repository whose path holds that."""
        return sum(f"/repos/{repo}/" in each["path"] and part in each["path"] for each in self.github.requests)


@pytest.fixture
def scene(house: House, store: Store) -> Iterator[Scene]:
    github = Standin()
    with standin_running(github) as url:
        environ = {
            "EVALWINDOW_GITHUB_API_URL": url,
            "EVALWINDOW_GITHUB_TOKEN": "ghs_installed",
            "EVALWINDOW_WEBHOOK_SECRET": SECRET,
        }
        town = Town(house, store, quota=QUOTA, environ=environ)
        town.open()
        yield Scene(town=town, github=github)
        town.close()


def _flood(scene: Scene) -> list[bytes]:
    """Pushes to one pull request, one commit reopened over and over, and many pull requests, mixed."""
    pushes = [scene.push(MINE, 1, commit=number, second=number) for number in range(PUSHES)]
    again = [scene.push(MINE, 2, commit=0, action="reopened", second=number) for number in range(REOPENED)]
    many = [scene.push(MINE, 10 + number, commit=0, action="opened", second=number) for number in range(OPENED)]
    return [event for group in zip(pushes, again + pushes[:100], many + pushes[:100], strict=True) for event in group]


async def _deliver(town: Town, bodies: list[bytes]) -> Counter[int]:
    """Many at once; what each was answered."""
    waiting, answers = iter(bodies), Counter[int]()
    async with aiohttp.ClientSession(town.url) as session:

        async def post() -> None:
            for body in waiting:
                headers = signed_headers(body, secret=SECRET, delivery=str(uuid.uuid4()))
                async with session.post("/webhooks/github", data=body, headers=headers) as answer:
                    answers[answer.status] += 1

        await asyncio.gather(*(post() for _ in range(CONNECTIONS)))
    return answers


def test_a_flood_of_events_is_few_calls_of_github_and_the_others_are_told_as_ever(scene: Scene) -> None:
    town, begun = scene.town, time.monotonic()
    usual = [scene.push(THEIRS, number, commit=0, action="opened", second=0) for number in range(1, USUAL + 1)]
    flood = _flood(scene)
    bodies = [*flood[:200], *usual, *flood[200:]]
    assert asyncio.run(_deliver(town, bodies)) == {202: len(bodies)}
    until(lambda: not settle(town.store.url, seconds=60))
    minutes = (time.monotonic() - begun) / 60 + 1
    states = Counter(state for (state,) in town.select("SELECT state FROM event"))
    assert states.total() == len(bodies)
    assert set(states) == {"done", "refused"}
    noted = Counter(error for (error,) in town.select("SELECT error FROM event"))
    assert noted[OVERTAKEN] + noted[REPEATED] > PUSHES / 2
    _few_calls(scene, minutes=minutes)
    _told_once_a_commit(scene)
    _others_were_told(scene)
    assert town.store.forget(Aged.EVENTS, dt.timedelta(0), limit=10_000) == len(bodies)


def _few_calls(scene: Scene, *, minutes: float) -> None:
    """Files are read for what the breaker lets through, and refusals told at their pace: no call for each event."""
    allowed = SUBMISSIONS * minutes + AT_ONCE
    [(runs, refused)] = scene.town.select("SELECT runs, refused FROM usage WHERE team = :team", team=FLOODER)
    assert 0 < runs <= allowed
    assert refused > 0
    assert scene.calls(MINE, "/contents/") <= 2 * allowed
    refusals = [
        check for check in scene.github.check_runs if check["repo"] == MINE and check["conclusion"] == "neutral"
    ]
    told = [check for check in refusals if check["name"] == "evalwindow/config"]
    assert 0 < len(told) <= TOLD_A_MINUTE * minutes
    assert "submissions_per_minute" in "".join(check["output"]["summary"] for check in told)
    assert "try again" in told[0]["output"]["summary"]


def _told_once_a_commit(scene: Scene) -> None:
    checks = Counter((check["head_sha"], check["name"]) for check in scene.github.check_runs)
    assert set(checks.values()) == {1}


def _others_were_told(scene: Scene) -> None:
    theirs = [check for check in scene.github.check_runs if check["repo"] == THEIRS]
    assert [(check["status"], check["name"]) for check in theirs] == [("completed", "evalwindow/trip")] * USUAL
    [(runs, refused)] = scene.town.select("SELECT runs, refused FROM usage WHERE team = :team", team=OTHERS[0])
    assert (runs, refused) == (USUAL, 0)
