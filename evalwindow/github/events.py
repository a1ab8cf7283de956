"""A pull_request event -> the runs that it asks for. What comes from the pull request is read as data, never run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from evalwindow.admission import Submission
from evalwindow.config import Config, Team
from evalwindow.engines.adapters import FILES
from evalwindow.errors import CandidateInvalid, EventIgnored
from evalwindow.github.checks import put_check
from evalwindow.github.client import GitHub
from evalwindow.github.payload import PullRequestEvent, read_payload
from evalwindow.github.repository import Repository
from evalwindow.model import Candidate, Source
from evalwindow.pr_config import FILE, PrCandidate, PrConfig, parse_pr_config
from evalwindow.report.checkrun import refusal_check, refusal_status
from evalwindow.store import Store

ACTIONS = ("opened", "reopened", "synchronize", "labeled")


class LabelSpent(EventIgnored):
    """The label was set for an earlier commit."""


async def submissions(
    github: GitHub | None,
    config: Config,
    store: Store,
    payload: Mapping[str, Any],
    *,
    check: Callable[[str, Source], Awaitable[None]],
) -> list[Submission]:
    """One submission a suite; raises EventIgnored where there is nothing to do, BadInput for the author to repair.

    Before GitHub is asked for anything, `check` may raise, told the team and what it wants to be evaluated.
    """
    event = read_payload(payload)
    name, team = team_of(event, config)
    if github is None:
        raise EventIgnored("no GitHub credentials: set EVALWINDOW_GITHUB_TOKEN, or the App's id and private key")
    try:
        check_admittance(event, team)
    except LabelSpent:
        await _ask_for_label(github, event, label=team.fork_label)
        raise
    await check(name, event.source)
    async with github.open(event.repo) as repo:
        wanted = await _pr_config(repo, event, config)
        candidate = await _candidate(repo, event, wanted.candidate, config=config, store=store)
    return [_submission(event, team=name, suite=suite, candidate=candidate) for suite in wanted.suites]


def team_of(event: PullRequestEvent, config: Config) -> tuple[str, Team]:
    """The team that owns the repository; its owner/name is compared as GitHub does, without case."""
    for name, team in config.teams.items():
        if event.repo.lower() in (repo.lower() for repo in team.repos):
            return name, team
    raise EventIgnored(f"repository {event.repo} belongs to no team of evalwindow.yaml")


def check_admittance(event: PullRequestEvent, team: Team) -> None:
    """Raises EventIgnored for an action that changes nothing, and for a fork unless its label was set just now.

    The label counts for the commit that it was set for, which is the one that its event names. LabelSpent: it is still
    there from an earlier one.
    """
    if event.action not in ACTIONS:
        raise EventIgnored(f"action {event.action!r} starts nothing")
    if event.action == "labeled" and (event.label is None or event.label.name != team.fork_label):
        raise EventIgnored(f"only the label {team.fork_label!r} starts something")
    labels = [label.name for label in event.pull_request.labels]
    if event.from_fork and team.fork_label not in labels:
        raise EventIgnored(f"a fork's pull request needs the label {team.fork_label!r}")
    if event.from_fork and event.action != "labeled":
        raise LabelSpent(f"a fork's new commits need the label {team.fork_label!r} again")


async def _ask_for_label(github: GitHub, event: PullRequestEvent, *, label: str) -> None:
    """Take the label off, so that setting it again is an event, and say so by a neutral check."""
    async with github.open(event.repo) as repo:
        off = await repo.remove_label(event.pull_request.number, label)
        how = "set the label" if off else "take the label off and set it"
        message = (
            f"New commits of a fork wait for somebody to look at them: label {label!r} counts for the commit that it "
            f"was set for. Whoever may set labels here: please {how} again, and the evals run."
        )
        sha = event.pull_request.head.sha
        await put_check(repo, sha, refusal_check(message), status=refusal_status(message))


async def refuse(github: GitHub | None, payload: Mapping[str, Any], message: str) -> None:
    """Tell the author of a pull request, by a neutral check, why nothing was run."""
    event = read_payload(payload)
    if github is None:
        return
    async with github.open(event.repo) as repo:
        await put_check(repo, event.pull_request.head.sha, refusal_check(message), status=refusal_status(message))


async def _pr_config(repo: Repository, event: PullRequestEvent, config: Config) -> PrConfig:
    sha = event.pull_request.head.sha
    data = await repo.file(FILE, ref=sha, limit=config.limits.body_bytes)
    if data is None:
        raise EventIgnored(f"no {FILE} at {sha[:10]}")
    return parse_pr_config(data)


async def _candidate(
    repo: Repository, event: PullRequestEvent, wanted: PrCandidate, *, config: Config, store: Store
) -> Candidate:
    sha, limits = event.pull_request.head.sha, config.limits
    adapter = await _adapter(repo, wanted.adapter, sha=sha, limit=limits.adapter_bytes, store=store)
    template = await _template(repo, wanted.template_file, sha=sha, limit=limits.body_bytes)
    return wanted.candidate(adapter=adapter, template=template)


async def _adapter(repo: Repository, path: str | None, *, sha: str, limit: int, store: Store) -> str | None:
    """Digest of the stored adapter."""
    if path is None:
        return None
    files = await repo.folder(path, ref=sha, limit=limit, names=FILES)
    if not files:
        raise CandidateInvalid(f"{FILE}: candidate.adapter: there is no folder {path!r} at {sha[:10]}")
    return await asyncio.to_thread(store.put_artifact, "adapter", f"{repo.name}:{path}", files)


async def _template(repo: Repository, path: str | None, *, sha: str, limit: int) -> str | None:
    if path is None:
        return None
    data = await repo.file(path, ref=sha, limit=limit)
    if data is None:
        raise CandidateInvalid(f"{FILE}: candidate.template_file: there is no file {path!r} at {sha[:10]}")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise CandidateInvalid(f"{FILE}: candidate.template_file: {path!r} is not UTF-8 ({error})") from error


def _submission(event: PullRequestEvent, *, team: str, suite: str, candidate: Candidate) -> Submission:
    pull = event.pull_request
    return Submission(
        key=f"pr:{event.repo}#{pull.number}@{pull.head.sha}:{suite}",
        team=team,
        suite=suite,
        candidate=candidate,
        source=event.source,
        ordinal=int(pull.updated_at.timestamp()),
    )
