"""What is read from a config.json, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalwindow.fit.errors import CantTell
from evalwindow.fit.shape import read_shape, shape_of
from tests.unit.fit.shapes import DEEPSEEK_V3, GEMMA2_9B, GEMMA3_1B, LLAMA_8B, MISTRAL_7B, QWEN2_7B


def test_an_unknown_architecture_is_named_with_those_that_are_known() -> None:
    with pytest.raises(CantTell, match=r"the architecture MambaForCausalLM is not known here; known: Deep.*Qwen3Moe"):
        shape_of({**LLAMA_8B, "architectures": ["MambaForCausalLM"]})


def test_a_config_without_an_architecture_is_named_by_its_type() -> None:
    with pytest.raises(CantTell, match="of type 'bert' is not known"):
        shape_of({"model_type": "bert"})


@pytest.mark.parametrize("value", [None, 0, -1, "many", 2.5, True])
def test_a_key_that_is_missing_or_no_number_is_named(value: Any) -> None:
    with pytest.raises(CantTell, match=r"config\.json: hidden_size is .*; a whole number above 0 is needed"):
        shape_of({**LLAMA_8B, "hidden_size": value})


def test_a_folder_without_a_config_and_one_that_is_no_json_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CantTell, match=r"there is no config\.json in "):
        read_shape(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CantTell, match="is no JSON"):
        read_shape(tmp_path)


def test_a_model_without_key_value_heads_has_one_for_each_head() -> None:
    assert shape_of({key: value for key, value in LLAMA_8B.items() if key != "num_key_value_heads"}).kv_heads == 32


@pytest.mark.parametrize(
    "rope, context",
    [
        (None, 8192),
        ({"rope_type": "llama3", "factor": 8.0}, 8192),
        ({"type": "yarn", "factor": 4.0}, 8192),
        ({"type": "linear", "factor": 4.0}, 32768),
        ({"rope_type": "dynamic", "factor": 2.0}, 16384),
    ],
)
def test_the_context_is_what_vllm_derives(rope: dict[str, Any] | None, context: int) -> None:
    assert shape_of({**LLAMA_8B, "rope_scaling": rope}).context == context


def test_a_long_rope_model_is_used_at_the_length_it_was_made_for() -> None:
    long = {"rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 4096}
    assert shape_of({**LLAMA_8B, "max_position_embeddings": 131072, **long}).context == 4096


@pytest.mark.parametrize(
    "config, windows",
    [
        (LLAMA_8B, [None] * 4),
        (MISTRAL_7B, [4096] * 4),
        (QWEN2_7B, [None] * 4),
        ({**QWEN2_7B, "use_sliding_window": True, "max_window_layers": 2}, [None, None, 131072, 131072]),
        (GEMMA2_9B, [4096, None, 4096, None]),
        (GEMMA3_1B, [512, 512, 512, 512, 512, None]),
        ({**GEMMA3_1B, "layer_types": ["full_attention", "sliding_attention"] * 13}, [None, 512]),
    ],
)
def test_layers_see_all_or_a_window(config: dict[str, Any], windows: list[int | None]) -> None:
    assert list(shape_of(config).windows[: len(windows)]) == windows


def test_a_latent_token_keeps_one_vector_a_layer() -> None:
    latent = shape_of(DEEPSEEK_V3).latent
    assert latent is not None and latent.kept == 512 + 64


def test_weights_that_are_stored_quantised_say_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA_8B, "quantization_config": {"quant_method": "awq"}}))
    assert read_shape(tmp_path).quantised == "awq"
