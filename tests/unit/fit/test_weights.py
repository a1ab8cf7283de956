"""Bytes of weights, from headers alone."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evalwindow.fit.errors import CantTell
from evalwindow.fit.flags import Flags
from evalwindow.fit.shape import read_shape
from evalwindow.fit.weights import INDEX, Weights, weights_of
from tests.unit.fit.models import write_model, write_tensors
from tests.unit.fit.shapes import DEEPSEEK_V3, LLAMA_8B

AUTO = Flags()


def read(folder: Path, *, dtype: str = "bfloat16", flags: Flags = AUTO) -> Weights:
    return weights_of(folder, read_shape(folder), flags=flags, dtype=dtype)


@pytest.fixture(scope="module", params=[False, True], ids=["own head", "tied"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A real model in several files, with its number of parameters."""
    folder = tmp_path_factory.mktemp("saved")
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=request.param,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder, max_shard_size="100KB")
    assert (folder / INDEX).is_file()
    return folder, sum(each.numel() for each in model.parameters())


@pytest.mark.parametrize("dtype, item", [("float32", 4), ("bfloat16", 2), ("half", 2)])
def test_a_saved_model_takes_its_parameters_in_the_format_that_it_is_loaded_in(
    saved: tuple[Path, int], dtype: str, item: int
) -> None:
    folder, parameters = saved
    weights = read(folder, dtype=dtype)
    assert (weights.bytes, weights.parameters) == (parameters * item, parameters)


def test_dummy_weights_are_computed_though_files_are_there(saved: tuple[Path, int]) -> None:
    folder, parameters = saved
    weights = read(folder, flags=Flags(load_format="dummy"))
    assert weights.bytes == parameters * 2
    assert "dummy weights, from config.json" in weights.how


def test_weights_that_are_not_there_are_computed_from_the_config(tmp_path: Path) -> None:
    weights = read(write_model(tmp_path, LLAMA_8B))
    assert weights.bytes == 8_030_261_248 * 2
    assert weights.how == "8.03 billion parameters x 2 bytes (bfloat16); no weights on this machine, from config.json"


def test_files_outside_the_index_are_not_loaded(tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": ("BF16", [10, 4])}
    write_model(tmp_path, LLAMA_8B, {"model.safetensors": tensors, "consolidated.safetensors": tensors})
    assert read(tmp_path).bytes == 160
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"model.embed_tokens.weight": "model.safetensors"}}))
    assert read(tmp_path).bytes == 80


def test_a_tied_head_buffers_and_the_layers_of_a_draft_are_not_loaded(tmp_path: Path) -> None:
    tensors = {
        "model.layers.60.norm.weight": ("BF16", [7]),
        "model.layers.61.norm.weight": ("BF16", [1000]),  # of the draft model, multi-token prediction
        "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [1000]),
        "lm_head.weight": ("BF16", [1000]),
    }
    write_model(tmp_path, {**DEEPSEEK_V3, "tie_word_embeddings": True}, {"model.safetensors": tensors})
    assert read(tmp_path).bytes == 14


def test_quantised_weights_take_what_their_files_say(tmp_path: Path) -> None:
    tensors = {"a.qweight": ("I32", [10, 8]), "a.scales": ("F16", [4]), "a.fp8": ("F8_E4M3", [5])}
    quantised = {**LLAMA_8B, "quantization_config": {"quant_method": "gptq"}}
    weights = read(write_model(tmp_path, quantised, {"model.safetensors": tensors}), dtype="float32")
    assert (weights.bytes, weights.parameters) == (320 + 8 + 5, None)
    assert "quantised (gptq)" in weights.how


def test_quantised_weights_that_are_not_there_can_not_be_told(tmp_path: Path) -> None:
    quantised = {**LLAMA_8B, "quantization_config": {"quant_method": "gptq"}}
    with pytest.raises(CantTell, match=r"quantised \(gptq\): their size is known from their files only"):
        read(write_model(tmp_path, quantised))


def test_a_file_that_is_no_safetensors_file_is_named(tmp_path: Path) -> None:
    write_model(tmp_path, LLAMA_8B)
    (tmp_path / "model.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CantTell, match=r"model\.safetensors: it is not a safetensors file"):
        read(tmp_path)


def test_a_file_that_the_index_names_and_nobody_has_is_named(tmp_path: Path) -> None:
    write_model(tmp_path, LLAMA_8B)
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"x": "model-00001.safetensors"}}))
    with pytest.raises(CantTell, match=r"model-00001\.safetensors"):
        read(tmp_path)


def test_headers_agree_with_torch(tmp_path: Path) -> None:
    """The oracle of the holes: torch's own number of bytes."""
    shape = [3, 5, 7]
    write_model(tmp_path, LLAMA_8B)
    write_tensors(tmp_path / "model.safetensors", {"x": ("BF16", shape)})
    assert read(tmp_path).bytes == torch.empty(shape, dtype=torch.bfloat16).nbytes == math.prod(shape) * 2
