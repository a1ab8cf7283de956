"""What we keep of a pull_request event: enough to decide and to answer, and nothing that we don't read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from evalwindow.errors import BadInput
from evalwindow.model import Source


class Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Repo(Payload):
    full_name: str


class Tip(Payload):
    sha: str
    ref: str
    repo: Repo | None = None  # null where a fork was deleted


class Label(Payload):
    name: str


class PullRequest(Payload):
    number: PositiveInt
    html_url: str = ""
    updated_at: dt.datetime
    head: Tip
    base: Tip
    labels: tuple[Label, ...] = ()


class PullRequestEvent(Payload):
    """https://docs.github.com/webhooks/webhook-events-and-payloads#pull_request"""

    action: str
    repository: Repo
    pull_request: PullRequest
    label: Label | None = None  # of the actions labeled and unlabeled

    @property
    def repo(self) -> str:
        return self.repository.full_name

    @property
    def from_fork(self) -> bool:
        """A pull request whose fork is gone counts as one from a fork."""
        head = self.pull_request.head.repo
        return head is None or head.full_name.lower() != self.repo.lower()

    @property
    def source(self) -> Source:
        pull = self.pull_request
        return Source(
            repo=self.repo,
            pull_request=pull.number,
            head_sha=pull.head.sha,
            branch=pull.base.ref,
            url=pull.html_url or None,
        )


def read_payload(payload: Mapping[str, Any]) -> PullRequestEvent:
    """Raises BadInput that names the first key which is missing or of the wrong type."""
    try:
        return PullRequestEvent.model_validate(payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BadInput(f"pull_request event: {where}: {first['msg']}") from error
