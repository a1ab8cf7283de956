"""Multiple choice by log-likelihood: how likely is each continuation of the chat, according to the model?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.errors import EngineRefused
from evalwindow.model import Message


@dataclass(frozen=True, kw_only=True)
class ScoredChoices:
    """Summed log-likelihoods in nats, and how many tokens each sum has."""

    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    prompt_tokens: int  # of all sequences together
    engine_s: float  # of the one request that holds them all


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """The chat with each choice behind it, as token ids."""

    rows: tuple[tuple[int, ...], ...]
    start: int  # the choices' first token; before it all rows are alike


async def score_choices(
    http: VllmHttp, *, model: str, messages: Sequence[Message], choices: Sequence[str], priority: int
) -> ScoredChoices:
    """Log-likelihood of each choice as the assistant's answer. One request to the engine holds all choices."""
    sequences = await tokenise(http, model=model, messages=messages, choices=choices)
    body = {
        "model": model,
        "prompt": [list(row) for row in sequences.rows],
        "max_tokens": 0,
        "echo": True,
        "logprobs": 0,
        "priority": priority,
    }
    started = time.perf_counter()
    answer = await http.post("/v1/completions", body)
    engine_s = time.perf_counter() - started
    scored = [choice["logprobs"]["token_logprobs"][sequences.start :] for choice in _in_order(answer)]
    return ScoredChoices(
        logprobs=tuple(sum(row) for row in scored),
        tokens=tuple(len(row) for row in scored),
        prompt_tokens=int(answer["usage"]["prompt_tokens"]),
        engine_s=engine_s,
    )


async def tokenise(http: VllmHttp, *, model: str, messages: Sequence[Message], choices: Sequence[str]) -> Sequences:
    """Token ids of the chat prompt followed by each choice.

    A choice is tokenised together with the prompt's text, because a tokeniser may merge over the boundary. The sums
    then start where the rows part from the prompt, at the same token for every choice: each is conditioned on the same
    prefix, and merged tokens are counted in full.
    """
    chat = [{"role": message.role, "content": message.content} for message in messages]
    prompt: list[int] = (await http.post("/tokenize", {"model": model, "messages": chat}))["tokens"]
    text: str = (await http.post("/detokenize", {"model": model, "tokens": prompt}))["prompt"]
    rows = await asyncio.gather(*(_tokens(http, model=model, text=text + choice) for choice in choices))
    start = min(_shared(prompt, row) for row in rows)
    for choice, row in zip(choices, rows, strict=True):
        if start == 0 or len(row) <= start:
            raise EngineRefused(f"choice {choice!r} has no tokens of its own behind this prompt; it can't be scored")
    return Sequences(rows=tuple(tuple(row) for row in rows), start=start)


async def _tokens(http: VllmHttp, *, model: str, text: str) -> list[int]:
    answer = await http.post("/tokenize", {"model": model, "prompt": text, "add_special_tokens": False})
    tokens: list[int] = answer["tokens"]
    return tokens


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common prefix."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (left, right) in pairs if left != right), min(len(one), len(other)))


def _in_order(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The answer's choices in the order of the prompts."""
    return sorted(answer["choices"], key=lambda choice: int(choice["index"]))
