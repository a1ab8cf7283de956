"""What we keep of a pull_request event: enough to decide and to answer, and nothing that we don't read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from evalwindow.errors import BadInput
from evalwindow.model import Source

OF_COMMITS = ("opened", "reopened", "synchronize")  # actions that tell of the head commit and of nothing else
MOST_LABELS = 1_000
LARGEST_NUMBER = 2**31 - 1  # PostgreSQL's integer


def _in_reach(moment: dt.datetime) -> dt.datetime:
    """Its seconds since 1970 order a pull request's commits."""
    if not 1970 < moment.year < 9999:
        raise ValueError("is no moment of our time")
    return moment


_Word = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_RepoName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$", max_length=200)]
_Sha = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
_Url = Annotated[str, StringConstraints(pattern=r"^(https?://[^\s]+)?$", max_length=1_000)]


class Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Repo(Payload):
    full_name: _RepoName


class Tip(Payload):
    sha: _Sha
    ref: _Word
    repo: Repo | None = None  # null where a fork was deleted


class Label(Payload):
    name: _Word


class PullRequest(Payload):
    number: Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
    html_url: _Url = ""
    updated_at: Annotated[AwareDatetime, AfterValidator(_in_reach)]
    head: Tip
    base: Tip
    labels: Annotated[tuple[Label, ...], Field(max_length=MOST_LABELS)] = ()


class PullRequestEvent(Payload):
    """https://docs.github.com/webhooks/webhook-events-and-payloads#pull_request"""

    action: _Word
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
    def subject(self) -> str:
        return f"{self.repo.lower()}#{self.pull_request.number}"

    @property
    def ordinal(self) -> int | None:
        """Of two events about the pull request's commits the one with the higher says all that the other one says.

        None for one that says something of its own, such as a label, which counts for its own commit.
        """
        return (
            None if self.from_fork or self.action not in OF_COMMITS else int(self.pull_request.updated_at.timestamp())
        )

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
