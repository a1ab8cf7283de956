"""The run API, for CI jobs and programs."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from evalwindow import comparable, flow
from evalwindow.admission import Submission
from evalwindow.config import Config
from evalwindow.errors import BadInput, Conflict
from evalwindow.model import RunState, Source, Tier
from evalwindow.report.document import RunDocument, run_document, sample_document
from evalwindow.report.gather import gather, run_url
from evalwindow.report.holds import Holds
from evalwindow.services import Services
from evalwindow.store.rows import RunRow
from evalwindow.web.access import Submitter, Team, WithServices
from evalwindow.web.bodies import Accepted, RunBody, RunList, RunUrls, SampleList
from evalwindow.web.body import checked, read_json
from evalwindow.web.problems import Problem, responses
from evalwindow.web.waiting import Waiting

LONGEST_WAIT_S = 30.0
MOST_RUNS = 200

router = APIRouter(
    prefix="/v1/runs",
    tags=["runs"],
    responses=responses(401, 403, 404, 422, 429, 503),
)
_BODY_SCHEMA: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": RunBody.model_json_schema()}}}
}


async def _run_body(request: Request) -> RunBody:
    return checked(RunBody, await read_json(request))


@router.post("", status_code=202, response_model=Accepted, openapi_extra=_BODY_SCHEMA)
def submit(team: Submitter, body: Annotated[RunBody, Depends(_run_body)], services: WithServices) -> Accepted:
    """Admit a run. It is queued when this answers; the same key gives the same run.

    429: the team has as much as its quota allows, or a breaker is open. The sentence names the limit and what is used,
    Retry-After the seconds until it may work.
    """
    submission = _submission(body, team=team, config=services.config)
    run = flow.submit(services, submission)
    if (run.suite, run.candidate, run.source) != (submission.suite, submission.candidate, submission.source):
        raise Conflict(f"key {body.key!r} belongs to run {run.id}, which has another suite, candidate or source")
    return Accepted(id=run.id, state=run.state, joined_to=run.joined_to, urls=_urls(run, services))


@router.get("", response_model=RunList)
def runs(
    team: Team,
    services: WithServices,
    suite: str | None = None,
    state: RunState | None = None,
    tier: Tier | None = None,
    repo: str | None = None,
    pull_request: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
    branch: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MOST_RUNS)] = 50,
    before: str | None = None,
) -> RunList:
    """The team's newest runs."""
    found = services.store.runs(
        limit,
        team=team,
        suite=suite,
        state=state,
        tier=tier,
        repo=repo,
        pull_request=pull_request,
        branch=branch,
        before=before,
    )
    holds = Holds(services.store, services.config)
    documents = [_document(run, services, held=holds.of(run)) for run in found]
    return RunList(runs=documents, next=found[-1].id if len(found) == limit else None)


@router.get("/{run_id}", response_model=RunDocument)
async def run(
    run_id: str,
    request: Request,
    team: Team,
    services: WithServices,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_S)] = 0,
) -> RunDocument:
    """One run; with `wait` the answer comes when the run is final, after that many seconds at the latest."""
    if not wait:
        return await asyncio.to_thread(_own_document, services, run_id, team)
    waiting: Waiting = request.app.state.waiting
    deadline = asyncio.get_running_loop().time() + wait
    with waiting.on(run_id) as news:
        found = await asyncio.to_thread(own_run, services, run_id, team)
        while not found.state.final and (left := deadline - asyncio.get_running_loop().time()) > 0:
            await waiting.pause(news, left)
            found = await asyncio.to_thread(own_run, services, run_id, team)
    return _document(found, services) if found.state.final else await asyncio.to_thread(_present, found, services)


@router.get("/{run_id}/samples", response_model=SampleList)
def samples(
    run_id: str,
    team: Team,
    services: WithServices,
    failing: bool = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 500,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> SampleList:
    """What was asked, expected and answered; what needs a look comes first."""
    own_run(services, run_id, team)
    view = gather(services.store, services.config, run_id, base_url=services.settings.base_url)
    chosen = view.failing if failing else view.samples
    return SampleList(samples=list(map(sample_document, chosen[offset : offset + limit])), total=len(chosen))


@router.post("/{run_id}/cancel", response_model=RunDocument, responses={409: {"model": Problem}})
def cancel(run_id: str, team: Submitter, services: WithServices) -> RunDocument:
    """End a run that nobody wants any more."""
    own_run(services, run_id, team)
    if not services.store.cancel_run(run_id, f"cancelled by team {team}"):
        raise Conflict(f"run {run_id} is {services.store.run(run_id).state} already")
    return _document(services.store.run(run_id), services)


def own_run(services: Services, run_id: str, team: str | None) -> RunRow:
    """The run; NotFound also where it is another team's. `team` None may see all."""
    return comparable.own_run(services.store, run_id, team)


def _submission(body: RunBody, *, team: str, config: Config) -> Submission:
    source = body.source.source()
    _check_source(source, team=team, config=config)
    return Submission(
        key=f"api:{team}:{body.key or uuid.uuid4()}",
        team=team,
        suite=body.suite,
        candidate=body.candidate.candidate(),
        source=source,
        use_cache=body.use_cache,
    )


def _check_source(source: Source, *, team: str, config: Config) -> None:
    """A team speaks for its own repositories only: the verdict is written to the source's pull request."""
    if source.repo is None:
        if source.pull_request is not None or source.head_sha is not None:
            raise BadInput("source.repo: is needed with pull_request or head_sha")
        return
    repos = config.teams[team].repos if team in config.teams else ()
    if source.repo not in repos:
        raise BadInput(
            f"source.repo: {source.repo!r} is not a repository of team {team!r}; it has {', '.join(repos) or 'none'}"
        )


def _own_document(services: Services, run_id: str, team: str | None) -> RunDocument:
    return _present(own_run(services, run_id, team), services)


def _present(run: RunRow, services: Services) -> RunDocument:
    """With what holds it."""
    if run.state.final:
        return _document(run, services)
    holds = Holds(services.store, services.config)
    judges = services.store.suite(run.suite_digest).judges if holds.breakers else ()
    return _document(run, services, held=holds.of(run, judges=judges))


def _document(run: RunRow, services: Services, *, held: str | None = None) -> RunDocument:
    return run_document(run, url=run_url(run.id, base_url=services.settings.base_url), held=held)


def _urls(run: RunRow, services: Services) -> RunUrls:
    base = services.settings.base_url
    api = f"{base}/v1/runs/{run.id}"
    return RunUrls(self=api, samples=f"{api}/samples", page=run_url(run.id, base_url=base))
