"""What callers send and get."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from evalwindow.document import Document
from evalwindow.model import Candidate, RunState, Source
from evalwindow.report.document import RunDocument, SampleDocument


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("holds a NUL character, which PostgreSQL can't keep")
    return text


Text = Annotated[str, StringConstraints(max_length=500_000), AfterValidator(_without_nul)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_without_nul)]


#: A link, never a script.
Url = Annotated[Name, StringConstraints(max_length=1_000, pattern=r"^https?://[^\s]+$")]
#: PostgreSQL's integer.
PullNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]


class CandidateBody(Document):
    """What to evaluate; what is left out falls back to the suite."""

    model: Name = Field(description="a name of evalwindow.yaml")
    adapter: Name | None = Field(None, description="sha256 of a stored LoRA adapter")
    system: Text | None = None
    template: Text | None = Field(None, description="user template, Jinja2 in a sandbox")
    sampling: dict[Name, Any] = Field({}, description="overrides of the suite's sampling")

    def candidate(self) -> Candidate:
        return Candidate(**self.model_dump())


class SourceBody(Document):
    """Where the run comes from; a repository must be one of the team's."""

    repo: Name | None = Field(None, description="owner/name")
    pull_request: PullNumber | None = None
    head_sha: Annotated[Name, StringConstraints(pattern=r"^[0-9A-Za-z]+$")] | None = None
    branch: Name | None = Field(None, description="target branch: selects the baseline")
    url: Url | None = None

    def source(self) -> Source:
        return Source(**self.model_dump())


class RunBody(Document):
    """A wish for one run."""

    suite: Name
    candidate: CandidateBody
    source: SourceBody = SourceBody()
    key: Name | None = Field(None, description="the same key is the same run; without one each request is a new run")
    use_cache: bool = True


class RunUrls(BaseModel):
    self: str
    samples: str
    page: str


class Accepted(BaseModel):
    """The run that was admitted, or that this key admitted before."""

    id: str
    state: RunState
    joined_to: str | None = Field(None, description="an open run that asks the same: its answers are waited for")
    urls: RunUrls


class RunList(BaseModel):
    runs: list[RunDocument]
    next: str | None = Field(description="give it as `before` to get older runs; null: there are none")


class SampleList(BaseModel):
    samples: list[SampleDocument]
    total: int


class Received(BaseModel):
    """A webhook that was taken."""

    event: str | None = Field(description="id of the event; null where there is nothing to do")
    message: str
