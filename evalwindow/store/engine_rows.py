"""What the store says of engines, their work and their rolling replacement."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

from evalwindow.model import EngineInfo


@dataclass(frozen=True, kw_only=True)
class LaneLoad:
    """Of one tier: what it waits for now, and what it had since the unit's start."""

    in_flight: int = 0  # prompts, now
    waiting: int = 0  # prompts, now
    prompts: int = 0  # answered
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt tokens
    output_tokens: int = 0
    gpu_s: float = 0.0  # its share of the engine's busy time


@dataclass(frozen=True, kw_only=True)
class EngineLoad:
    """What an engine does. None: nobody could say."""

    # since the unit's start, over all its engines
    busy_s: float = 0.0  # = gpu_s of all lanes + lost_s
    lost_s: float = 0.0  # for prompts that got no answer
    held_back_s: float = 0.0  # in which smoke kept regression from starting
    lanes: Mapping[str, LaneLoad] = field(default_factory=dict)  # by tier
    # since the engine's start
    preemptions: int | None = None
    prefix_queries: int | None = None  # tokens looked up in the prefix cache
    prefix_hits: int | None = None
    # now
    running: int | None = None
    waiting: int | None = None
    kv_usage: float | None = None  # 0..1
    adapters: tuple[str, ...] = ()  # LoRA adapters that are loaded
    # over the last interval
    interval_s: float | None = None
    busy_share: float | None = None  # 0..1
    prompt_tokens_s: float | None = None
    output_tokens_s: float | None = None
    preempted: int | None = None
    prefix_hit_rate: float | None = None  # 0..1


@dataclass(frozen=True, kw_only=True)
class RolloutStep:
    """One worker's turn."""

    worker: str
    state: str  # rolling, done, failed, lost: its worker was stopped or gave no sign of life
    model_digest: str | None  # that it serves since
    error: str | None
    started_at: dt.datetime
    ended_at: dt.datetime | None


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """Every engine of a pool is replaced by what evalwindow.yaml says, one after another."""

    id: str
    pool: str
    requested_by: str
    reason: str
    state: str  # requested, rolling, done, halted, superseded
    error: str | None  # why it was halted
    requested_at: dt.datetime
    ended_at: dt.datetime | None
    steps: tuple[RolloutStep, ...] = ()  # by their start

    @property
    def open(self) -> bool:
        return self.state in ("requested", "rolling")


@dataclass(frozen=True, kw_only=True)
class EngineRow:
    """The last sign of life of one engine."""

    pool: str
    worker: str
    info: EngineInfo | None  # None: it never got ready
    state: str
    seen_at: dt.datetime
    since: dt.datetime  # in this state, with this engine
    generation: int = 0  # of the worker's engines, from 1
    load: EngineLoad | None = None  # None: nothing was measured yet
