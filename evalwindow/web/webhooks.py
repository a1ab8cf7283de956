"""GitHub's webhook: check, write down, answer; the work is done after."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from functools import partial

from fastapi import APIRouter, Request, Response

from evalwindow import flow
from evalwindow.errors import BadInput, EvalwindowError, Unauthorized
from evalwindow.github.payload import read_payload
from evalwindow.services import Services
from evalwindow.web.access import WithServices, too_many
from evalwindow.web.bodies import Received
from evalwindow.web.body import read_json
from evalwindow.web.failures import Failures
from evalwindow.web.problems import Problem

log = logging.getLogger(__name__)

PREFIX = "sha256="
HANDLED = "pull_request"
LEASE_S = 60.0  # of an event
LIMIT_S = 50.0  # to handle it: less than its lease, so that nobody else has it meanwhile
AT_ONCE = 4  # that this process handles; what comes meanwhile is the dispatcher's

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.post(
    "/github",
    status_code=202,
    response_model=Received,
    responses={status: {"model": Problem} for status in (400, 401, 409, 413, 422, 429)},
)
async def github(request: Request, response: Response, services: WithServices) -> Received:
    """Takes pull_request events. The signature (X-Hub-Signature-256) is of the raw body; a delivery is taken once."""
    body = await request.body()
    secret = services.settings.webhook_secret.get_secret_value()
    try:
        check_signature(body, signature=request.headers.get("x-hub-signature-256", ""), secret=secret)
    except Unauthorized:
        _count_failure(request)
        raise
    kind = request.headers.get("x-github-event", "")
    if kind != HANDLED:
        response.status_code = 200
        return Received(event=None, message="pong" if kind == "ping" else f"{kind or 'unnamed'} events start nothing")
    event_id = await _written_down(request, services, kind=kind)
    _handle_soon(request, services, event_id)
    return Received(event=event_id, message="received")


def _count_failure(request: Request) -> None:
    """Raises TooManyFailures where this address had its share: a right signature is still taken from there."""
    failures: Failures = request.app.state.failures
    address = request.client.host if request.client else None
    wait_s = failures.wait_s(address)
    if wait_s:
        raise too_many(address, wait_s) from None
    failures.failed(address)


def check_signature(body: bytes, *, signature: str, secret: str) -> None:
    """Raises Unauthorized unless the signature is the HMAC-SHA256 of these bytes; the time it takes says nothing."""
    if not secret:
        raise Unauthorized("this server takes no webhooks: EVALWINDOW_WEBHOOK_SECRET is not set")
    expected = PREFIX + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Unauthorized("X-Hub-Signature-256 is missing or wrong")


async def _written_down(request: Request, services: Services, *, kind: str) -> str:
    """Raises Replayed for a delivery that was received before."""
    delivery = request.headers.get("x-github-delivery", "")
    if not delivery:
        raise BadInput("header X-GitHub-Delivery is missing")
    told = read_payload(await read_json(request))
    add = partial(services.store.add_event, subject=told.subject, ordinal=told.ordinal)
    return await asyncio.to_thread(add, delivery, kind, told.model_dump(mode="json"))


def _handle_soon(request: Request, services: Services, event_id: str) -> None:
    """Start the work without waiting for it; should this process end first, the dispatcher finds the event.

    So it does where this process has its hands full: a flood of events waits in SQL, where later ones overtake earlier
    ones of their pull request, and takes no threads from who asks for something.
    """
    tasks: set[asyncio.Task[None]] = request.app.state.tasks
    if len(tasks) >= AT_ONCE:
        return
    task = asyncio.create_task(_handle(services, event_id))
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _handle(services: Services, event_id: str) -> None:
    try:
        event = await asyncio.to_thread(services.store.claim_event, event_id, LEASE_S)
        if event is not None:
            await asyncio.wait_for(flow.handle_event(services, event), LIMIT_S)
    except (EvalwindowError, TimeoutError) as error:  # its lease runs out, then the dispatcher tries again
        log.warning("event %s: %s", event_id, error)
    except Exception:
        log.exception("event %s failed", event_id)
