"""Webhooks come twice, late, in any order and in storms: one run for each commit and suite, and the newest one wins."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import urllib.error
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import yaml

from evalwindow.model import RunState
from evalwindow.processes import free_port
from soak.invariants import Received, check, settle
from tests.faults.scene import CONFIG, SECRET, Scene
from tests.faults.times import let_pass
from tests.real.house import REPO, until
from tests.real.web.helpers import signed
from tests.unit.github.examples import pull_request

pytestmark = pytest.mark.timeout(600)

START = dt.datetime(2026, 3, 2, 9, tzinfo=dt.UTC)
COMMITS = 24
SEEDS = random.Random(5)


@dataclass(frozen=True)
class Push:
    """A commit of pull request 7, pushed so many minutes after the first."""

    number: int
    suites: tuple[str, ...] = ("trip",)
    minute: int | None = None

    @property
    def sha(self) -> str:
        return hashlib.sha1(str(self.number).encode(), usedforsecurity=False).hexdigest()

    def event(self, *, action: str = "synchronize") -> dict[str, object]:
        minute = self.number if self.minute is None else self.minute
        at = (START + dt.timedelta(minutes=minute)).isoformat()
        return pull_request(action=action, repo=REPO, head_repo=REPO, sha=self.sha, updated_at=at)

    def put(self, scene: Scene) -> None:
        """GitHub has its files."""
        # Another prompt for each commit: no answer is there already.
        config = {"suites": [*self.suites], "candidate": {"model": "parrot", "system": f"commit {self.number}"}}
        scene.github.put_files(REPO, self.sha, {CONFIG: yaml.safe_dump(config).encode()})


def deliver(url: str, push: Push, *, delivery: str, action: str = "synchronize") -> int:
    """The status that the web app answers."""
    request = signed(push.event(action=action), SECRET, delivery=delivery)
    sent = urllib.request.Request(f"{url}/webhooks/github", **request)  # noqa: S310 - our own
    try:
        with urllib.request.urlopen(sent, timeout=60) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def ends_well(scene: Scene) -> None:
    """Everything came to its end, each once, and was told once."""
    until(lambda: not settle(scene.store.url, seconds=60.0))
    broken = check(scene.store.url, Received(github=scene.github))
    assert not broken, f"{broken}\n{scene.house.said()}"


def handled(scene: Scene) -> bool:
    return not scene.select("SELECT FROM event WHERE state IN ('received', 'processing')")


def states(scene: Scene) -> dict[tuple[str, str], RunState]:
    """(commit, suite) -> how its last run stands."""
    return {(run.source.head_sha, run.suite): run.state for run in reversed(scene.store.runs(1000))}


def conclusions(scene: Scene) -> dict[str, object]:
    """Commit -> what its only check says."""
    checks = scene.github.check_runs
    found = {check["head_sha"]: check.get("conclusion") for check in checks}
    assert len(found) == len(checks), "two checks of one commit"
    return found


def tells_of(scene: Scene, push: Push) -> None:
    """The one comment is about that commit."""
    [comment] = scene.github.comments
    assert push.sha[:10] in comment["body"]


def test_a_storm_of_pushes_through_two_web_apps_leaves_one_run_a_commit_and_the_newest_at_work(scene: Scene) -> None:
    scene.hold_back(first=0)
    scene.start("web", "dispatcher", "consumer")
    other = f"http://127.0.0.1:{free_port('127.0.0.1', 0)}"
    scene.house.environ["EVALWINDOW_PORT"] = other.rpartition(":")[2]
    urls, scene.url = (scene.url, other), other
    scene.start("web")
    pushes = [Push(number) for number in range(COMMITS)]
    for push in pushes:
        push.put(scene)
    first, *pushes = pushes
    assert deliver(urls[0], first, delivery="the first") == 202
    until(lambda: states(scene))
    # Every delivery comes twice, once to each web app, and every other commit is told by a second delivery, too.
    again = [(push, f"again {push.number}", "reopened") for push in pushes[::2]]
    calls = [(push, f"first {push.number}", "synchronize") for push in pushes] + again
    calls = [(url, *call) for call in calls for url in urls]
    SEEDS.shuffle(calls)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda call: deliver(call[0], call[1], delivery=call[2], action=call[3]), calls))
    assert Counter(answers) == {202: len(calls) // 2, 409: len(calls) // 2}
    until(lambda: handled(scene))
    assert [each for each in scene.select("SELECT state, error FROM event") if each.state != "done"] == []
    newest = pushes[-1].sha
    assert {sha for (sha, _), state in states(scene).items() if not state.final} == {newest}
    scene.go_on()
    ends_well(scene)
    assert {sha for (sha, _), state in states(scene).items() if state is RunState.CONCLUDED} == {newest}
    told = conclusions(scene)
    assert told.pop(newest) == "success"
    assert set(told.values()) <= {"cancelled"}
    tells_of(scene, pushes[-1])
    # And back to the first commit, whose run was superseded: it is the newest now.
    back = Push(first.number, minute=COMMITS)
    assert deliver(urls[0], back, delivery="back") == 202
    until(lambda: handled(scene))
    ends_well(scene)
    assert [each.get("conclusion") for each in scene.github.check_runs if each["head_sha"] == back.sha][-1] == "success"
    tells_of(scene, back)


def test_what_is_replayed_after_days_starts_nothing_and_says_nothing(scene: Scene) -> None:
    scene.start("web", "dispatcher", "consumer")
    old, new = Push(1), Push(2)
    for push in (old, new):
        push.put(scene)
        assert deliver(scene.url, push, delivery=f"d{push.number}") == 202
        until(lambda push=push: states(scene).get((push.sha, "trip")) is RunState.CONCLUDED)
    ends_well(scene)
    let_pass(scene.store, dt.timedelta(days=7))
    said = [len(scene.github.requests), len(scene.house.api.asked)]
    assert deliver(scene.url, old, delivery="d1") == 409
    assert [len(scene.github.requests), len(scene.house.api.asked)] == said
    assert deliver(scene.url, old, delivery="another id") == 202
    until(lambda: handled(scene))
    ends_well(scene)
    assert set(states(scene).values()) == {RunState.CONCLUDED}
    assert len(scene.house.api.asked) == said[1]
    tells_of(scene, new)
    # A push back to the old commit is no replay: it is the newest again, and its answer is known.
    assert deliver(scene.url, Push(1, minute=3), delivery="back") == 202
    until(lambda: handled(scene))
    ends_well(scene)
    assert len(scene.house.api.asked) == said[1]
    assert conclusions(scene) == {old.sha: "success", new.sha: "success"}
    tells_of(scene, old)
