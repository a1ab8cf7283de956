"""What an engine's /metrics says: what it does now, and what it did since its start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from evalwindow.engines.vllm_http import VllmHttp
from evalwindow.errors import EngineRefused

UNLOADED = "/v1/unload_lora_adapter"  # vLLM counts these calls, but none whose path has "/load" in it


class MetricsMissing(EngineRefused):
    """The engine's /metrics lacks {name!r}; this vLLM is another than the one this was written for, or it runs with --disable-log-stats"""  # noqa: E501  the docstring is the message


@dataclass(frozen=True, kw_only=True)
class EngineFigures:
    """Of one engine. Counts are since its start, its own warm-up and calibration among them.

    vLLM knows no busy seconds: `running_s` adds up all finished requests' time from being scheduled to the last token,
    so that two at once count twice.
    """

    running: int  # requests, now
    waiting: int
    kv_usage: float  # 0..1, now
    kv_tokens: int | None  # what the KV cache holds; None: it has no bound
    preemptions: int
    prefix_queries: int  # prompt tokens looked up in the prefix cache
    prefix_hits: int
    prompt_tokens: int
    generation_tokens: int
    steps: int  # that gave a request something
    gaps: int  # between two tokens of one request
    gaps_s: float  # seconds of them all
    running_s: float
    adapter_evictions: int  # of LoRA adapters; with those that are resident now: how many were loaded


async def read_figures(http: VllmHttp) -> EngineFigures:
    """Raises EngineUnavailable when the engine is away, MetricsMissing when it doesn't tell what it should."""
    return figures_of(str(await http.get("/metrics")))


def figures_of(text: str) -> EngineFigures:
    """From Prometheus' text format; raises MetricsMissing."""
    families = {family.name: family for family in text_string_to_metric_families(_without_buckets(text))}
    return EngineFigures(
        running=int(_total(families, "vllm:num_requests_running")),
        waiting=int(_total(families, "vllm:num_requests_waiting")),
        kv_usage=_mean(families, "vllm:kv_cache_usage_perc"),
        kv_tokens=_kv_tokens(families),
        preemptions=int(_total(families, "vllm:num_preemptions", "_total")),
        prefix_queries=int(_total(families, "vllm:prefix_cache_queries", "_total")),
        prefix_hits=int(_total(families, "vllm:prefix_cache_hits", "_total")),
        prompt_tokens=int(_total(families, "vllm:prompt_tokens", "_total")),
        generation_tokens=int(_total(families, "vllm:generation_tokens", "_total")),
        steps=int(_total(families, "vllm:iteration_tokens_total", "_count")),
        gaps=int(_total(families, "vllm:inter_token_latency_seconds", "_count")),
        gaps_s=_total(families, "vllm:inter_token_latency_seconds", "_sum"),
        running_s=_total(families, "vllm:request_inference_time_seconds", "_sum"),
        adapter_evictions=_calls(families, UNLOADED),
    )


def _without_buckets(text: str) -> str:
    """Most lines are buckets of histograms, which nobody here asks for: parsing them took most of the time."""
    return "".join(line for line in text.splitlines(keepends=True) if "_bucket{" not in line)


def _total(families: Mapping[str, Metric], name: str, suffix: str = "") -> float:
    """Over all that have this name: an engine with several data-parallel parts says it of each."""
    return sum(sample.value for sample in _samples(families, name, suffix))


def _mean(families: Mapping[str, Metric], name: str) -> float:
    values = [sample.value for sample in _samples(families, name)]
    return sum(values) / len(values)


def _samples(families: Mapping[str, Metric], name: str, suffix: str = "") -> list[Sample]:
    family = families.get(name)
    found = [sample for sample in _of(family) if sample.name == name + suffix]
    if not found:
        raise MetricsMissing(name=name + suffix)
    return found


def _of(family: Metric | None) -> Iterable[Sample]:
    return family.samples if family else ()


def _kv_tokens(families: Mapping[str, Metric]) -> int | None:
    sizes = [_size(sample.labels) for sample in _samples(families, "vllm:cache_config_info")]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _size(labels: Mapping[str, str]) -> int | None:
    """Tokens; an older vLLM tells only blocks and their size."""
    told = [labels.get("kv_cache_size_tokens", "")], [labels.get("num_gpu_blocks", ""), labels.get("block_size", "")]
    return next((prod(map(int, numbers)) for numbers in told if all(map(str.isdigit, numbers))), None)


def _calls(families: Mapping[str, Metric], handler: str) -> int:
    """Calls that went well. What nobody called yet has no sample: that is none."""
    if "http_requests" not in families:
        raise MetricsMissing(name="http_requests_total")
    wanted = {"handler": handler, "status": "2xx"}.items()
    return int(sum(sample.value for sample in families["http_requests"].samples if wanted <= sample.labels.items()))
