"""What an engine's /metrics means. That vLLM writes it so is shown with a real engine, in tests/real."""

from __future__ import annotations

import pytest

from evalwindow.engines.vllm_metrics import MetricsMissing, figures_of

TEXT = """\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="warm"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="warm"} 2.0
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="warm"} 0.25
# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{block_size="128",engine="0",kv_cache_size_tokens="65000",num_gpu_blocks="512"} 1.0
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{engine="0",model_name="warm"} 4.0
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0",model_name="warm"} 1.0e+03
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0",model_name="warm"} 640.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="warm"} 1200.0
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="warm"} 90.0
# TYPE vllm:iteration_tokens_total histogram
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="warm"} 11.0
vllm:iteration_tokens_total_bucket{engine="0",le="+Inf",model_name="warm"} 12.0
vllm:iteration_tokens_total_count{engine="0",model_name="warm"} 12.0
vllm:iteration_tokens_total_sum{engine="0",model_name="warm"} 650.0
# TYPE vllm:inter_token_latency_seconds histogram
vllm:inter_token_latency_seconds_bucket{engine="0",le="+Inf",model_name="warm"} 80.0
vllm:inter_token_latency_seconds_count{engine="0",model_name="warm"} 80.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="warm"} 0.5
# TYPE vllm:request_inference_time_seconds histogram
vllm:request_inference_time_seconds_bucket{engine="0",le="+Inf",model_name="warm"} 10.0
vllm:request_inference_time_seconds_count{engine="0",model_name="warm"} 10.0
vllm:request_inference_time_seconds_sum{engine="0",model_name="warm"} 1.5
# TYPE http_requests_total counter
http_requests_total{handler="/v1/unload_lora_adapter",method="POST",status="2xx"} 7.0
http_requests_total{handler="/v1/unload_lora_adapter",method="POST",status="4xx"} 1.0
http_requests_total{handler="/v1/models",method="GET",status="2xx"} 30.0
"""


def test_figures_are_read_by_their_names() -> None:
    figures = figures_of(TEXT)
    assert (figures.running, figures.waiting, figures.kv_usage, figures.kv_tokens) == (3, 2, 0.25, 65000)
    assert (figures.prefix_queries, figures.prefix_hits, figures.preemptions) == (1000, 640, 4)
    assert (figures.prompt_tokens, figures.generation_tokens) == (1200, 90)
    assert (figures.steps, figures.gaps, figures.gaps_s) == (12, 80, 0.5)
    assert figures.running_s == 1.5


def test_only_calls_that_went_well_count_and_none_is_none() -> None:
    assert figures_of(TEXT).adapter_evictions == 7
    nobody_called = TEXT.replace("/v1/unload_lora_adapter", "/v1/chat/completions")
    assert figures_of(nobody_called).adapter_evictions == 0


def test_data_parallel_parts_are_added_up_and_their_cache_usage_is_a_mean() -> None:
    second = 'vllm:kv_cache_usage_perc{engine="1",model_name="warm"} 0.75\n# TYPE vllm:cache_config_info gauge\n'
    other = 'vllm:cache_config_info{block_size="128",engine="1",kv_cache_size_tokens="5000"} 1.0\n'
    text = TEXT.replace("# TYPE vllm:cache_config_info gauge\n", second + other)
    figures = figures_of(text)
    assert (figures.kv_usage, figures.kv_tokens) == (0.5, 70000)


def test_an_engine_that_tells_only_blocks_has_their_tokens() -> None:
    assert figures_of(TEXT.replace('kv_cache_size_tokens="65000",', "")).kv_tokens == 512 * 128


def test_a_cache_without_bound_has_no_tokens() -> None:
    text = TEXT.replace('"65000"', '"None"').replace('num_gpu_blocks="512"', 'num_gpu_blocks="None"')
    assert figures_of(text).kv_tokens is None


@pytest.mark.parametrize(
    "name",
    [
        "vllm:num_requests_running",
        "vllm:kv_cache_usage_perc",
        "vllm:prefix_cache_hits_total",
        "vllm:iteration_tokens_total_count",
        "http_requests_total",
    ],
)
def test_what_the_engine_does_not_tell_is_an_error_and_no_zero(name: str) -> None:
    text = "\n".join(line for line in TEXT.splitlines() if name not in line) + "\n"
    with pytest.raises(MetricsMissing, match=f"lacks '{name}'"):
        figures_of(text)
