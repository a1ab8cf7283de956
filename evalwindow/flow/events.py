"""Turn a webhook's event into runs."""

from __future__ import annotations

import asyncio
import logging

from evalwindow.admission import Submission
from evalwindow.errors import BadInput, BreakerOpen, EvalwindowError, EventIgnored, ServiceDown, TryLater
from evalwindow.flow.submit import submit
from evalwindow.github import events
from evalwindow.model import Source
from evalwindow.services import Services
from evalwindow.store.events import REPEATED
from evalwindow.store.rows import EventRow

log = logging.getLogger(__name__)

EVENT_ATTEMPTS = 30  # that end in a defect
OUTAGE_ATTEMPTS = 1_440  # while GitHub or a service of ours is away: a day, with the pauses below
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 60.0
TOLD_A_MINUTE = 20  # refusals that the pull requests of one repository hear of
AGAIN = "Nothing of it was run. To try again then, push a commit, or close the pull request and reopen it."


async def handle_event(services: Services, event: EventRow) -> None:
    """Turn a webhook's event into runs; what is wrong with it is told to the pull request.

    While GitHub or a service of ours is away the event stays claimed, and is handled again after growing pauses.
    """
    try:
        wishes = await _wishes(services, event)
        refused = [each for wish in wishes if (each := await _submit(services, wish))]
    except EventIgnored as reason:
        await _finish_event(services, event, "done", str(reason))
    except (BadInput, TryLater) as error:
        await _refuse(services, event, f"{error}\n{AGAIN}" if isinstance(error, TryLater) else str(error))
    except ServiceDown as error:
        await _put_off(services, event, error)
    except EvalwindowError as error:
        log.error("event %s: %s", event.id, error)
        await _finish_event(services, event, "failed", str(error))
    except Exception as error:  # a defect: after an upgrade it may work, but it isn't tried for ever
        log.exception("event %s", event.id)
        await _put_off(services, event, error)
    else:
        if refused:
            await _refuse(services, event, "\n".join([*refused, AGAIN]))
        else:
            await _finish_event(services, event, "done", None)


async def _wishes(services: Services, event: EventRow) -> list[Submission]:
    """Raises what makes it useless before GitHub is asked for anything: a flood of events is no flood of calls."""

    async def check(team: str, source: Source) -> None:
        await asyncio.to_thread(_check_flood, services, event, team, source)

    return await events.submissions(services.github, services.config, services.store, event.payload, check=check)


def _check_flood(services: Services, event: EventRow, team: str, source: Source) -> None:
    """A commit that was let in is not refused for its next event, and needs no other one."""
    if services.store.is_repeated(event.id):
        raise EventIgnored(REPEATED)
    try:
        services.breakers.check_flood(team)
    except BreakerOpen:
        latest = services.store.runs(1, repo=source.repo, pull_request=source.pull_request)
        if [run.source.head_sha for run in latest] != [source.head_sha]:
            services.breakers.count_flood(team)
            raise


async def _submit(services: Services, wish: Submission) -> str | None:
    """Why it can't be now; None: it is admitted. That one suite has to wait keeps no other one from running."""
    try:
        await asyncio.to_thread(submit, services, wish)
    except TryLater as reason:
        return f"{wish.suite}: {reason}"
    return None


async def _refuse(services: Services, event: EventRow, why: str) -> None:
    """Tell the pull request, unless its repository has heard enough; one that names none can only be written down."""
    try:
        if await asyncio.to_thread(services.store.may_tell, event.id, most=TOLD_A_MINUTE):
            await events.refuse(services.github, event.payload, why)
    except ServiceDown as away:
        await _put_off(services, event, away)
        return
    except EvalwindowError as untold:
        log.error("event %s: %s; it could not be told: %s", event.id, why, untold)
    await _finish_event(services, event, "refused", why)


async def _put_off(services: Services, event: EventRow, error: Exception) -> None:
    log.warning("event %s (attempt %d): %s", event.id, event.attempts, error)
    if event.attempts >= (OUTAGE_ATTEMPTS if isinstance(error, ServiceDown) else EVENT_ATTEMPTS):
        await _finish_event(services, event, "failed", f"{type(error).__name__}: {error}")
        return
    asked_for: float = getattr(error, "retry_after", None) or 0.0
    pause = min(FIRST_PAUSE_S * 2 ** min(event.attempts - 1, 10), LONGEST_PAUSE_S)
    await asyncio.to_thread(services.store.postpone_event, event.id, max(asked_for, pause))


async def _finish_event(services: Services, event: EventRow, state: str, why: str | None) -> None:
    await asyncio.to_thread(services.store.finish_event, event.id, state, why)
