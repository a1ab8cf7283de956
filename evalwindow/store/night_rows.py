"""What the store takes and gives of nights: frozen values, no live rows."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from evalwindow.model import Answer, EntryState, Purpose


@dataclass(frozen=True, kw_only=True)
class NewNight:
    """An occurrence of a window, or a night that somebody starts by hand."""

    key: str  # idempotency: opening the same key again gives the first night
    window: str  # name in evalwindow.yaml
    team: str
    branch: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    budget_gpu_s: float | None = None
    dry_run: bool = False
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class NightRow:
    """One night as it is now."""

    id: str
    key: str
    window: str
    team: str
    branch: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    budget_gpu_s: float | None
    dry_run: bool
    url: str | None
    closed_at: dt.datetime | None  # before ends_at, for close_reason
    close_reason: str | None
    settled_at: dt.datetime | None
    void: str | None  # why none of its verdicts counts
    created_at: dt.datetime

    @property
    def end(self) -> dt.datetime:
        """When the last prompt may start."""
        return self.ends_at if self.closed_at is None else min(self.closed_at, self.ends_at)


@dataclass(frozen=True, kw_only=True)
class NewEntry:
    """What a night is to run."""

    suite: str
    model: str
    purpose: Purpose = Purpose.CANDIDATE
    baseline_run: str | None = None
    provenance_key: str | None = None


@dataclass(frozen=True, kw_only=True)
class EntryRow:
    """One suite x model of a night as it is now."""

    id: str
    night_id: str
    seq: int
    suite: str
    model: str
    purpose: Purpose
    state: EntryState
    run_id: str | None
    baseline_run: str | None
    provenance_key: str | None
    note: str | None


@dataclass(frozen=True, kw_only=True)
class TrendPoint:
    """One concluded run of a suite, for a line over time."""

    run_id: str
    night_id: str | None
    suite: str
    model: str
    purpose: Purpose
    at: dt.datetime
    answer: Answer | None
    void: bool
    score: float | None  # the first metric over all samples, 0..1
    latency_s: float | None  # median over its samples that were not cached, seconds
    gpu_s: float
    samples: int
    flips: float | None  # share of samples that changed sides against the baseline, 0..1
