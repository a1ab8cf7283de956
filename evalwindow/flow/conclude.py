"""Summarise and judge a run whose shards are all final."""

from __future__ import annotations

import datetime as dt

from evalwindow.comparable import comparable_results
from evalwindow.config import REPLAY_POOL
from evalwindow.flow.audience import channels_of
from evalwindow.gate import judge
from evalwindow.metrics import summarise
from evalwindow.noise import noise_for
from evalwindow.recorder import outlasting
from evalwindow.services import Services

DEFAULT_BRANCH = "main"


async def conclude(services: Services, run_id: str, *, suspects: frozenset[str] | None = None) -> None:
    """Summarise and judge a run whose shards are all final; the first to conclude wins, the others change nothing.

    `suspects`: breakers with something to close, where that is known.
    """
    await outlasting(lambda: _conclude(services, run_id, suspects))


def _conclude(services: Services, run_id: str, suspects: frozenset[str] | None) -> None:
    store = services.store
    run = store.run(run_id)
    if run.state.final:
        return
    suite, results = store.suite(run.suite_digest), store.results(run_id)
    summary = summarise(suite, results, wall_s=_seconds_since(run.started_at or run.created_at))
    reference = run.baseline_run or promoted(services, run.suite, run.source.branch or DEFAULT_BRANCH)
    baseline = comparable_results(store, suite, reference) if reference else None
    noise = noise_for(store, run, suite, reference)
    verdict = judge(suite, results, baseline, baseline_run=reference, noise=noise)
    if store.conclude(run_id, summary, verdict, channels_of(run.source)) and run.pool != REPLAY_POOL:
        errors = sum(result.error is not None for result in results)
        services.breakers.concluded(run.team, run_id, errors=errors, results=len(results), suspects=suspects)


def promoted(services: Services, suite: str, branch: str) -> str | None:
    """Id of the run that is the baseline of the suite and branch now."""
    row = services.store.baseline(suite, branch)
    return row.run_id if row else None


def _seconds_since(moment: dt.datetime) -> float:
    """By this process's clock, which may be behind PostgreSQL's."""
    return max(0.0, (dt.datetime.now(dt.UTC) - moment).total_seconds())
