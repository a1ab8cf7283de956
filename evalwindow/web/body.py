"""Request bodies: bounded in bytes and time while they are read, decoded strictly, checked by messages with the key."""

from __future__ import annotations

import asyncio
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


BODY_S = 10.0  # for any body, and
BYTES_A_SECOND = 50_000  # at least so many once they are over


class BodyLimit:
    """ASGI middleware: a body over the limit is answered by 413 once that is known, chunked or not; a slow one: 408."""

    def __init__(
        self, app: ASGIApp, limit: int, larger: Mapping[str, int] | None = None, *, patience_s: float = BODY_S
    ) -> None:
        """`larger`: path -> its own limit in bytes. A body may take `patience_s` and a second each BYTES_A_SECOND."""
        self._app, self._limit, self._larger, self._patience_s = app, limit, larger or {}, patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        read, limit = 0, self._larger.get(scope["path"], self._limit)
        until: float | None = None  # None: nobody asked for the body yet, or all of it is here
        whole = False

        async def counted() -> Message:
            nonlocal read, until, whole
            now = asyncio.get_running_loop().time()
            until = None if whole else until or now + self._patience_s
            wait_s = None if until is None else until + read / BYTES_A_SECOND - now
            try:
                message = await asyncio.wait_for(receive(), wait_s)
            except TimeoutError:
                whole = True
                raise HTTPException(408, "the body comes too slowly", {"Connection": "close"}) from None
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if max(read, declared(scope) or 0) > limit:
                raise HTTPException(413, f"the body is larger than {limit} bytes", {"Connection": "close"})
            return message

        await self._app(scope, counted, send)


def declared(scope: Scope) -> int | None:
    """Bytes that the request says that its body has; None: it doesn't say."""
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(lengths[0]) if lengths and lengths[0].isdigit() else None


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
    except ValueError as error:  # a number of thousands of digits
        raise HTTPException(400, f"the body's JSON can't be read: {error}") from error


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
