"""LoRA adapters that a CI job brings along, kept by their digest."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from evalwindow.engines.adapters import FILES
from evalwindow.errors import CandidateInvalid, TooLarge
from evalwindow.web.access import Submitter, WithServices
from evalwindow.web.body import checked, declared, read_json
from evalwindow.web.documents import AdapterBody, AdapterDocument
from evalwindow.web.problems import Problem
from evalwindow.web.uploads import Uploads

PATH = "/v1/adapters"
BASE64 = 4 / 3  # characters a byte
ENVELOPE = 10_000  # bytes of JSON around them

router = APIRouter(
    prefix=PATH,
    tags=["adapters"],
    responses={status: {"model": Problem} for status in (400, 401, 403, 413, 422, 429, 503)},
)
_BODY_SCHEMA: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": AdapterBody.model_json_schema()}}}
}


def body_limit(adapter_bytes: int) -> int:
    """Bytes of a request that carries an adapter of this size."""
    return int(adapter_bytes * BASE64) + ENVELOPE


async def _adapter(team: Submitter, request: Request) -> AsyncIterator[AdapterBody]:
    """Read after the token was checked, nobody else gets to send this much, and while there is room for it."""
    uploads: Uploads = request.app.state.uploads
    with uploads.place(team, declared(request.scope)):
        yield checked(AdapterBody, await read_json(request))


@router.post("", status_code=201, response_model=AdapterDocument, openapi_extra=_BODY_SCHEMA)
def put(body: Annotated[AdapterBody, Depends(_adapter)], team: Submitter, services: WithServices) -> AdapterDocument:
    """Keep an adapter; the same files have the same digest. It is checked against its model when a run asks for it."""
    files = {name: _decoded(name, text) for name, text in body.files.items()}
    if set(files) != set(FILES):
        raise CandidateInvalid(
            f"files: an adapter has {' and '.join(FILES)}; got: {', '.join(sorted(files)) or 'none'}"
        )
    size, limit = sum(map(len, files.values())), services.config.limits.adapter_bytes
    if size > limit:
        raise TooLarge(what=f"adapter {body.name!r}", size=size, limit=limit)
    digest = services.store.put_artifact("adapter", f"{team}:{body.name}", files)
    return AdapterDocument(digest=digest, size=size)


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise CandidateInvalid(f"files.{name}: no base64 ({error})") from error
