"""Any two runs of a suite through its gate, without promoting either."""

from __future__ import annotations

from fastapi import APIRouter

from evalwindow.comparable import comparable_results
from evalwindow.errors import BadInput, NotFound
from evalwindow.gate import judge
from evalwindow.model import Tier
from evalwindow.services import Services
from evalwindow.store.rows import RunRow
from evalwindow.web.access import Team, WithServices
from evalwindow.web.documents import Comparison
from evalwindow.web.problems import Problem
from evalwindow.web.runs import own_run

router = APIRouter(
    prefix="/v1/compare", tags=["baselines"], responses={status: {"model": Problem} for status in (401, 404, 422, 503)}
)


@router.get("", response_model=Comparison)
def compare(run: str, baseline: str, team: Team, services: WithServices) -> Comparison:
    """The paired gate on the fly, under the policy that `run` was admitted with. Nothing is written."""
    candidate, other = own_run(services, run, team), _readable(services, baseline, team)
    _check_comparable(candidate, other)
    suite = services.store.suite(candidate.suite_digest)
    known = comparable_results(services.store, suite, other.id)
    verdict = judge(suite, services.store.results(candidate.id), known, baseline_run=other.id)
    return Comparison(suite=suite.name, run=candidate.id, baseline=other.id, verdict=verdict)


def _readable(services: Services, run_id: str, team: str) -> RunRow:
    """The team's own run, or one of another team that was promoted: everybody is measured against that."""
    try:
        return own_run(services, run_id, team)
    except NotFound:
        if run_id not in {row.run_id for row in services.store.baselines(retired=True)}:
            raise
        return services.store.run(run_id)


def _check_comparable(candidate: RunRow, other: RunRow) -> None:
    if candidate.suite != other.suite:
        raise BadInput(
            f"run {candidate.id} is of suite {candidate.suite!r} and run {other.id} of {other.suite!r}; "
            f"compare two runs of one suite"
        )
    if candidate.tier is Tier.SMOKE:
        raise BadInput(
            f"suite {candidate.suite!r} is a smoke suite, which is judged without a baseline; compare regression runs"
        )
    for run in (candidate, other):
        if not run.state.final:
            raise BadInput(f"run {run.id} is {run.state}; wait until it is concluded")
