"""What a team may have, and how much of it is used."""

from __future__ import annotations

import datetime as dt

from fastapi import APIRouter

from evalwindow.config import Quota
from evalwindow.quota import Measure, Standing, measures, period_end, period_start
from evalwindow.web.access import Team, WithServices
from evalwindow.web.documents import LimitDocument, QuotaDocument
from evalwindow.web.problems import responses

router = APIRouter(prefix="/v1/quotas", tags=["quotas"], responses=responses(401, 429, 503))


@router.get("", response_model=QuotaDocument)
def quotas(team: Team, services: WithServices) -> QuotaDocument:
    """The team's limits, and what is used of them now and in this period."""
    quota = services.config.quota_of(team)
    return quota_document(team, quota, services.store.standing(team, quota))


def quota_document(team: str, quota: Quota, standing: Standing) -> QuotaDocument:
    end = period_end(quota.period, standing.at)
    return QuotaDocument(
        team=team,
        at=standing.at,
        period=quota.period,
        period_start=period_start(quota.period, standing.at),
        period_end=end,
        limits=tuple(_limit(measure, end=end) for measure in measures(quota, standing)),
        submissions_per_minute=quota.submissions_per_minute,
        runs=standing.runs,
        refused=standing.refused,
        results=standing.results,
    )


def _limit(measure: Measure, *, end: dt.datetime) -> LimitDocument:
    return LimitDocument(
        name=measure.name,
        used=round(measure.used, 6),
        limit=measure.limit,
        full=measure.full,
        until=end if measure.of_period else None,
    )
