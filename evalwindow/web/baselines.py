"""Baselines: what candidates are measured against."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from evalwindow.nights import promotion
from evalwindow.report.gather import run_url
from evalwindow.services import Services
from evalwindow.store.rows import BaselineRow
from evalwindow.web.access import Bearer, Promoter, Team, WithServices, check_owner
from evalwindow.web.body import checked, read_json
from evalwindow.web.documents import BaselineDocument, BaselineList, Promotion
from evalwindow.web.problems import Problem
from evalwindow.web.runs import own_run

router = APIRouter(
    prefix="/v1/baselines",
    tags=["baselines"],
    responses={status: {"model": Problem} for status in (400, 401, 403, 404, 409, 413, 422, 429, 503)},
)
_BODY_SCHEMA: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": Promotion.model_json_schema()}}}
}


async def _promotion(request: Request) -> Promotion:
    return checked(Promotion, await read_json(request))


@router.get("", response_model=BaselineList)
def baselines(team: Team, services: WithServices, retired: bool = False) -> BaselineList:
    """The baseline of every suite and branch; with `retired` also those before them."""
    rows = services.store.baselines(retired=retired)
    return BaselineList(baselines=[_document(row, services) for row in rows])


@router.post("", status_code=201, response_model=BaselineDocument, openapi_extra=_BODY_SCHEMA)
def promote(
    team: Promoter, token: Bearer, wish: Annotated[Promotion, Depends(_promotion)], services: WithServices
) -> BaselineDocument:
    """Make one of the team's concluded runs the baseline, and move its model's alias in the registry.

    Promoting the active one again only sets the alias.
    """
    check_owner(token, services, suite=own_run(services, wish.run, team).suite)
    who = f"{team}/{wish.by}" if wish.by else team
    row = promotion.promote(services, wish.run, who=who, why=wish.reason, expected=wish.expected, branch=wish.branch)
    return _document(row, services)


def _document(row: BaselineRow, services: Services) -> BaselineDocument:
    return BaselineDocument(
        suite=row.suite,
        branch=row.branch,
        run=row.run_id,
        promoted_by=row.promoted_by,
        reason=row.reason,
        at=row.at,
        retired_at=row.retired_at,
        url=run_url(row.run_id, base_url=services.settings.base_url),
    )
