"""What a run cost, and what a GPU job of its own would have cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalwindow.config import Pool
from evalwindow.model import EngineInfo, SampleResult, Summary


@dataclass(frozen=True, kw_only=True)
class CostView:
    """GPU-seconds and money (in the currency of the config's prices)."""

    gpu_s: float
    money: float  # of the GPU-seconds, plus what an API or a judge charged
    cold_gpu_s: float | None  # a job that loads the model itself pays this; None behind an API
    cold_money: float | None
    cache_hits: int

    @property
    def saved(self) -> float | None:
        """Share of the cold job's GPU-seconds that were not spent, 0..1."""
        return 1 - self.gpu_s / self.cold_gpu_s if self.cold_gpu_s else None


def cost_of(results: Sequence[SampleResult], *, pool: Pool | None, summary: Summary | None) -> CostView:
    """Of a concluded run its summary (judges included), before that what its results say so far."""
    gpu_s, charged, hits = _spent(results) if summary is None else (summary.gpu_s, summary.cost, summary.cache_hits)
    price = pool.gpu_price_per_hour / 3600 if pool else 0.0
    cold = pool.cold_start_s + gpu_s if pool else None
    return CostView(
        gpu_s=gpu_s,
        money=gpu_s * price + charged,
        cold_gpu_s=cold,
        cold_money=None if cold is None else cold * price + charged,
        cache_hits=hits,
    )


def prefix_hit_rate(summary: Summary | None, engines: Sequence[EngineInfo]) -> float | None:
    """Share of the prompt tokens that the engine had in its prefix cache, 0..1; None where no engine told it.

    A warm engine always tells; of an API only more than none is believed.
    """
    if summary is None or not summary.prompt_tokens:
        return None
    told = summary.cached_tokens or any(engine.engine == "vllm" for engine in engines)
    return summary.cached_tokens / summary.prompt_tokens if told else None


def _spent(results: Sequence[SampleResult]) -> tuple[float, float, int]:
    answered = [result.completion for result in results if result.completion is not None]
    gpu_s = sum(completion.usage.gpu_s for completion in answered)
    charged = sum(completion.usage.cost for completion in answered)
    return gpu_s, charged, sum(completion.cached for completion in answered)
