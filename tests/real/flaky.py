"""An OpenAI-compatible API that is well, away or busy, as a test says; "say 7" is answered by "7"."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class Flaky:
    """`status`: what it answers; 0 cuts the connection. `asked`: every prompt that came, with what it was told."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str, int]] = []
        self.away_for = 0  # so many requests more
        self.url = ""

    def prompts(self, status: int | None = None) -> list[str]:
        return [prompt for prompt, told in self.asked if status in (None, told)]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        prompt = body["messages"][-1]["content"]
        status = self.status
        if self.away_for:
            self.away_for -= 1
            status = 503
        self.asked.append((prompt, status))
        if status == 0:
            assert request.transport is not None
            request.transport.close()
        if status != 200:
            return web.json_response({"error": {"message": "not now"}}, status=status or 503, headers=self.headers)
        return web.json_response(_answer(body["model"], '{"grade": "A"}' if "grade" in prompt else prompt))


def _answer(model: str, prompt: str) -> dict[str, Any]:
    text = prompt if prompt.startswith("{") else re.sub(r"\D", "", prompt)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": model, "choices": [choice], "usage": usage}


@asynccontextmanager
async def flaky() -> AsyncIterator[Flaky]:
    api, app = Flaky(), web.Application()
    app.router.add_post("/v1/chat/completions", api.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        yield api
    finally:
        await runner.cleanup()
