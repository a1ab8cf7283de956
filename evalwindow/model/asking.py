"""What is asked, what is to answer, and what it answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evalwindow.model.states import Tier


@dataclass(frozen=True, kw_only=True)
class Message:
    """One chat turn."""

    role: str  # system, user or assistant
    content: str


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Decoding parameters, in the words of the OpenAI API."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 64
    seed: int = 0  # epoch e of a sample uses seed + e
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One line of a dataset, after the suite's column mapping."""

    id: str  # unique in its dataset
    input: str  # what the template calls {{ input }}
    target: Any = None  # str, number, list or object: what the scorer compares with
    choices: tuple[str, ...] = ()  # for multiple choice by log-likelihood
    slices: tuple[str, ...] = ()  # tags that the gate may judge on their own
    must_pass: bool = False  # a smoke tripwire
    cluster: str | None = None  # samples that share a document or a template
    fields: Mapping[str, Any] = field(default_factory=dict)  # every column, for templates and scorers


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What a run evaluates. All of it is data; what is None falls back to the suite."""

    model: str  # a name in evalwindow.yaml
    adapter: str | None = None  # sha256 of a stored LoRA adapter (store.artifacts)
    system: str | None = None  # replaces the suite's system prompt
    template: str | None = None  # replaces the suite's user template (Jinja2, sandboxed)
    sampling: Mapping[str, Any] = field(default_factory=dict)  # overrides of Sampling's fields


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a run comes from. Everything is None for a run started by hand."""

    repo: str | None = None  # owner/name
    pull_request: int | None = None
    head_sha: str | None = None
    branch: str | None = None  # target branch: selects the baseline
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class CompletionRequest:
    """One prompt for an engine."""

    model: str  # name in evalwindow.yaml
    adapter: str | None = None  # sha256, as in Candidate
    messages: tuple[Message, ...]
    sampling: Sampling
    choices: tuple[str, ...] = ()  # not empty: score these continuations instead of generating
    schema: Mapping[str, Any] | None = None  # JSON schema that the output must follow (guided decoding)
    tier: Tier = Tier.REGRESSION
    sample_id: str = ""
    epoch: int = 0


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What one completion cost."""

    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt tokens, found in the prefix cache
    output_tokens: int = 0
    queue_s: float = 0.0  # seconds waiting inside the engine
    engine_s: float = 0.0  # seconds from being scheduled to the last token
    gpu_s: float = 0.0  # this prompt's share of the engine's busy seconds; 0 from an API or a cache
    cost: float = 0.0  # money, where the model has a price a token


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One answer of an engine."""

    text: str
    finish_reason: str = "stop"  # stop or length
    choice_logprobs: tuple[float, ...] = ()  # summed log-likelihood of each choice, nats
    choice_tokens: tuple[int, ...] = ()  # tokens of each choice, for length normalisation
    usage: Usage = Usage()
    cached: bool = False  # answered by the result cache


@dataclass(frozen=True, kw_only=True)
class EngineInfo:
    """What answers: goes into every provenance record."""

    engine: str  # vllm, openai or replay
    version: str
    model_digest: str  # content digest of weights and tokenizer, or the API's model name
    dtype: str = ""
    chat_template_digest: str = ""
    max_model_len: int | None = None  # tokens
    max_num_seqs: int | None = None  # concurrent sequences
    details: Mapping[str, Any] = field(default_factory=dict)
