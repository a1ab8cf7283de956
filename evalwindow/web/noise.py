"""The noise floor of every suite with a baseline: what the gate takes for the baseline's own unsteadiness."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from evalwindow.gate import reach
from evalwindow.metrics import ALL, members
from evalwindow.model import NoiseFloor, NoiseRates, Tier
from evalwindow.noise import noise_floor
from evalwindow.services import Services
from evalwindow.store.rows import BaselineRow, RunRow
from evalwindow.suites import Suite
from evalwindow.web.access import Team, WithServices
from evalwindow.web.bodies import Name
from evalwindow.web.documents import NoiseDocument, NoiseList, SliceNoise
from evalwindow.web.problems import Problem

router = APIRouter(
    prefix="/v1/noise", tags=["baselines"], responses={status: {"model": Problem} for status in (401, 422, 503)}
)


@router.get("", response_model=NoiseList)
def noise(
    team: Team, services: WithServices, suite: Annotated[list[Name] | None, Query()] = None, model: Name | None = None
) -> NoiseList:
    """For each regression suite (default: all) with a baseline (of the model, if one is named), by suite and branch."""
    found = [
        (row, services.store.run(row.run_id))
        for row in services.store.baselines()
        if suite is None or row.suite in suite
    ]
    wanted = [(row, run) for row, run in found if run.tier is Tier.REGRESSION and model in (None, run.model)]
    return NoiseList(floors=[_document(services, row, run, team=team) for row, run in wanted])


def _document(services: Services, row: BaselineRow, run: RunRow, *, team: str) -> NoiseDocument:
    """By the suite as it is now, which is what candidates are asked; by the baseline's own where it is gone."""
    suites, _ = services.library.sound()
    suite = suites.get(row.suite) or services.store.suite(run.suite_digest)
    floor = noise_floor(services.store, suite, run)
    policy = suite.spec.policy
    names = dict.fromkeys((ALL, *policy.blocking, *policy.advisory))
    return NoiseDocument(
        suite=row.suite,
        branch=row.branch,
        baseline=run.id,
        model=run.model,
        candidate=run.candidate if run.team == team else None,
        floor=floor,
        slices=[_slice(suite, name, floor) for name in names] if floor else [],
    )


def _slice(suite: Suite, name: str, floor: NoiseFloor) -> SliceNoise:
    policy, samples = suite.spec.policy, len(members(suite.samples, name))
    margin = policy.margin if name == ALL or policy.slice_margin is None else policy.slice_margin
    return SliceNoise(
        slice=name,
        samples=samples,
        margin=margin,
        rates=_rates(floor, name),
        reach=reach(floor, name, samples=samples, confidence=policy.confidence),
    )


def _rates(floor: NoiseFloor, name: str) -> NoiseRates:
    return floor.rates if name == ALL else floor.slices.get(name, floor.rates)
