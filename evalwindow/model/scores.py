"""What answers are worth: judged one by one, then counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evalwindow.model.asking import Completion


@dataclass(frozen=True, kw_only=True)
class Score:
    """One scorer's judgement of one completion. Unscored is not wrong."""

    value: float | None  # 0..1; None: unscored
    reason: str = ""  # why unscored, or why this value
    answer: str | None = None  # what the scorer extracted from the completion

    @classmethod
    def unscored(cls, reason: str) -> Score:
        return cls(value=None, reason=reason)


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    """The outcome of one (sample, epoch) of a run: exactly one is ever counted."""

    sample_id: str
    epoch: int
    scores: Mapping[str, Score]  # by scorer name
    completion: Completion | None = None
    error: str | None = None  # the engine's refusal, if there is no completion
    reask: bool = False  # an extra call of the smoke tripwire, kept out of the metrics
    latency_s: float = 0.0  # from sending to the answer, seconds
    removed_after_days: int | None = None  # how old the output got: completion.text was removed, scores stay
    quarantined: bool = False  # it was not asked, or its judge was not: that prompt has ended engines


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A mean with its uncertainty."""

    name: str
    value: float | None  # None: nothing was scored
    stderr: float | None = None
    n: int = 0  # samples that were scored
    unscored: int = 0  # results (sample x epoch) without a value, missing ones among them; for pass@k samples
    clusters: int | None = None  # stderr is clustered over this many; None: samples are independent


@dataclass(frozen=True, kw_only=True)
class SliceSummary:
    """Metrics of the samples that carry one tag ("all": every sample)."""

    slice: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run scored and cost."""

    slices: tuple[SliceSummary, ...]  # "all" first
    samples: int
    results: int  # samples x epochs that have a result
    unscored: int  # results with no value by the primary scorer
    cache_hits: int
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    gpu_s: float
    cost: float
    wall_s: float  # from the first claim to the last result
