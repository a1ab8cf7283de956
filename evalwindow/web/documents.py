"""What the API says of baselines, comparisons, quotas, suites, progress and adapters. Keys are only ever added."""

from __future__ import annotations

import datetime as dt

from pydantic import Field

from evalwindow.document import Document
from evalwindow.model import Candidate, NoiseFloor, NoiseRates, Tier, Verdict
from evalwindow.report.document import ReportModel
from evalwindow.web.bodies import Name

ANY = "any"  # as Promotion.expected: whatever run is the baseline now


class Promotion(Document):
    """A wish to make a run the baseline of its suite."""

    run: Name
    reason: Name = Field(description="kept with the baseline, for whoever asks why")
    branch: Name | None = Field(None, description="target branch; default: the run's own, else main")
    by: Name | None = Field(None, description="who promotes; the team's name is always put before it")
    expected: Name | None = Field(
        ANY, description="the run that is believed to be the baseline; null: none; 409 when it is another one by now"
    )


class BaselineDocument(ReportModel):
    """A run that somebody promoted."""

    suite: str
    branch: str
    run: str
    promoted_by: str
    reason: str
    at: dt.datetime
    retired_at: dt.datetime | None
    url: str = Field(description="the page of the run")


class BaselineList(ReportModel):
    baselines: list[BaselineDocument]


class Comparison(ReportModel):
    """Two runs through the gate of the first one's suite."""

    suite: str
    run: str
    baseline: str
    verdict: Verdict


class SliceNoise(ReportModel):
    """What noise does to a comparison of one slice."""

    slice: str = Field(description="all: every sample")
    samples: int = Field(description="of the suite as it is now")
    margin: float = Field(description="largest drop that the policy tolerates, 0..1")
    rates: NoiseRates = Field(description="as they were seen in A/A runs")
    reach: float | None = Field(
        description="how far the mean falls by noise alone, 0..1, at the policy's confidence; null: no such samples"
    )


class NoiseDocument(ReportModel):
    """How unsteady a baseline is."""

    suite: str
    branch: str
    baseline: str
    model: str
    candidate: Candidate | None = Field(
        description="what the baseline run was of: without the cache it is an A/A run; null: it is another team's"
    )
    floor: NoiseFloor | None = Field(description="null: not known, no A/A run counts")
    slices: list[SliceNoise] = Field(description="all samples and the policy's slices; empty while it is not known")


class NoiseList(ReportModel):
    floors: list[NoiseDocument]


class LimitDocument(ReportModel):
    """One limit."""

    name: str = Field(description="key of `quota` in evalwindow.yaml")
    used: float
    limit: float | None = Field(description="null: there is none")
    full: bool = Field(description="submissions that need more of it are refused now")
    until: dt.datetime | None = Field(description="when what is used comes back; null: as soon as runs have ended")


class QuotaDocument(ReportModel):
    """A team's quota and what it has used of it."""

    team: str
    at: dt.datetime
    period: str = Field(description="day, week or month, in UTC; a week starts on Monday")
    period_start: dt.datetime
    period_end: dt.datetime
    limits: tuple[LimitDocument, ...]
    submissions_per_minute: int | None = Field(description="with more, the team is refused for a while; null: any")
    runs: int = Field(description="admitted in the period")
    refused: int = Field(description="submissions refused in the period, by the quota or by a breaker")
    results: int = Field(description="answers in the period, cached ones too")


class SuiteDocument(ReportModel):
    """A suite that can be run."""

    name: str
    tier: Tier
    description: str
    samples: int
    digest: str


class SuiteList(ReportModel):
    suites: list[SuiteDocument]


class Progress(ReportModel):
    """How far a run is; both count answers (samples x epochs)."""

    done: int
    total: int


class AdapterBody(Document):
    """The files of a LoRA adapter, base64."""

    name: Name = Field("uploaded", description="for people; the adapter is known by its digest")
    files: dict[Name, str] = Field(description="file name -> base64 of its content")


class AdapterDocument(ReportModel):
    digest: str = Field(description="give it as candidate.adapter")
    size: int = Field(description="bytes")
