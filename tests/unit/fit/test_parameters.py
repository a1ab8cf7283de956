"""Counts of parameters: against what makers publish, and against transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from evalwindow.fit.parameters import parameters_of
from evalwindow.fit.shape import read_shape, shape_of
from tests.unit.fit.shapes import PUBLISHED

SMALL: dict[str, Any] = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 176,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
ROUTED = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
LATENT = {
    "num_key_value_heads": 4,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 12,
    "n_routed_experts": 6,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 48,
    "first_k_dense_replace": 2,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_well_known_model_has_the_parameters_that_its_maker_counts(name: str) -> None:
    config, parameters, _ = PUBLISHED[name]
    assert parameters_of(shape_of(config)).total == parameters


@pytest.mark.parametrize(
    "kind, changes",
    [
        ("Llama", {}),
        ("Llama", {"tie_word_embeddings": True, "head_dim": 24, "attention_bias": True, "mlp_bias": True}),
        ("Llama", {"num_key_value_heads": 1}),
        ("Mistral", {"num_key_value_heads": 4}),
        ("Phi3", {"pad_token_id": 0}),
        ("Qwen2", {"tie_word_embeddings": True}),
        ("Qwen2", {"num_key_value_heads": 1}),
        ("Qwen3", {"head_dim": 32}),
        ("Qwen3", {"attention_bias": True}),
        ("Gemma", {}),
        ("Gemma2", {"head_dim": 32, "sliding_window": 16}),
        ("Gemma3Text", {"sliding_window": 16, "head_dim": 32}),
        ("Mixtral", {"num_local_experts": 3}),
        ("Qwen2Moe", {**ROUTED, "shared_expert_intermediate_size": 80}),
        ("Qwen2Moe", {**ROUTED, "shared_expert_intermediate_size": 80, "qkv_bias": False, "mlp_only_layers": [1]}),
        ("Qwen3Moe", {**ROUTED, "decoder_sparse_step": 2, "head_dim": 32}),
        ("DeepseekV2", {**LATENT, "q_lora_rank": None, "n_shared_experts": 2}),
        ("DeepseekV3", {**LATENT, "q_lora_rank": 24, "n_shared_experts": 1}),
    ],
)
def test_a_config_that_transformers_writes_counts_what_transformers_builds(
    kind: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **changes})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    config.architectures = [type(model).__name__]
    config.save_pretrained(tmp_path)
    shape = read_shape(tmp_path)
    assert parameters_of(shape).total == sum(each.numel() for each in model.parameters())
    assert shape.context == config.max_position_embeddings
    if not shape.latent:
        assert shape.kv_size == model.model.layers[0].self_attn.head_dim * config.num_key_value_heads
