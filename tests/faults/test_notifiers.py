"""GitHub and the mail server are away, slow, busy, or take what they are told and don't say so."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from demo.github_standin import Failure
from evalwindow import flow
from evalwindow.admission import Submission
from evalwindow.config import Breaker, Breakers, MailTo
from evalwindow.github.auth import TokenAuth
from evalwindow.github.client import GitHub
from evalwindow.model import Candidate, Source
from evalwindow.nights.telling import tell
from evalwindow.services import Services, build
from evalwindow.settings import read_settings
from soak.invariants import Received, check, repeated_mails
from tests.faults.scene import Scene
from tests.faults.wire import wired
from tests.real.house import REPO, TEAM, until
from tests.real.mail.conftest import READER, Inbox, Town, inbox, town
from tests.real.web.helpers import answer_run
from tests.unit.github.examples import pull_request
from workers.dispatcher import Dispatcher

__all__ = ["inbox", "town"]

pytestmark = pytest.mark.timeout(600)

TIMEOUT_S = 1.0  # of a call to GitHub, and of a mail, here
SLOW_S = 6.0  # who asked has given up by then
PULLS = 10  # more than a dispatcher tells at the same time
#: Left alone after three failures in a row, for as long as a test may wait.
PATIENCE = Breakers(notifiers=Breaker(failures=3, cooldown_s=0.5, longest_s=1.0))


async def eventually(condition: object) -> None:
    await asyncio.to_thread(until, condition, seconds=60)


@asynccontextmanager
async def dispatching(scene: Scene, *, github_url: str, token: str = "ghs_installed") -> AsyncIterator[Services]:
    """A dispatcher in this process that tells GitHub there."""
    built = build(
        read_settings(scene.house.environ), config=scene.services.config.model_copy(update={"breakers": PATIENCE})
    )
    services = replace(built, github=GitHub(api_url=github_url, auth=TokenAuth(token), timeout_s=TIMEOUT_S))
    running = asyncio.create_task(Dispatcher(services).run())
    try:
        yield services
    finally:
        services.stopping.set()
        await running
        await services.aclose()


async def concluded(scene: Scene, number: int) -> str:
    """A run of pull request `number` that has its verdict; its id."""
    source = Source(repo=REPO, pull_request=number, head_sha=f"{number:040x}", branch="main")
    wish = Submission(key=str(number), team=TEAM, suite="trip", candidate=Candidate(model="parrot"), source=source)
    run = await asyncio.to_thread(flow.submit, scene.services, replace(wish, use_cache=False))
    await answer_run(scene.services, run.id, lambda target: target)
    return run.id


def all_sent(scene: Scene, *channels: str) -> bool:
    rows = scene.select("SELECT channel, state FROM delivery")
    return all(row.state == "sent" for row in rows if row.channel in channels)


def told_once(scene: Scene, *, pulls: int) -> None:
    """Each verdict by one check and one comment, and the truth."""
    broken = check(scene.store.url, Received(github=scene.github))
    assert not (broken.told_twice or broken.untold), broken
    assert [each["conclusion"] for each in scene.github.check_runs] == ["success"] * pulls
    assert len(scene.github.comments) == pulls


@pytest.mark.parametrize(
    "failure",
    [
        Failure(status=502, times=4),
        Failure(status=429, times=4, headers={"Retry-After": "1"}),
        Failure(status=403, times=4, headers={"X-RateLimit-Remaining": "0", "Retry-After": "1"}),
    ],
    ids=["500", "429", "rate limit"],
)
async def test_a_github_that_fails_is_told_everything_once_when_it_is_back(scene: Scene, failure: Failure) -> None:
    scene.github.failures.append(replace(failure))
    for number in range(1, 4):
        await concluded(scene, number)
    async with dispatching(scene, github_url=scene.house.environ["EVALWINDOW_GITHUB_API_URL"]):
        await eventually(lambda: all_sent(scene, "page", "check", "comment"))
    told_once(scene, pulls=3)


async def test_a_github_that_hangs_keeps_nobody_else_waiting_and_costs_no_attempt(scene: Scene) -> None:
    hanging = Failure(delay_s=SLOW_S, times=1_000_000)
    scene.github.failures.append(hanging)
    runs = [await concluded(scene, number) for number in range(1, PULLS + 1)]
    async with dispatching(scene, github_url=scene.house.environ["EVALWINDOW_GITHUB_API_URL"]):
        await eventually(lambda: all_sent(scene, "page"))
        assert scene.github.check_runs == []
        await eventually(lambda: scene.store.breaker("notifier:github").standing.phase == "open")
        hanging.times = 0
        await eventually(lambda: all_sent(scene, "check", "comment"))
    told_once(scene, pulls=PULLS)
    attempts = [each.attempts for run_id in runs for each in scene.store.deliveries(run_id)]
    assert max(attempts) <= PATIENCE.notifiers.failures + 1


async def test_what_github_took_and_did_not_answer_for_is_told_once(scene: Scene) -> None:
    async with wired(scene.house.environ["EVALWINDOW_GITHUB_API_URL"]) as wire:
        wire.cut[:] = [re.compile(rb"POST [^ ]+/check-runs"), re.compile(rb"POST [^ ]+/comments")]
        await concluded(scene, 1)
        async with dispatching(scene, github_url=f"http://127.0.0.1:{wire.own_port}"):
            await eventually(lambda: all_sent(scene, "page", "check", "comment"))
        assert wire.broken == 2
    told_once(scene, pulls=1)


async def test_a_status_that_was_taken_twice_says_the_same(scene: Scene) -> None:
    """Statuses can't be edited; the last one of a context counts."""
    async with wired(scene.house.environ["EVALWINDOW_GITHUB_API_URL"]) as wire:
        wire.cut.append(re.compile(rb"POST [^ ]+/statuses"))
        await concluded(scene, 1)
        async with dispatching(scene, github_url=f"http://127.0.0.1:{wire.own_port}", token="ghp_plain"):
            await eventually(lambda: all_sent(scene, "page", "check", "comment"))
        assert wire.broken == 1
    assert {status["state"] for status in scene.github.statuses} == {"success"}
    assert len(scene.github.comments) == 1


async def test_an_event_outlasts_a_github_that_is_away_for_hours(scene: Scene) -> None:
    """Its repository can't be read meanwhile: nobody knows yet what it asks for."""
    event_id = scene.store.add_event("d", "pull_request", pull_request(repo=REPO, head_repo=REPO))
    with scene.store._transaction() as connection:
        connection.execute(text("UPDATE event SET attempts = 600"))
    scene.github.failures.append(Failure(status=503))
    async with dispatching(scene, github_url=scene.house.environ["EVALWINDOW_GITHUB_API_URL"]):
        await eventually(lambda: scene.github.requests)
        await eventually(lambda: scene.select("SELECT FROM event WHERE attempts = 601 AND state = 'processing'"))
        scene.late("event")
        await eventually(lambda: scene.select(f"SELECT FROM event WHERE id = '{event_id}' AND state = 'done'"))


@asynccontextmanager
async def mailing(town: Town, night: str, **settings: object) -> AsyncIterator[Services]:
    """A dispatcher of the town at work, once the night has been told to READER."""
    services = town.services(mail=(MailTo(to=(READER,)),), **settings)
    await asyncio.to_thread(tell, services, night)
    running = asyncio.create_task(Dispatcher(services).run())
    try:
        yield services
    finally:
        services.stopping.set()
        await running


@pytest.mark.parametrize("how", ["cut", "mute"])
async def test_a_mail_that_was_taken_and_not_answered_for_is_one_mail(town: Town, inbox: Inbox, how: str) -> None:
    """It is handed in again under its own Message-ID: whoever reads it sees one."""
    night = await town.night(town.services())
    async with wired(inbox.url) as wire:
        getattr(wire, how).append(re.compile(rb"\r\n\.\r\n"))
        own = {"smtp_url": SecretStr(f"smtp://127.0.0.1:{wire.own_port}"), "mail_timeout_s": TIMEOUT_S}
        async with mailing(town, night, **own) as services:
            await eventually(lambda: [each.state for each in services.store.deliveries(night)] == ["sent"])
        assert wire.broken == 1
    mails = inbox.to(READER)
    assert len({mail["Message-ID"] for mail in mails}) == 1
    assert len(repeated_mails(mails)) == 1


async def test_a_mail_server_that_is_too_slow_gets_the_mail_once_it_is_not(town: Town, inbox: Inbox) -> None:
    night = await town.night(town.services())
    async with wired(inbox.url) as wire:
        wire.mute.append(re.compile(b"rcpt", re.IGNORECASE))
        own = {"smtp_url": SecretStr(f"smtp://127.0.0.1:{wire.own_port}"), "mail_timeout_s": TIMEOUT_S}
        async with mailing(town, night, **own) as services:
            await eventually(lambda: services.store.deliveries(night)[0].error)
            await eventually(lambda: [each.state for each in services.store.deliveries(night)] == ["sent"])
        assert wire.broken == 1
    assert len(inbox.to(READER)) == 1
