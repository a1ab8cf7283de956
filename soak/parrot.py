"""An OpenAI-compatible provider on this machine: "say 7" is answered by "7". It can be told to fail."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

HANG_S = 3600.0


@dataclass
class Parrot:
    """What it is told to do."""

    url: str = ""
    status: int = 200  # 0: it hangs
    pause_s: float = 0.02
    asked: int = 0


@contextmanager
def parrot_running() -> Iterator[Parrot]:
    """The provider on a free port of this machine, in a thread."""
    parrot = Parrot()

    async def complete(request: Request) -> JSONResponse:
        try:
            body = await request.json()
        except ClientDisconnect:  # who asked was killed
            return JSONResponse({}, 400)
        parrot.asked += 1
        await asyncio.sleep(parrot.pause_s if parrot.status else HANG_S)
        if parrot.status != 200:
            return JSONResponse({"error": {"message": "told to fail"}}, parrot.status or 503)  # it may hang by now
        return JSONResponse(_answer(body))

    app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        parrot.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield parrot
        finally:
            server.should_exit = True
            thread.join()


def _answer(body: dict[str, Any]) -> dict[str, Any]:
    text = re.sub(r"\D", "", json.dumps(body["messages"][-1]["content"]))
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    answer = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"]}
    return {**answer, "choices": [choice], "usage": usage}
