"""Is this engine the one that we want, and does it answer rightly? Asked before the first prompt reaches it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from evalwindow.config import Canary, Lanes, Pool
from evalwindow.engines.vllm import chat_body
from evalwindow.engines.vllm_calibrate import calibrate
from evalwindow.engines.vllm_choices import score_choices
from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.errors import EngineRefused, EngineUnavailable
from evalwindow.lanes.calibration import Calibration
from evalwindow.model import CompletionRequest, Message, Sampling

log = logging.getLogger(__name__)

FIRST = -1_000_000  # vLLM's priority: lower runs first


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the server tells of itself."""

    version: str
    max_model_len: int


class EngineProbe:
    """A conversation with one engine, on its own socket."""

    def __init__(self, socket: Path, *, name: str) -> None:
        self._http = VllmHttp(socket)
        self._name = name

    async def __aenter__(self) -> EngineProbe:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def healthy(self) -> bool:
        try:
            await self._http.get("/health")
        except (EngineUnavailable, EngineRefused):
            return False
        return True

    async def beat(self) -> None:
        """One token, before all others. Raises EngineUnavailable or EngineRefused; one that hangs never answers."""
        await self._answer((Message(role="user", content="Are you there?"),), max_tokens=1, priority=FIRST)

    async def facts(self) -> Facts:
        version = await self._http.get("/version")
        models = await self._http.get("/v1/models")
        return Facts(version=version["version"], max_model_len=models["data"][0]["max_model_len"])

    async def warm_up(self) -> None:
        """The first answer of each kind costs up to seconds (kernels, a tokenizer's grammar): nobody's prompt pays."""
        messages = (Message(role="user", content="warm up"),)
        await self._answer(messages, max_tokens=4)
        await score_choices(self._http, model=self._name, messages=messages, choices=("yes", "no"), priority=0)
        try:
            await self._answer(messages, max_tokens=4, schema={"type": "boolean"})
        except EngineRefused as error:
            log.warning("the engine of %s takes no JSON schema: %s", self._name, error)

    async def check(self, canary: Canary | None) -> None:
        """Raises EngineUnavailable with both texts when the answer is another than the expected one."""
        if canary is None:
            return
        answer = await self._answer((Message(role="user", content=canary.prompt),), max_tokens=canary.max_tokens)
        if answer.strip() != canary.expect.strip():
            raise EngineUnavailable(
                f"wrong answer to the canary {canary.prompt!r}: expected {canary.expect!r}, got {answer!r}; "
                "these are other weights than pools.<name>.canary was written for, or they were loaded wrongly"
            )

    async def calibrate(self, *, pool: Pool, lanes: Lanes, context: int) -> Calibration | None:
        """What its steps cost; None where the pool wants no measurement or the engine can't be measured."""
        if not pool.calibrate:
            return None
        return await calibrate(self._http, name=self._name, pool=pool, lanes=lanes, context=context)

    async def _answer(
        self,
        messages: tuple[Message, ...],
        *,
        max_tokens: int,
        schema: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> str:
        request = CompletionRequest(
            model=self._name, messages=messages, sampling=Sampling(max_tokens=max_tokens), schema=schema
        )
        answer = await self._http.post("/v1/chat/completions", chat_body(request, model=self._name, priority=priority))
        return str(answer["choices"][0]["message"]["content"] or "")
