"""Any two runs of a suite through its gate, without promoting either."""

from __future__ import annotations

from fastapi import APIRouter

from evalwindow import comparable
from evalwindow.web.access import Team, WithServices
from evalwindow.web.documents import Comparison
from evalwindow.web.problems import Problem

router = APIRouter(
    prefix="/v1/compare", tags=["baselines"], responses={status: {"model": Problem} for status in (401, 404, 422, 503)}
)


@router.get("", response_model=Comparison)
def compare(run: str, baseline: str, team: Team, services: WithServices) -> Comparison:
    """The paired gate on the fly, under the policy that `run` was admitted with. Nothing is written."""
    found = comparable.compare(services.store, run=run, other=baseline, team=team)
    return Comparison(suite=found.suite.name, run=found.run.id, baseline=found.other.id, verdict=found.verdict)
