"""Tell one channel about a run. What is told follows from the rows alone, so telling it twice changes nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from evalwindow.errors import BadInput
from evalwindow.github.checks import put_check
from evalwindow.github.comments import put_comment
from evalwindow.report.checkrun import check_run, commit_status
from evalwindow.report.comment import MARKER, comment
from evalwindow.report.files import report_folder, write_report
from evalwindow.report.gather import gather
from evalwindow.report.view import RunView
from evalwindow.store import Store
from evalwindow.store.rows import DeliveryRow, RunRow

if TYPE_CHECKING:  # it builds the client; only its type is needed here
    from evalwindow.services import Services


MOST_RUNS = 50  # of a pull request that a comment looks back at


async def publish(services: Services, delivery: DeliveryRow) -> str | None:
    """Id of what now stands there (check, comment or page); raises GitHubUnavailable, GitHubRefused, BadInput."""
    channels = {"check": _check, "comment": _comment, "page": _page}
    if delivery.channel not in channels:
        known = ", ".join(sorted(channels))
        raise BadInput(f"channel {delivery.channel!r}: use {known} for a run, mail:<address> for a night")
    if delivery.run_id is None:
        raise BadInput(f"channel {delivery.channel!r} tells of a run; {delivery.subject} is a night")
    return await channels[delivery.channel](services, delivery)


async def _check(services: Services, delivery: DeliveryRow) -> str | None:
    view = await asyncio.to_thread(_view, services, delivery.subject)
    source = view.run.source
    if services.github is None or source.repo is None or source.head_sha is None:
        return None
    async with services.github.open(source.repo) as repo:
        return await put_check(
            repo, source.head_sha, check_run(view), status=commit_status(view), known_id=delivery.external_id
        )


async def _comment(services: Services, delivery: DeliveryRow) -> str | None:
    run = await asyncio.to_thread(services.store.run, delivery.subject)
    repo_name, number = run.source.repo, run.source.pull_request
    if services.github is None or repo_name is None or number is None:
        return None
    comment_id, written = await asyncio.to_thread(_known_comment, services.store, run), ""
    async with services.github.open(repo_name) as repo:
        # Another run of the pull request may end while we write: what is written last must be what is true last.
        while (body := await asyncio.to_thread(_comment_body, services, run)) != written:
            comment_id = await put_comment(repo, number, body, marker=MARKER, known_id=comment_id)
            written = body
    return comment_id


async def _page(services: Services, delivery: DeliveryRow) -> str:
    view = await asyncio.to_thread(_view, services, delivery.subject)
    path = await asyncio.to_thread(write_report, view, report_folder(services.settings.home))
    return str(path)


def _view(services: Services, run_id: str) -> RunView:
    return gather(services.store, services.config, run_id, base_url=services.settings.base_url)


def _comment_body(services: Services, run: RunRow) -> str:
    """The newest run of each suite at the pull request's newest commit."""
    runs = _runs_of_pull_request(services.store, run)
    newest = max(runs, key=lambda run: (run.ordinal or 0, run.id))
    suites = {run.suite: run for run in reversed(runs) if run.source.head_sha == newest.source.head_sha}
    return comment([_view(services, suites[name].id) for name in sorted(suites)])


def _known_comment(store: Store, run: RunRow) -> str | None:
    """Id of the comment, if any run of the pull request wrote it."""
    runs = _runs_of_pull_request(store, run)
    deliveries = (delivery for known in runs for delivery in store.deliveries(known.id))
    ids = (delivery.external_id for delivery in deliveries if delivery.channel == "comment")
    return next(filter(None, ids), None)


def _runs_of_pull_request(store: Store, run: RunRow) -> list[RunRow]:
    return store.runs(MOST_RUNS, repo=run.source.repo, pull_request=run.source.pull_request)
