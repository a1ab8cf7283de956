"""What a team may have at once, and in a period of the calendar: the arithmetic of its quota, and a refusal's words."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass

from evalwindow.config import Config, Quota
from evalwindow.errors import QuotaExceeded
from evalwindow.model import Tier

SMOKE_RETRY_S = 30.0  # a smoke run takes seconds
QUEUE_RETRY_S = 300.0  # the order of what a few shards take
PERIOD_WORDS = {"day": "today", "week": "this week", "month": "this month"}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What a team has at a moment, and what it has used in its period up to then."""

    at: dt.datetime  # aware
    smoke_runs: int = 0  # that are not final
    queued_samples: int = 0  # of regression runs: they wait, or are being asked
    gpu_s: float = 0.0  # in the period, as the next ones
    cost: float = 0.0  # money for API models
    results: int = 0
    runs: int = 0  # admitted
    refused: int = 0  # by a quota or a breaker


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One limit and how much of it is used."""

    name: str  # key of a quota
    used: float
    limit: float | None  # None: there is no limit
    of_period: bool  # what is used comes back when the period ends, not before

    @property
    def full(self) -> bool:
        return self.limit is not None and self.used >= self.limit


def measures(quota: Quota, standing: Standing) -> tuple[Measure, ...]:
    """Every limit of this quota, in the order of its keys."""
    now = {"smoke_runs": standing.smoke_runs, "queued_samples": standing.queued_samples}
    period = {"gpu_minutes": standing.gpu_s / 60, "api_cost": standing.cost}
    return tuple(
        Measure(name=name, used=float(used), limit=getattr(quota, name), of_period=name in period)
        for name, used in (now | period).items()
    )


def is_spent(quota: Quota, standing: Standing) -> bool:
    """Nothing more of the team may start before its period ends."""
    return any(measure.full for measure in measures(quota, standing) if measure.of_period)


def period_quotas(config: Config) -> dict[str, Quota]:
    """Of the teams that may use only so much in a period."""
    quotas = {team: config.quota_of(team) for team in config.teams}
    limited = ((team, quota) for team, quota in quotas.items() if (quota.gpu_minutes, quota.api_cost) != (None, None))
    return dict(limited)


def period_start(period: str, at: dt.datetime) -> dt.datetime:
    """Midnight, UTC, of the first day of the day, week or month that `at` is in; a week starts on Monday."""
    midnight = at.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    back = {"day": 0, "week": midnight.weekday(), "month": midnight.day - 1}[period]
    return midnight - dt.timedelta(days=back)


def period_end(period: str, at: dt.datetime) -> dt.datetime:
    """When the next period starts."""
    start = period_start(period, at)
    longest = {"day": 1, "week": 7, "month": 31}[period]
    return period_start(period, start + dt.timedelta(days=longest))


def refusal(*, team: str, quota: Quota, standing: Standing, tier: Tier, samples: int) -> QuotaExceeded | None:
    """Why a run of so many samples is not admitted now; None: it is. What takes longest to go away is said first."""
    reasons = (*_period_reasons(team, quota, standing), *_present_reasons(team, quota, standing, tier, samples))
    return max(reasons, key=lambda reason: reason.retry_after_s, default=None)


def _period_reasons(team: str, quota: Quota, standing: Standing) -> Iterator[QuotaExceeded]:
    end = period_end(quota.period, standing.at)
    left_s = max(1.0, (end - standing.at).total_seconds())
    then = f"try again from {end:%Y-%m-%d %H:%M} UTC on, in {in_words(left_s)}"
    when = PERIOD_WORDS[quota.period]
    if quota.gpu_minutes is not None and standing.gpu_s >= quota.gpu_minutes * 60:
        yield QuotaExceeded(
            f"team {team!r} has used {standing.gpu_s / 60:,.1f} GPU-minutes {when}; its quota is "
            f"{quota.gpu_minutes:,g} a {quota.period} (quota.gpu_minutes): {then}",
            retry_after_s=left_s,
        )
    if quota.api_cost is not None and standing.cost >= quota.api_cost:
        yield QuotaExceeded(
            f"team {team!r} has spent {standing.cost:,.2f} on API models {when}; its quota is "
            f"{quota.api_cost:,g} a {quota.period} (quota.api_cost): {then}",
            retry_after_s=left_s,
        )


def _present_reasons(team: str, quota: Quota, standing: Standing, tier: Tier, samples: int) -> Iterator[QuotaExceeded]:
    if tier is Tier.SMOKE:
        if quota.smoke_runs is not None and standing.smoke_runs >= quota.smoke_runs:
            yield QuotaExceeded(
                f"team {team!r} has {_counted(standing.smoke_runs, 'smoke run')} {_not_final(standing)}; its quota is "
                f"{quota.smoke_runs:,} (quota.smoke_runs): try again when one has ended, in about "
                f"{in_words(SMOKE_RETRY_S)}",
                retry_after_s=SMOKE_RETRY_S,
            )
    elif quota.queued_samples is not None and standing.queued_samples + samples > quota.queued_samples:
        yield QuotaExceeded(
            f"team {team!r} has {_counted(standing.queued_samples, 'sample')} of regression runs waiting or running, "
            f"and this run has {samples:,}; its quota is {quota.queued_samples:,} (quota.queued_samples): try again "
            f"when some are done, in about {in_words(QUEUE_RETRY_S)}",
            retry_after_s=QUEUE_RETRY_S,
        )


def in_words(seconds: float) -> str:
    """30 -> '30 s'; 300 -> '5 min'; 18180 -> '5 h 3 min'; 200000 -> '2 days 8 h'. Never less than it is."""
    if seconds <= 90:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours + (minutes > 0), 24)
    return f"{days} days {hours} h" if hours else f"{days} days"


def _not_final(standing: Standing) -> str:
    return "that is not final" if standing.smoke_runs == 1 else "that are not final"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
