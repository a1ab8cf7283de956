"""Any OpenAI-compatible URL as an engine."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import math
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from evalwindow.config import ApiModel, Config
from evalwindow.engines.chat_answer import ChatAnswer, Choice, read_answer
from evalwindow.engines.concurrency import AdaptiveLimit
from evalwindow.engines.retry import Backoff, RetryLater, patiently
from evalwindow.errors import ConfigInvalid, EngineRefused, EngineUnavailable
from evalwindow.model import Completion, CompletionRequest, EngineInfo, Usage

TOP_LOGPROBS = 20  # the most that the API gives
PER_MILLION = 1e-6
LONGEST_QUOTE = 300
SHORTEST_KEY = 6  # characters; a shorter one is no secret, and may be a part of any word
TRANSIENT = (408, 409, 425)
Refused = TypeVar("Refused", bound=EngineRefused | EngineUnavailable)


class OpenAIEngine:
    """Answers for the ApiModels of evalwindow.yaml; one client a model, made at its first prompt.

    Throttling, faults and timeouts are tried again within `backoff`, honouring Retry-After; a model's concurrency
    adapts to what its API bears. Keys come from `environ`: ConfigInvalid names a variable that is missing.
    """

    def __init__(self, *, config: Config, environ: Mapping[str, str], backoff: Backoff | None = None) -> None:
        self._config, self._environ = config, environ
        self._backoff = backoff or Backoff(base_s=0.5, cap_s=20.0, patience_s=90.0)
        self._apis: dict[str, _Api] = {}

    async def info(self, model: str) -> EngineInfo:
        settings = self._settings(model)
        return EngineInfo(
            engine="openai",
            version=importlib.metadata.version("openai"),
            model_digest=settings.model,
            max_model_len=settings.context,
            details={"base_url": settings.base_url},
        )

    async def complete(self, request: CompletionRequest) -> Completion:
        if request.adapter is not None:
            raise EngineRefused(f"model {request.model!r} is behind an API, which takes no LoRA adapter")
        api = self._api(request.model)
        return await patiently(lambda: api.attempt(request), self._backoff)

    async def aclose(self) -> None:
        for api in self._apis.values():
            await api.client.close()

    def _api(self, model: str) -> _Api:
        if model not in self._apis:
            self._apis[model] = _Api(model, self._settings(model), environ=self._environ)
        return self._apis[model]

    def _settings(self, model: str) -> ApiModel:
        settings = self._config.models.get(model)
        if not isinstance(settings, ApiModel):
            raise EngineRefused(f"model {model!r} is not an API model of evalwindow.yaml")
        return settings


class _Api:
    """One model behind one URL."""

    def __init__(self, name: str, settings: ApiModel, *, environ: Mapping[str, str]) -> None:
        self.name, self.settings = name, settings
        self.limit = AdaptiveLimit(settings.max_concurrency)
        self._key = _key(name, settings, environ=environ)
        self.client = AsyncOpenAI(
            base_url=settings.base_url,
            api_key=self._key,
            timeout=settings.timeout_s,
            max_retries=0,  # retries are ours, so that the concurrency learns from each refusal
            http_client=DefaultAsyncHttpxClient(follow_redirects=False),  # evalwindow.yaml says where prompts go
        )

    async def attempt(self, request: CompletionRequest) -> Completion:
        body = choice_body(request) if request.choices else chat_body(request)
        async with self.limit.slot() as ticket:
            try:
                raw = await self.client.chat.completions.with_raw_response.create(model=self.settings.model, **body)
            except openai.RateLimitError as error:
                self.limit.throttled(ticket)
                raise self._without_key(_later(self.name, error)) from error
            except openai.OpenAIError as error:
                raise self._without_key(_failure(self.name, error)) from error
            self.limit.succeeded()
        return self._completion(read_answer(raw.text, model=self.name), request=request)

    def _without_key(self, error: Refused) -> Refused:
        """Some servers quote the key that they refuse; what they say goes into reports."""
        if len(self._key) >= SHORTEST_KEY:
            error.args = tuple(str(word).replace(self._key, "(the key)") for word in error.args)
        return error

    def _completion(self, answer: ChatAnswer, *, request: CompletionRequest) -> Completion:
        assert answer.choices
        choice, usage = answer.choices[0], self._usage(answer)
        if request.choices:
            return _chosen(choice, request=request, usage=usage)
        return Completion(text=choice.text, finish_reason=choice.finish_reason or "stop", usage=usage)

    def _usage(self, answer: ChatAnswer) -> Usage:
        used = answer.usage
        if used is None:
            return Usage()
        details, settings = used.prompt_tokens_details, self.settings
        cost = used.prompt_tokens * settings.price_input + used.completion_tokens * settings.price_output
        return Usage(
            prompt_tokens=used.prompt_tokens,
            cached_tokens=(details.cached_tokens if details else None) or 0,
            output_tokens=used.completion_tokens,
            cost=cost * PER_MILLION,
        )


def chat_body(request: CompletionRequest) -> dict[str, Any]:
    """The body of a chat completion, without the model."""
    sampling = request.sampling
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": sampling.seed,
    }
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.schema is not None:
        schema = {"name": "output", "schema": dict(request.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def choice_body(request: CompletionRequest) -> dict[str, Any]:
    """Asks for one token and its likeliest alternatives: all that a chat API tells of a choice's likelihood."""
    return chat_body(request) | {"max_tokens": 1, "logprobs": True, "top_logprobs": TOP_LOGPROBS}


def _chosen(answer: Choice, *, request: CompletionRequest, usage: Usage) -> Completion:
    """Choices by the first token's alternatives. Raises EngineRefused for a choice that is not among them."""
    known_tokens = {top.token: top.logprob for top in answer.first}
    likelihoods = [_likelihood(choice, known_tokens) for choice in request.choices]
    for choice, likelihood in zip(request.choices, likelihoods, strict=True):
        if likelihood is None:
            raise EngineRefused(
                f"model {request.model!r} told no log-probability of choice {choice!r}: an API tells those of the "
                f"{TOP_LOGPROBS} likeliest first tokens; use letters as choices, or a warm model"
            )
    known = tuple(likelihood for likelihood in likelihoods if likelihood is not None)
    best = request.choices[known.index(max(known))]
    return Completion(text=best, choice_logprobs=known, choice_tokens=(1,) * len(known), usage=usage)


def _likelihood(choice: str, alternatives: Mapping[str, float]) -> float | None:
    """Log of the summed probability of the tokens that are this choice, with or without spaces around it."""
    found = [logprob for token, logprob in alternatives.items() if token.strip() == choice.strip()]
    if not found:
        return None
    top = max(found)
    return top + math.log(math.fsum(math.exp(logprob - top) for logprob in found))


def _key(name: str, settings: ApiModel, *, environ: Mapping[str, str]) -> str:
    if settings.api_key_env is None:
        return "none"  # the client insists on a key; a server without keys ignores it
    if not environ.get(settings.api_key_env):
        raise ConfigInvalid(f"models.{name}.api_key_env: environment variable {settings.api_key_env} is not set here")
    return environ[settings.api_key_env]


def _failure(name: str, error: openai.OpenAIError) -> EngineRefused | EngineUnavailable:
    """What an error of the client means for a prompt."""
    if not isinstance(error, openai.APIStatusError):
        return EngineUnavailable(f"model {name!r}: {type(error).__name__}: {_short(str(error))}")
    if error.status_code >= 500 or error.status_code in TRANSIENT:
        return _later(name, error)
    return EngineRefused(f"model {name!r}: the API answered {error.status_code}: {_short(_words(error))}")


def _later(name: str, error: openai.APIStatusError) -> RetryLater:
    message = f"model {name!r}: the API answered {error.status_code}: {_short(_words(error))}"
    return RetryLater(message, after_s=retry_after(error.response.headers))


def retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds that a server asks us to wait: Retry-After as a number or as a date; None without a readable one."""
    value = headers.get("retry-after", "")
    if value.isdecimal():
        return float(value)
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until - dt.datetime.now(dt.UTC)).total_seconds())


def _words(error: openai.APIStatusError) -> str:
    body = error.body
    return str(body.get("message") or body) if isinstance(body, dict) else error.message


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"
