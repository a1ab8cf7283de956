"""Where a run's time went."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from evalwindow.model import SampleResult
from evalwindow.store.rows import RunRow


@dataclass(frozen=True, kw_only=True)
class LatencyView:
    """Seconds. The first three are of the run; the others are medians over its prompts (cache hits left out)."""

    queued_s: float | None  # from the run's row to the first claimed shard
    answered_s: float | None  # from the first claim to the verdict
    total_s: float | None
    prompt_s: float | None  # from sending a prompt to its answer
    prompt_queue_s: float | None  # of these, waiting inside the engine
    prompt_engine_s: float | None  # of these, computing


def latency_of(run: RunRow, results: Sequence[SampleResult]) -> LatencyView:
    asked = [result for result in results if result.completion is not None and not result.completion.cached]
    usages = [result.completion.usage for result in asked if result.completion is not None]
    return LatencyView(
        queued_s=_seconds(run.created_at, run.started_at),
        answered_s=_seconds(run.started_at, run.concluded_at),
        total_s=_seconds(run.created_at, run.concluded_at),
        prompt_s=_median([result.latency_s for result in asked]),
        prompt_queue_s=_median([usage.queue_s for usage in usages]),
        prompt_engine_s=_median([usage.engine_s for usage in usages]),
    )


def _seconds(start: dt.datetime | None, end: dt.datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds()


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None
