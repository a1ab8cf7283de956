"""Whether this process lives, and whether everything behind it does."""

from __future__ import annotations

import logging
from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from evalwindow.errors import ServiceDown
from evalwindow.services import Services
from evalwindow.store.pools import AVAILABLE, ENGINE_SEEN_S
from evalwindow.web.access import WithServices, at_home

log = logging.getLogger(__name__)

router = APIRouter(tags=["health"])


class Health(BaseModel):
    status: str = "ok"


class Readiness(BaseModel):
    ready: bool
    missing: dict[str, str] = Field(description="what is missing -> why, and what to do")


@router.get("/healthz")
async def healthz() -> Health:
    """This process answers."""
    return Health()


@router.get("/readyz", responses={503: {"model": Readiness}})
def readyz(request: Request, response: Response, services: WithServices) -> Readiness:
    """PostgreSQL, Redis and an engine for each pool, be it at rest; 503 with what is missing.

    Why, with hosts and users, is for this machine and for the log: anybody may ask.
    """
    missing = {
        name: reason
        for name, check in (("postgresql", services.store.check), ("redis", services.queue.check))
        if (reason := _reason(check)) is not None
    }
    if "postgresql" not in missing:
        missing |= _missing_engines(services)
    response.status_code = 503 if missing else 200
    if missing and not at_home(request, services):
        log.warning("not ready: %s", missing)
        missing = dict.fromkeys(missing, "the server's log says why")
    return Readiness(ready=not missing, missing=missing)


def _reason(check: Callable[[], object]) -> str | None:
    try:
        check()
    except ServiceDown as error:
        return str(error)
    return None


def _missing_engines(services: Services) -> dict[str, str]:
    engines = services.store.engines(seen_within_s=ENGINE_SEEN_S)
    ready = {engine.pool for engine in engines if engine.state in AVAILABLE}
    states = {engine.pool: engine.state for engine in engines}
    return {
        f"engine of pool {pool}": f"its engine is {states[pool]}" if pool in states else "no worker serves it"
        for pool in services.config.pools
        if pool not in ready
    }
