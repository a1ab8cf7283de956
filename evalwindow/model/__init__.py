"""The shared types: frozen, keyword-only, no behaviour beyond what derives from their fields."""

from __future__ import annotations

from evalwindow.model.asking import (
    Candidate,
    Completion,
    CompletionRequest,
    EngineInfo,
    Message,
    Sample,
    Sampling,
    Source,
    Usage,
)
from evalwindow.model.scores import Metric, SampleResult, Score, SliceSummary, Summary
from evalwindow.model.states import Answer, EntryState, Purpose, RunState, ShardState, Tier
from evalwindow.model.verdict import Check, NoiseFloor, NoiseRates, Verdict

__all__ = [
    "Tier",
    "RunState",
    "ShardState",
    "Purpose",
    "EntryState",
    "Answer",
    "Message",
    "Sampling",
    "Sample",
    "Candidate",
    "Source",
    "CompletionRequest",
    "Usage",
    "Completion",
    "EngineInfo",
    "Score",
    "SampleResult",
    "Metric",
    "SliceSummary",
    "Summary",
    "Check",
    "NoiseRates",
    "NoiseFloor",
    "Verdict",
]
