"""What is asked for all through a soak: pull requests by signed webhooks, regression by the API, as others do it."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import yaml

from demo.github_webhook import pull_request_event, signed_headers
from evalwindow.client import Client
from evalwindow.errors import EvalwindowError
from evalwindow.report.checkrun import CONFIG_CHECK
from soak.house import REPO, Task, tasks
from soak.stage import SECRET, Stage

PULLS, REGRESSIONS = 3, 1  # of each model, at once
GIVE_UP_S = 90.0  # whoever waits goes on with the next; the end is looked at all the same
PAUSE_S = 0.1
CONFIG = ".evalwindow.yaml"
TAKEN, KNOWN = 202, 409


class Load:
    """Everything that anybody was promised meanwhile is noted: `deliveries` and `runs`."""

    def __init__(self, stage: Stage, dice: random.Random) -> None:
        self._stage, self._dice = stage, dice
        self._numbers = itertools.count(1)
        self._over = asyncio.Event()
        self.deliveries: list[str] = []
        self.runs: list[str] = []
        self.repeated = 0  # webhooks that were sent again and known

    @asynccontextmanager
    async def at_it(self) -> AsyncIterator[None]:
        """Inside the block it never stops asking; after it, nobody waits for anything any more."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            self._session = session
            chosen = tasks(self._stage.engine)
            for task in chosen:
                for _ in range(PULLS):
                    group.create_task(self._keep(lambda task=task: self._pull(task)))  # type: ignore[misc]
                for _ in range(REGRESSIONS):
                    group.create_task(self._keep(lambda task=task: self._regression(task)))  # type: ignore[misc]
            try:
                yield
            finally:
                self._over.set()

    async def verdict(self) -> None:
        """Of pull requests that are opened now, one for each model: until GitHub knows all of them."""
        shas = [await self._push(task, number=next(self._numbers)) for task in tasks(self._stage.engine)]
        await self._until(lambda: all(map(self._told, shas)))

    async def _keep(self, ask: Callable[[], Awaitable[None]]) -> None:
        while not self._over.is_set():
            await ask()

    async def _pull(self, task: Task) -> None:
        """A pull request, sometimes with a second commit, whose webhook may come before the first one's."""
        number = next(self._numbers)
        now = dt.datetime.now(dt.UTC)
        older, newer = now, now + dt.timedelta(seconds=1)
        commits = [older, newer] if self._dice.random() < 0.3 else [older]
        if self._dice.random() < 0.5:
            commits.reverse()
        shas = {moment: await self._push(task, number=number, moment=moment) for moment in commits}
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_UP_S):
                await self._until(lambda: self._over.is_set() or self._told(shas[max(commits)]))

    async def _push(self, task: Task, *, number: int, moment: dt.datetime | None = None) -> str:
        """A commit with its webhook, sent until somebody takes it and sometimes once more; the commit."""
        moment = moment or dt.datetime.now(dt.UTC)
        config = {"suites": [task.smoke], "candidate": {"model": task.model, "system": f"pull {number} of {moment}"}}
        content = yaml.safe_dump(config).encode()
        sha = hashlib.sha1(f"{number} {moment}".encode(), usedforsecurity=False).hexdigest()
        self._stage.github.put_files(REPO, sha, {CONFIG: content})
        event = pull_request_event(REPO, number, sha, action="synchronize", updated_at=moment)
        body = json.dumps(event).encode()
        delivery = f"{number}-{sha[:10]}"
        await self._send(body, delivery=delivery)
        self.deliveries.append(delivery)
        if self._dice.random() < 0.2:
            await self._send(body, delivery=delivery)
            self.repeated += 1
        return sha

    async def _send(self, body: bytes, *, delivery: str) -> None:
        headers = signed_headers(body, secret=SECRET, delivery=delivery)
        for url in itertools.cycle(self._urls()):
            try:
                timeout = aiohttp.ClientTimeout(total=15)
                path = f"{url}/webhooks/github"
                async with self._session.post(path, data=body, headers=headers, timeout=timeout) as answer:
                    if answer.status in (TAKEN, KNOWN):
                        return
                    if answer.status < 429:
                        raise RuntimeError(f"{answer.status}: {await answer.text()}")
            except (aiohttp.ClientError, TimeoutError):
                pass  # this web app is dead or waits; another one may not
            await asyncio.sleep(PAUSE_S)

    async def _regression(self, task: Task) -> None:
        """A run, sometimes asked for twice in other words: the second one joins the first."""
        number = next(self._numbers)
        wish = {"suite": task.regression, "candidate": {"model": task.model, "system": f"run {number}"}}
        twice = self._dice.random() < 0.3
        keys = [f"soak {number}", *([f"soak {number} again"] if twice else [])]
        for key in keys:
            accepted = await self._call(lambda client, key=key: client.submit({**wish, "key": key}))  # type: ignore[misc]
            self.runs.append(accepted.id)
        run_id = self.runs[-1]
        begun = time.monotonic()
        while not self._over.is_set() and time.monotonic() - begun < GIVE_UP_S:
            run = await self._call(lambda client: client.run(run_id, wait_s=5))
            if run.state.final:
                return

    async def _call(self, ask: Callable[[Client], Awaitable[Any]]) -> Any:
        """Ask the web apps, one after another, until one answers."""
        answer: Any = None
        for url in itertools.cycle(self._urls()):
            try:
                async with Client.open(url, self._stage.token) as client, asyncio.timeout(15):
                    answer = await ask(client)
                    break
            except (EvalwindowError, TimeoutError, aiohttp.ClientError):
                await asyncio.sleep(PAUSE_S)
        return answer

    def _urls(self) -> list[str]:
        return self._dice.sample(list(self._stage.urls), len(self._stage.urls))

    def _told(self, sha: str) -> bool:
        """GitHub has a completed check of a run of this commit; a refusal is none."""
        checks = [each for each in self._stage.github.check_runs if each["head_sha"] == sha]
        return any(each["status"] == "completed" and each["name"] != CONFIG_CHECK for each in checks)

    async def _until(self, happened: Callable[[], bool]) -> None:
        while not happened():  # noqa: ASYNC110 - the stand-in tells nobody
            await asyncio.sleep(PAUSE_S)
