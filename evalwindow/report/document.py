"""A run as JSON: the answer of the API and the file beside the HTML page. Keys are only ever added."""

from __future__ import annotations

import datetime as dt
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from evalwindow.model import (
    Answer,
    Candidate,
    EngineInfo,
    Message,
    RunState,
    SampleResult,
    Source,
    Summary,
    Tier,
    Verdict,
)
from evalwindow.report.cost import CostView, prefix_hit_rate
from evalwindow.report.grade import Outcome
from evalwindow.report.headline import answer_of
from evalwindow.report.latency import LatencyView
from evalwindow.report.view import Flip, RunView, SampleView
from evalwindow.store.rows import RunRow

FORMAT = 1


class ReportModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class ScoreDocument(ReportModel):
    """One scorer's judgement; value is null where nothing could be scored."""

    value: float | None
    reason: str
    answer: str | None


class AnswerDocument(ReportModel):
    """One epoch of one sample."""

    epoch: int
    reask: bool = Field(description="an extra call of the smoke tripwire, kept out of the metrics")
    output: str | None = Field(description="null: the engine refused, see error, or it is kept no longer")
    removed_after_days: int | None = Field(
        None, description="how old the output was when it was removed; null: it was not"
    )
    error: str | None
    finish_reason: str | None
    cached: bool
    quarantined: bool = Field(False, description="it, or its judge, was not asked: that prompt has ended engines")
    latency_s: float
    gpu_s: float
    scores: dict[str, ScoreDocument]


class SampleDocument(ReportModel):
    """One sample with what was asked, expected and answered."""

    id: str
    slices: tuple[str, ...]
    must_pass: bool
    outcome: Outcome
    flip: Flip = Field(description="down: right in the baseline, not here; up: the other way; empty: neither")
    value: float | None = Field(description="the judged scorer, mean over epochs, 0..1")
    baseline_value: float | None
    prompt: tuple[Message, ...]
    target: str
    answers: tuple[AnswerDocument, ...]
    baseline_answers: tuple[AnswerDocument, ...]


class RunDocument(ReportModel):
    """A run without its samples."""

    format: int = Field(FORMAT, description="raised when a key changes its meaning")
    id: str
    key: str
    team: str
    suite: str
    suite_digest: str
    tier: Tier
    pool: str
    model: str
    state: RunState
    answer: Answer | None = Field(description="pass, fail or inconclusive; null while there is no verdict")
    void: str | None = Field(None, description="why the verdict doesn't count; the answer is inconclusive then")
    error: str | None
    candidate: Candidate
    source: Source
    provenance: tuple[EngineInfo, ...] = Field(description="every engine that answered")
    summary: Summary | None
    verdict: Verdict | None
    created_at: dt.datetime
    started_at: dt.datetime | None
    concluded_at: dt.datetime | None
    window_end: dt.datetime | None = Field(None, description="no prompt starts after this, until another night goes on")
    joined_to: str | None = Field(
        None, description="the run that asked the same when this one came: its answers are waited for, and taken"
    )
    held: str | None = Field(
        None,
        description="why nothing of an open run is asked just now: a breaker that is open, a quota that is used up; "
        "null: nothing but other work is in its way",
    )
    url: str = Field(description="the page of the run")
    prefix_hit_rate: float | None = Field(
        None, description="share of the prompt tokens that were in the engine's prefix cache; null: no engine told"
    )


class ReportDocument(RunDocument):
    """A run with its samples, cost and latency."""

    cost: CostView
    latency: LatencyView
    samples: tuple[SampleDocument, ...]


def run_document(run: RunRow, *, url: str, held: str | None = None) -> RunDocument:
    return RunDocument(**_run_fields(run, url=url, held=held))


def report_document(view: RunView) -> ReportDocument:
    samples = tuple(map(sample_document, view.samples))
    fields = _run_fields(view.run, url=view.url, held=view.held)
    return ReportDocument(**fields, cost=view.cost, latency=view.latency, samples=samples)


def sample_document(sample: SampleView) -> SampleDocument:
    return SampleDocument(
        id=sample.id,
        slices=sample.slices,
        must_pass=sample.must_pass,
        outcome=sample.outcome,
        flip=sample.flip,
        value=sample.value,
        baseline_value=sample.baseline_value,
        prompt=sample.prompt,
        target=sample.target,
        answers=_answers(sample.results),
        baseline_answers=_answers(sample.baseline),
    )


def _run_fields(run: RunRow, *, url: str, held: str | None) -> dict[str, Any]:
    worked_out = {
        "url": url,
        "held": held,
        "answer": answer_of(run),
        "prefix_hit_rate": prefix_hit_rate(run.summary, run.provenance),
    }
    names = set(RunDocument.model_fields) - {"format", *worked_out}
    return {name: getattr(run, name) for name in names} | worked_out


def _answers(results: tuple[SampleResult, ...]) -> tuple[AnswerDocument, ...]:
    return tuple(map(_answer, results))


def _answer(result: SampleResult) -> AnswerDocument:
    completion = result.completion
    return AnswerDocument(
        epoch=result.epoch,
        reask=result.reask,
        output=completion.text if completion and result.removed_after_days is None else None,
        removed_after_days=result.removed_after_days,
        error=result.error,
        finish_reason=completion.finish_reason if completion else None,
        cached=completion.cached if completion else False,
        quarantined=result.quarantined,
        latency_s=result.latency_s,
        gpu_s=completion.usage.gpu_s if completion else 0.0,
        scores={
            name: ScoreDocument(value=score.value, reason=score.reason, answer=score.answer)
            for name, score in result.scores.items()
        },
    )
