"""Errors as HTTP answers: application/problem+json with what went wrong, never a stack trace."""

from __future__ import annotations

import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from evalwindow.errors import (
    BadInput,
    Conflict,
    EngineUnavailable,
    EvalwindowError,
    Forbidden,
    GitHubUnavailable,
    NotFound,
    Replayed,
    ServiceDown,
    TooLarge,
    TooManyFailures,
    TryLater,
    Unauthorized,
)
from evalwindow.web.access import at_home, services_of

log = logging.getLogger(__name__)

RETRY_AFTER = "Retry-After"

STATUSES: tuple[tuple[type[EvalwindowError], int], ...] = (  # the first that fits counts
    (BadInput, 422),
    (TooManyFailures, 429),
    (Unauthorized, 401),
    (Forbidden, 403),
    (Replayed, 409),
    (Conflict, 409),
    (TooLarge, 413),
    (TryLater, 429),
    (NotFound, 404),
    (GitHubUnavailable, 502),
    (ServiceDown, 503),
    (EngineUnavailable, 503),
    (EvalwindowError, 500),
)


class Problem(BaseModel):
    """What went wrong."""

    error: str = Field(description="one sentence for a person")
    kind: str = Field(description="name of the error, for a program")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How an operation's document tells of these answers."""
    known: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in statuses}
    for status in {429, 503} & known.keys():
        seconds = {"description": "seconds, when it may work", "schema": {"type": "integer", "minimum": 1}}
        known[status] |= {"headers": {RETRY_AFTER: seconds}}
    return known


def install(app: FastAPI) -> None:
    """Answer every error of the app in this form."""
    app.add_exception_handler(EvalwindowError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def status_of(error: Exception) -> int:
    """HTTP's number for an error of ours."""
    return next(status for kind, status in STATUSES if isinstance(error, kind))


def headers_of(error: EvalwindowError) -> dict[str, str]:
    """What goes with the number."""
    if isinstance(error, TryLater):
        return {RETRY_AFTER: str(math.ceil(error.retry_after_s))}
    if isinstance(error, TooManyFailures):
        return {RETRY_AFTER: str(error.fields["seconds"])}
    if isinstance(error, ServiceDown):
        return {RETRY_AFTER: "5"}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, Unauthorized) else {}


def problem(status: int, error: str, kind: str, headers: dict[str, str] | None = None) -> JSONResponse:
    body = Problem(error=error, kind=kind).model_dump()
    return JSONResponse(body, status, headers, media_type="application/problem+json")


async def _ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EvalwindowError)
    text = str(error)
    if isinstance(error, ServiceDown) and not at_home(request, services_of(request)):
        log.error("%s: %s", type(error).__name__, text)  # with hosts and users, which callers needn't know
        text = "a service behind this one is away; try again soon"
    return problem(status_of(error), text, type(error).__name__, headers_of(error))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """What pydantic found in a query; bodies are read by `read_body`, which knows more."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()[0]
    where = ".".join(str(part) for part in found["loc"])
    return problem(422, f"{where}: {found['msg']}", "BadInput")


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, str(error.detail), "HTTPError", dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """The server logs the error with its traceback by itself."""
    return problem(500, "internal error; the server's log says more", "InternalError")
