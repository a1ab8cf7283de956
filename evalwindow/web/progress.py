"""How far a run is, for whoever watches it."""

from __future__ import annotations

from fastapi import APIRouter

from evalwindow.web.access import Team, WithServices
from evalwindow.web.documents import Progress
from evalwindow.web.problems import Problem
from evalwindow.web.runs import own_run

router = APIRouter(
    prefix="/v1/runs", tags=["runs"], responses={status: {"model": Problem} for status in (401, 404, 503)}
)


@router.get("/{run_id}/progress", response_model=Progress)
def progress(run_id: str, team: Team, services: WithServices) -> Progress:
    """Answers that are there, and answers that are wanted."""
    suite = services.store.suite(own_run(services, run_id, team).suite_digest)
    done = services.store.done(run_id, [sample.id for sample in suite.samples])
    wanted = {(sample.id, epoch) for sample in suite.samples for epoch in range(suite.spec.epochs)}
    return Progress(done=len(done & wanted), total=len(wanted))
