"""The sum of one engine: formulas, against published measurements and by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalwindow.config import Gpu, Lora, Pool
from evalwindow.fit.errors import CantTell
from evalwindow.fit.estimate import GIB
from evalwindow.fit.pools import PoolFit, Verdict, pool_fit
from tests.unit.fit.models import write_model
from tests.unit.fit.shapes import (
    DEEPSEEK_V3,
    GEMMA3_1B,
    LLAMA_8B,
    LLAMA_70B,
    MIXTRAL_8X7B,
    PUBLISHED,
    QWEN3_30B_A3B,
)


def fit(folder: Path, config: dict[str, Any], *, gpu_gib: float | None = 80, **fields: Any) -> PoolFit:
    defaults = {"model": str(write_model(folder, config)), "gpu": None if gpu_gib is None else "a100"}
    gpu = None if gpu_gib is None else Gpu(memory_gib=gpu_gib)
    return pool_fit("warm", Pool(**{**defaults, **fields}), gpu=gpu)


def line(found: PoolFit, what: str) -> int:
    return next(line.bytes for line in found.estimate.lines if line.what == what)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_token_takes_what_is_published(name: str, tmp_path: Path) -> None:
    config, _, kv_bytes = PUBLISHED[name]
    assert fit(tmp_path, config).estimate.kept.token_bytes == kv_bytes


def test_a_published_start_of_vllm_is_met_within_two_percent(tmp_path: Path) -> None:
    """Llama 3.1 8B under vLLM 0.31 on an A100 with all defaults, as its log was published:
    79.25 GiB, of which 72.91 GiB used: 15.26 GiB consumed, 1.44 for activations and graphs, 460,496 tokens."""
    found = fit(
        tmp_path,
        {**LLAMA_8B, "max_position_embeddings": 131072},
        gpu_gib=79.25,
        max_num_seqs=256,
        step_tokens=2048,
    )
    assert found.budget == pytest.approx(72.91 * GIB, rel=1e-3)
    assert found.estimate.bytes == pytest.approx((15.26 + 1.44) * GIB, rel=0.06)
    assert found.kv_tokens == pytest.approx(460_496, rel=0.02)
    assert found.kv_tokens is not None and found.kv_tokens < 460_496  # promises less, not more


@pytest.mark.parametrize(
    "arguments, token_bytes",
    [
        ([], 327_680),
        (["-tp", "4"], 81_920),
        (["-tp", "8"], 40_960),
        (["-tp", "16"], 40_960),  # more GPUs than key-value heads: each head is there twice
        (["-tp", "4", "--kv-cache-dtype", "fp8"], 40_960),
    ],
)
def test_gpus_share_the_key_value_heads(arguments: list[str], token_bytes: int, tmp_path: Path) -> None:
    found = fit(tmp_path, LLAMA_70B, arguments=arguments)
    assert found.estimate.kept.token_bytes == token_bytes
    assert line(found, "weights") == -(-70_553_706_496 * 2 // found.engine.flags.tensor_parallel)


def test_latent_attention_keeps_the_same_vector_on_every_gpu(tmp_path: Path) -> None:
    assert fit(tmp_path, DEEPSEEK_V3, arguments=["-tp", "8"]).estimate.kept.token_bytes == 61 * 576 * 2


@pytest.mark.parametrize(
    "dtype, stored, item",
    [("auto", "bfloat16", 2), ("auto", "float32", 2), ("float32", "bfloat16", 4), ("half", "bfloat16", 2)],
)
def test_the_format_is_the_one_that_vllm_computes_in(dtype: str, stored: str, item: int, tmp_path: Path) -> None:
    found = fit(tmp_path, {**LLAMA_8B, "torch_dtype": stored}, dtype=dtype)
    assert line(found, "weights") == 8_030_261_248 * item
    assert found.estimate.kept.token_bytes == 65_536 * item


@pytest.mark.parametrize("asked, message", [("int7", "dtype 'int7' is not known here; known: float16")])
def test_an_unknown_format_is_refused(asked: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CantTell, match=message):
        fit(tmp_path, LLAMA_8B, dtype=asked)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["-tp", "3"], "--tensor-parallel-size 3 does not divide 32 attention heads and 8 key-value heads"),
        (["-pp", "2"], "--pipeline-parallel-size changes what an engine takes, and is not counted"),
        (["--kv-cache-dtype", "nvfp4"], "--kv-cache-dtype nvfp4 is not counted here; counted: auto, float16"),
    ],
)
def test_what_is_not_counted_is_said(arguments: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(CantTell, match=message):
        fit(tmp_path, LLAMA_8B, arguments=arguments)


def test_more_context_than_the_model_was_made_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CantTell, match="max_model_len 9,000 is more than the 8,192 tokens"):
        fit(tmp_path, LLAMA_8B, max_model_len=9000)


def test_adapters_take_their_places_from_the_start(tmp_path: Path) -> None:
    """Rank 12 is served as 16; by hand, a layer: q, k, v share the input, and so do gate and up."""
    found = fit(tmp_path, LLAMA_8B, lora=Lora(max_adapters=4, max_rank=12))
    attention = (3 * 4096 + 4096 + 2 * 1024) + (4096 + 4096)
    network = (2 * 4096 + 2 * 14336) + (14336 + 4096)
    assert line(found, "LoRA places") == 4 * 32 * 16 * (attention + network) * 2
    some = fit(tmp_path, LLAMA_8B, lora=Lora(max_adapters=1, max_rank=16, modules=("q_proj",)))
    assert line(some, "LoRA places") == 32 * 16 * (3 * 4096 + 6144) * 2  # vLLM packs q, k and v


def test_adapters_of_experts_take_a_place_each(tmp_path: Path) -> None:
    found = fit(tmp_path, MIXTRAL_8X7B, lora=Lora(max_adapters=1, max_rank=8, modules=("down_proj",)))
    assert line(found, "LoRA places") == 32 * 8 * 8 * (14336 + 4096) * 2


def test_activations_are_of_a_step_or_of_the_logits_whichever_is_more(tmp_path: Path) -> None:
    step = fit(tmp_path, LLAMA_8B, step_tokens=16384, max_num_seqs=16)
    assert line(step, "activations") == int(16384 * (3 * 4096 + 3 * 14336) * 2 * 1.2)
    logits = fit(tmp_path, LLAMA_8B, step_tokens=512, max_num_seqs=512)
    assert line(logits, "activations") == int((512 * 128256 * 40 + 512 * 4096 * 2) * 1.2)


def test_experts_that_are_active_count(tmp_path: Path) -> None:
    """A token in 8 of 128 experts: gate, up, product and output of each."""
    found = fit(tmp_path, QWEN3_30B_A3B, step_tokens=16384, max_num_seqs=16)
    assert line(found, "activations") == int(16384 * (3 * 2048 + 8 * (3 * 768 + 2048)) * 2 * 1.2)


def test_eager_engines_have_no_graphs_and_lora_has_twice_as_many(tmp_path: Path) -> None:
    plain, lora = fit(tmp_path, LLAMA_8B), fit(tmp_path, LLAMA_8B, lora=Lora())
    assert line(lora, "CUDA graphs") == 2 * line(plain, "CUDA graphs")
    eager = fit(tmp_path, LLAMA_8B, arguments=["--enforce-eager"])
    assert "CUDA graphs" not in [each.what for each in eager.estimate.lines]


def test_a_step_is_as_long_as_vllms_default_for_the_size_of_the_gpu(tmp_path: Path) -> None:
    sizes = {24: 2048, 80: 8192, 180: 16384}
    assert {gib: fit(tmp_path, LLAMA_8B, gpu_gib=gib).engine.step_tokens for gib in sizes} == sizes
    unchunked = fit(tmp_path, LLAMA_8B, gpu_gib=24, arguments=["--no-enable-chunked-prefill"])
    assert unchunked.engine.step_tokens == 8192  # a prompt in one step
    assert fit(tmp_path, LLAMA_8B, max_num_seqs=2, max_model_len=64).engine.step_tokens == 128


def test_a_layer_with_a_window_keeps_the_window_and_a_step(tmp_path: Path) -> None:
    found = fit(tmp_path, GEMMA3_1B, step_tokens=1024)
    layer = 2 * 256 * 2  # bytes a token: one key-value head
    windowed = ((512 - 1 + 1024 + 15) // 16 + 1) * 16  # 22 layers; the other 4 keep all
    assert found.estimate.kept.sequence_bytes(32768) == layer * (4 * 32768 + 22 * windowed)
    assert found.estimate.kept.sequence_bytes(160) == layer * (4 * 160 + 22 * 176)


def test_the_longest_sequence_is_the_one_that_just_fits(tmp_path: Path) -> None:
    kept = fit(tmp_path, GEMMA3_1B, step_tokens=1024).estimate.kept
    room = kept.sequence_bytes(20000)
    assert kept.longest(room, most=32768) == 20000 // 16 * 16  # whole blocks
    assert kept.longest(room, most=1000) == 1000
    assert kept.longest(0, most=1000) == 0


@pytest.mark.parametrize(
    "gpu_gib, fields, verdict",
    [
        (80, {}, Verdict.FITS),
        (24, {}, Verdict.TIGHT),
        (16, {}, Verdict.TOO_LARGE),
        (80, {"memory_gib": 17.0}, Verdict.TOO_LARGE),
        (80, {"memory_gib": 18.0}, Verdict.TIGHT),
        (None, {}, Verdict.NO_GPU),
        (None, {"arguments": ["--kv-cache-memory-bytes", "1G"]}, Verdict.TIGHT),
        (None, {"arguments": ["--kv-cache-memory-bytes", "512M"]}, Verdict.TOO_LARGE),
        (24, {"arguments": ["--kv-cache-memory-bytes", "9G"]}, Verdict.TOO_LARGE),
        (80, {"arguments": ["--kv-cache-memory-bytes", "30G"]}, Verdict.FITS),
    ],
)
def test_the_verdict(gpu_gib: float | None, fields: dict[str, Any], verdict: Verdict, tmp_path: Path) -> None:
    assert fit(tmp_path, LLAMA_8B, gpu_gib=gpu_gib, **fields).verdict is verdict


def test_with_the_least_that_is_named_it_starts_and_with_less_it_does_not(tmp_path: Path) -> None:
    least = fit(tmp_path, LLAMA_8B).least_bytes
    enough = fit(tmp_path, LLAMA_8B, memory_gib=least / GIB)
    assert enough.verdict is not Verdict.TOO_LARGE
    assert enough.kv_tokens == 8192
    assert fit(tmp_path, LLAMA_8B, memory_gib=(least - 2**20) / GIB).verdict is Verdict.TOO_LARGE


def test_log_probabilities_of_prompts_are_beside_vllms_account(tmp_path: Path) -> None:
    """1,024 positions of 128,256 logits in 2 + 4 bytes, as far as the activations leave no room for them."""
    found = fit(tmp_path, LLAMA_8B, max_num_seqs=16, step_tokens=2048)
    assert found.estimate.beside == int(0.5 * GIB) + 1024 * 128256 * 6 - line(found, "activations")
    wide = fit(tmp_path, LLAMA_8B, max_num_seqs=512, step_tokens=2048)
    assert wide.estimate.beside == int(0.5 * GIB)
