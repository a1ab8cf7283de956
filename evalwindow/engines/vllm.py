"""The warm engine: a pool's vLLM API server on this host."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from evalwindow.config import Config, WarmModel
from evalwindow.engines.adapters import digest_of_folder, read_folder
from evalwindow.engines.digests import local_model
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import read_record
from evalwindow.engines.residents import Artifact, Residents
from evalwindow.engines.retry import Backoff, patiently
from evalwindow.engines.vllm_choices import score_choices
from evalwindow.engines.vllm_http import EngineFault, UnknownModel, VllmHttp
from evalwindow.errors import BadInput, EngineDied, EngineRefused, EngineUnavailable
from evalwindow.model import Completion, CompletionRequest, EngineInfo, Usage

MS = 1e-3


class VllmEngine:
    """Answers for every model of evalwindow.yaml that is served by one pool.

    Base weights and adapters go to the same engine: an adapter is loaded when a prompt first asks for it. Requests
    carry their lane's priority. What is worth trying again (the engine restarts, drains or is too busy) is tried again
    within `backoff`; then EngineUnavailable. When the engine dies, all that are asking it raise EngineDied, also those
    that only waited.
    """

    def __init__(
        self, *, home: Path, pool: str, config: Config, artifact: Artifact, backoff: Backoff | None = None
    ) -> None:
        self._pool_name, self._pool, self._lanes = pool, config.pools[pool], config.lanes
        self._paths = EnginePaths(home=home.resolve(), pool=pool)
        self._http = VllmHttp(self._paths.socket)
        self._backoff = backoff or Backoff()
        models = {name: model for name, model in config.models.items() if isinstance(model, WarmModel)}
        self._folders = {name: model.adapter for name, model in models.items() if model.pool == pool}
        self._digests: dict[str, str] = {}
        self._deaths = 0
        self._residents = self._make_residents(artifact)

    async def info(self, model: str) -> EngineInfo:
        """Identity of the engine in use; details.adapter is set for a model that is itself an adapter."""
        record = read_record(self._paths.record)
        if record is None:
            raise EngineUnavailable(f"the engine of pool {self._pool_name!r} is not ready")
        adapter = self._adapter_of(model)
        if adapter is None:
            return record.info
        return replace(record.info, details={**record.info.details, "adapter": adapter})

    async def complete(self, request: CompletionRequest) -> Completion:
        deaths = self._deaths
        try:
            return await patiently(lambda: self._attempt(request, deaths=deaths), self._backoff)
        except EngineDied as error:
            if error.had:
                self._deaths += 1
            raise

    async def aclose(self) -> None:
        await self._http.aclose()

    async def _attempt(self, request: CompletionRequest, *, deaths: int) -> Completion:
        if deaths != self._deaths:
            raise EngineDied("the engine died while others asked it", had="")
        digest = request.adapter or self._adapter_of(request.model)
        async with self._served(digest) as name:
            try:
                return await self._ask(request, name=name)
            except UnknownModel as error:
                if digest is None or self._residents is None:
                    raise
                self._residents.forget(digest)  # a new engine: it knows no adapter yet
                raise EngineUnavailable(f"adapter {digest[:16]} is not loaded any more") from error

    @asynccontextmanager
    async def _served(self, digest: str | None) -> AsyncIterator[str]:
        async with AsyncExitStack() as stack:
            yield self._pool_name if digest is None else await self._loaded(digest, stack)

    async def _loaded(self, digest: str, stack: AsyncExitStack) -> str:
        if self._residents is None:
            raise EngineRefused(f"pool {self._pool_name!r} serves no LoRA adapters (set pools.{self._pool_name}.lora)")
        try:
            return await stack.enter_async_context(self._residents.use(digest))
        except EngineDied as error:
            error.had = "adapter"
            raise

    async def _ask(self, request: CompletionRequest, *, name: str) -> Completion:
        ask = self._choose if request.choices else self._generate
        return await ask(request, name=name)

    async def _generate(self, request: CompletionRequest, *, name: str) -> Completion:
        body = chat_body(request, model=name, priority=self._lanes.of(request.tier).priority)
        answer = await self._http.post("/v1/chat/completions", body)
        return completion_of(answer)

    async def _choose(self, request: CompletionRequest, *, name: str) -> Completion:
        priority = self._lanes.of(request.tier).priority
        scored = await score_choices(
            self._http, model=name, messages=request.messages, choices=request.choices, priority=priority
        )
        best = max(range(len(request.choices)), key=lambda index: scored.logprobs[index])
        return Completion(
            text=request.choices[best],
            choice_logprobs=scored.logprobs,
            choice_tokens=scored.tokens,
            usage=Usage(prompt_tokens=scored.prompt_tokens, engine_s=scored.engine_s),
        )

    def _adapter_of(self, model: str) -> str | None:
        """Digest of the adapter that a model of evalwindow.yaml is, or None for base weights."""
        if model not in self._folders:
            raise EngineRefused(f"pool {self._pool_name!r} does not serve model {model!r}")
        folder = self._folders[model]
        if folder is None:
            return None
        if model not in self._digests:
            self._digests[model] = _digest(folder, model=model)
        return self._digests[model]

    def _make_residents(self, artifact: Artifact) -> Residents | None:
        if self._pool.lora is None:
            return None
        return Residents(
            self._http,
            folder=self._paths.adapters,
            pool=self._pool_name,
            lora=self._pool.lora,
            base=local_model(self._pool),
            artifact=_local_first(artifact, folders=self._folders, digests=self._digests),
        )


def _digest(folder: Path, *, model: str) -> str:
    try:
        return digest_of_folder(folder)
    except BadInput as error:
        raise EngineRefused(f"models.{model}.adapter: {error}") from error


def chat_body(request: CompletionRequest, *, model: str, priority: int) -> dict[str, Any]:
    """The body of POST /v1/chat/completions."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
        "stop": list(sampling.stop),
        "priority": priority,
    }
    if request.schema is not None:
        schema = {"name": "output", "schema": dict(request.schema)}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def completion_of(answer: Any) -> Completion:
    """The first choice of a chat completion. Raises EngineFault for an answer that is none."""
    try:
        choice = answer["choices"][0]
        text, reason = choice["message"]["content"] or "", choice["finish_reason"] or "stop"
        if not isinstance(text, str) or not isinstance(reason, str):
            raise TypeError("its text is no text")
        return Completion(text=text, finish_reason=reason, usage=usage_of(answer))
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise EngineFault(f"the engine's answer can't be read ({type(error).__name__}: {error})") from error


def usage_of(answer: Mapping[str, Any]) -> Usage:
    """Tokens, and the engine's own times (metrics are in milliseconds, and null where they don't apply)."""
    usage, metrics = answer["usage"], answer.get("metrics") or {}
    details = usage.get("prompt_tokens_details") or {}
    first, rest = metrics.get("time_to_first_token_ms") or 0.0, metrics.get("generation_time_ms") or 0.0
    return Usage(
        prompt_tokens=int(usage["prompt_tokens"]),
        cached_tokens=int(details.get("cached_tokens") or 0),
        output_tokens=int(usage["completion_tokens"]),
        queue_s=float(metrics.get("queue_time_ms") or 0.0) * MS,
        engine_s=(float(first) + float(rest)) * MS,
    )


def _local_first(
    artifact: Artifact, *, folders: Mapping[str, Path | None], digests: Mapping[str, str]
) -> Callable[[str], Mapping[str, bytes]]:
    """Adapters of evalwindow.yaml come from their folder, all others from the store."""

    def files(digest: str) -> Mapping[str, bytes]:
        for name, known in digests.items():
            folder = folders[name]
            if known == digest and folder is not None:
                return read_folder(folder)
        return artifact(digest)

    return files
