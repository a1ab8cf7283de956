"""Pull requests, as GitHub would tell of them: files at a commit, and a signed webhook."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from demo.github_standin import Standin
from demo.github_webhook import pull_request_event, signed_headers
from demo.walkthrough.stage import REPO, ROOT, Stage

CONFIG = ".evalwindow.yaml"
PAUSE_S = 0.02
PATIENCE_S = 120.0
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Pull:
    """One commit of a pull request."""

    number: int
    title: str
    files: dict[str, bytes]

    @property
    def sha(self) -> str:
        """Another content is another commit."""
        content = json.dumps({path: data.hex() for path, data in sorted(self.files.items())})
        return hashlib.sha1(f"{self.number} {content}".encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Told:
    """What GitHub was told of a pull request, and how long after the webhook."""

    check: dict[str, Any]
    comment: dict[str, Any]
    seconds: float  # to the completed check


def pull_with_adapter(number: int, title: str, adapter: Path) -> Pull:
    """The sample pull request's config, with this adapter beside it."""
    files = {f"adapter/{path.name}": path.read_bytes() for path in sorted(adapter.iterdir()) if path.is_file()}
    return Pull(number=number, title=title, files={CONFIG: (ROOT / "demo/sample-pr" / CONFIG).read_bytes(), **files})


async def open_pull(stage: Stage, pull: Pull) -> Told:
    """Push the commit, send the webhook, wait until its check is completed and the comment is there."""
    stage.github.put_files(REPO, pull.sha, pull.files)
    begun = time.monotonic()
    status, answer = await send_webhook(stage, payload(pull))
    if status != 202:
        raise RuntimeError(f"the webhook was answered by {status}: {answer}")
    check = await _until(lambda: _completed_check(stage.github, pull.sha), what=f"check of {pull.sha}")
    seconds = time.monotonic() - begun
    comment = await _until(lambda: _finished_comment(stage.github, pull), what=f"comment of #{pull.number}")
    return Told(check=check, comment=comment, seconds=seconds)


def payload(pull: Pull, *, action: str = "opened", updated_at: dt.datetime | None = None) -> dict[str, Any]:
    """A pull_request event, with what evalwindow reads of one."""
    return pull_request_event(REPO, pull.number, pull.sha, title=pull.title, action=action, updated_at=updated_at)


async def send_webhook(stage: Stage, event: dict[str, Any], *, delivery: str | None = None) -> tuple[int, str]:
    """POST the event signed with the secret, as GitHub does; status and body of the answer."""
    body = json.dumps(event).encode()
    headers = signed_headers(body, secret=stage.webhook_secret, delivery=delivery or str(uuid.uuid4()))
    async with aiohttp.ClientSession() as session:
        url = f"{stage.stack.base_url}/webhooks/github"
        async with session.post(url, data=body, headers=headers) as answer:
            return answer.status, await answer.text()


def _completed_check(github: Standin, sha: str) -> dict[str, Any] | None:
    checks = (check for check in github.check_runs if check["head_sha"] == sha)
    return next((check for check in checks if check["status"] == "completed"), None)


def _finished_comment(github: Standin, pull: Pull) -> dict[str, Any] | None:
    comments = (comment for comment in github.comments if comment["number"] == pull.number)
    return next((comment for comment in comments if pull.sha[:10] in comment["body"]), None)


async def _until(find: Callable[[], T | None], *, what: str) -> T:
    """What `find` gives once it gives something."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := find()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} after {PATIENCE_S:.0f} s")
        await asyncio.sleep(PAUSE_S)
    return found
