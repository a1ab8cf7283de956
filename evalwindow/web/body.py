"""Request bodies: bounded while they are read, decoded strictly, checked with messages that name the key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evalwindow.errors import BadInput
from evalwindow.faults import faults_of, key_path

Model = TypeVar("Model", bound=BaseModel)


class BodyLimit:
    """ASGI middleware: a body over the limit is answered by 413 once that is known, chunked or not."""

    def __init__(self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None) -> None:
        """`larger`: path -> its own limit in bytes."""
        self._app, self._limit, self._larger = app, limit, larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read, limit = 0, self._larger.get(scope["path"], self._limit)

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if max(read, _declared(scope)) > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes", {"Connection": "close"})
            return message

        await self._app(scope, counted, send)


def _declared(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else 0


async def read_json(request: Request) -> Any:
    """The body as JSON; 400 that says what is wrong with it."""
    try:
        return json.loads((await request.body()).decode())
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the body is not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise HTTPException(400, "the body's JSON is nested too deeply") from error


def checked(model: type[Model], data: Any) -> Model:
    """The model of a JSON value; raises BadInput that names every wrong key."""
    try:
        return model.model_validate(data)
    except ValidationError as invalid:
        faults = faults_of(invalid, model, data)
        texts = [
            f"{key_path(fault.path)}: {fault.what}" if fault.path else f"the body {fault.what}" for fault in faults
        ]
        raise BadInput("; ".join(texts)) from invalid
