"""The suites that can be run."""

from __future__ import annotations

from fastapi import APIRouter

from evalwindow.suites import Suite
from evalwindow.web.access import Team, WithServices
from evalwindow.web.documents import SuiteDocument, SuiteList
from evalwindow.web.problems import Problem

router = APIRouter(
    prefix="/v1/suites", tags=["suites"], responses={status: {"model": Problem} for status in (401, 422, 503)}
)


@router.get("", response_model=SuiteList)
def suites(team: Team, services: WithServices) -> SuiteList:
    """Every suite of the suites folder as it is now, by name."""
    found = services.library.all()
    return SuiteList(suites=[_document(found[name]) for name in sorted(found)])


def _document(suite: Suite) -> SuiteDocument:
    return SuiteDocument(
        name=suite.name,
        tier=suite.tier,
        description=suite.spec.description,
        samples=len(suite.samples),
        digest=suite.digest,
    )
