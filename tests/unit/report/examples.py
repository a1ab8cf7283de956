"""Runs for the report's tests: real suites, results and verdicts, built from plain values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from evalwindow.config import Pool
from evalwindow.gate import judge
from evalwindow.metrics import summarise
from evalwindow.model import (
    Candidate,
    Completion,
    EngineInfo,
    RunState,
    Sample,
    SampleResult,
    Score,
    Source,
    Tier,
    Usage,
)
from evalwindow.report.view import RunView, build_view
from evalwindow.store.rows import RunRow
from evalwindow.suites import Suite
from evalwindow.suites.spec import SuiteSpec

START = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)
SKILLS = ("copy", "sort", "sum", "classify")
POOL = Pool(model="demo/model", gpu_price_per_hour=3.6, cold_start_s=180)

#: which samples (by index) are answered rightly
Right = Callable[[int], bool]


def suite_of(count: int, *, tier: Tier = Tier.REGRESSION, epochs: int = 1, **policy: Any) -> Suite:
    """`count` samples of four skills; the answer to each is its index."""
    document = {
        "suite": f"demo-{tier}",
        "tier": tier,
        "dataset": {"path": "data/demo.jsonl"},
        "prompt": {"system": "You answer in one line."},
        "epochs": epochs,
        "scorers": ["exact"],
        "policy": policy,
    }
    return Suite(
        spec=SuiteSpec.model_validate(document), samples=tuple(map(_sample, range(count))), dataset_digest="0" * 64
    )


def results_of(suite: Suite, right: Right, *, wrong_text: str = "no idea") -> list[SampleResult]:
    return [
        _result(sample, index, right=right(index), wrong_text=wrong_text, epoch=epoch)
        for index, sample in enumerate(suite.samples)
        for epoch in range(suite.spec.epochs)
    ]


def run_of(suite: Suite, *, state: RunState = RunState.QUEUED, **changes: Any) -> RunRow:
    run = RunRow(
        id="01jrun000000000000000000aa",
        key="pr:acme/bot#7@c0ffee:demo",
        team="search",
        suite=suite.name,
        suite_digest=suite.digest,
        tier=suite.tier,
        pool="tiny",
        model="tiny-base",
        state=state,
        candidate=Candidate(model="tiny-base", adapter="ab" * 32),
        source=Source(repo="acme/bot", pull_request=7, head_sha="c0ffee" * 6 + "abcd", branch="main"),
        use_cache=True,
        ordinal=1,
        provenance=(EngineInfo(engine="vllm", version="0.32.0", model_digest="cd" * 32, dtype="float32"),),
        summary=None,
        verdict=None,
        answer=None,
        error=None,
        created_at=START,
        started_at=START + dt.timedelta(seconds=0.4),
        concluded_at=None,
        owner=None,
        window_end=None,
    )
    return replace(run, **changes)


def concluded(suite: Suite, results: Sequence[SampleResult], baseline: Sequence[SampleResult] | None = None) -> RunRow:
    verdict = judge(suite, results, baseline, baseline_run="01jbase00000000000000000aa" if baseline else None)
    return run_of(
        suite,
        state=RunState.CONCLUDED,
        summary=summarise(suite, results, wall_s=3.1),
        verdict=verdict,
        answer=verdict.answer,
        concluded_at=START + dt.timedelta(seconds=3.5),
    )


def view_of(
    suite: Suite, results: Sequence[SampleResult], baseline: Sequence[SampleResult] | None = None, **changes: Any
) -> RunView:
    """The view of a concluded run; `changes` are of its row."""
    run = replace(concluded(suite, results, baseline), **changes)
    url = f"https://evals.example/runs/{run.id}"
    return build_view(run=run, suite=suite, results=results, baseline=baseline or (), pool=POOL, url=url)


def with_output(result: SampleResult, text: str) -> SampleResult:
    assert result.completion is not None
    return replace(result, completion=replace(result.completion, text=text))


def _sample(index: int) -> Sample:
    skill = SKILLS[index % len(SKILLS)]
    return Sample(
        id=f"{skill}-{index:04}",
        input=f"Task {index}: {skill} the words below.\npear apple fig {index}",
        target=str(index),
        slices=(skill,),
        must_pass=index % 2 == 0,
    )


def _result(sample: Sample, index: int, *, right: bool, wrong_text: str, epoch: int) -> SampleResult:
    usage = Usage(prompt_tokens=40, output_tokens=4, queue_s=0.01, engine_s=0.2, gpu_s=0.02)
    text = str(sample.target) if right else wrong_text
    return SampleResult(
        sample_id=sample.id,
        epoch=epoch,
        scores={"exact": Score(value=float(right), answer=text, reason="" if right else "differs from the target")},
        completion=Completion(text=text, usage=usage),
        latency_s=0.21 + index / 10_000,
    )
