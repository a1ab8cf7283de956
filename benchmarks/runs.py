"""Runs through the API, timed by the clocks of whoever wrote each moment down: one machine, one clock."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from benchmarks.bench_suites import salted
from demo.walkthrough.stage import Stage
from evalwindow.client import Client
from evalwindow.model import SampleResult, Summary
from evalwindow.report.document import RunDocument
from evalwindow.store import Store

MODEL = "bench"
PATIENCE_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Taken:
    """One run that was concluded."""

    run: RunDocument
    submitted: float  # seconds since 1970, as the client sent it

    @property
    def verdict_s(self) -> float:
        """From sending the wish to the verdict's row."""
        return self.concluded - self.submitted

    @property
    def working_s(self) -> float:
        """From the first claim to the verdict's row."""
        assert self.run.started_at is not None
        return self.concluded - self.run.started_at.timestamp()

    @property
    def concluded(self) -> float:
        assert self.run.concluded_at is not None
        return self.run.concluded_at.timestamp()

    @property
    def summary(self) -> Summary:
        assert self.run.summary is not None
        return self.run.summary


def wish(suite: str, *, salt: str = "", sampling: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A run that no cache answers. Another `salt` is another prompt from its first token on."""
    candidate = {"model": MODEL, "sampling": dict(sampling or {})}
    if salt:
        candidate["template"] = salted(salt)
    return {"suite": suite, "candidate": candidate, "use_cache": False}


async def take(client: Client, suite: str, *, salt: str = "", sampling: Mapping[str, Any] | None = None) -> Taken:
    """Submit and wait for the verdict; raises RuntimeError for a run that is no measurement."""
    submitted = time.time()
    accepted = await client.submit(wish(suite, salt=salt, sampling=sampling))
    return taken(await client.wait(accepted.id, timeout_s=PATIENCE_S), submitted=submitted)


def taken(run: RunDocument, *, submitted: float) -> Taken:
    summary = run.summary
    if summary is None or run.started_at is None or run.concluded_at is None:
        raise RuntimeError(f"run {run.id} of {run.suite} ended as {run.state}: {run.error}")
    if summary.cache_hits or summary.results < summary.samples:
        raise RuntimeError(f"run {run.id} of {run.suite} is no measurement: {summary}")
    return Taken(run=run, submitted=submitted)


def answers(stage: Stage, run_id: str) -> list[SampleResult]:
    with closing(Store(stage.stack.database_url)) as store:
        return store.results(run_id)
