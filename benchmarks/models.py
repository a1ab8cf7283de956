"""Random models: *mid*, slow enough that the engine sets the pace, and the shape of Llama 3 8B without weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HIDDEN, LAYERS, HEADS, INNER = 512, 12, 8, 1408

#: Llama 3.1 8B: 8.03 B parameters. The vocabulary is that model's, far above our tokenizer's: the last layer and the
#: choice of a token cost what they would cost. Ids above our tokenizer's have no text.
LLAMA_8B: Mapping[str, Any] = {
    "vocab_size": 128_256,
    "hidden_size": 4096,
    "intermediate_size": 14_336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131_072,
    "rms_norm_eps": 1e-5,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def write_mid_model(folder: Path, *, tokenizer: Path) -> Path:
    """39 M parameters, the same on every call, with the demo model's tokenizer and chat template."""
    import torch
    from transformers import LlamaForCausalLM

    if (folder / "config.json").exists():
        return folder
    torch.manual_seed(7)
    shape = {
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 4096,
    }
    LlamaForCausalLM(_config(shape, tokenizer=tokenizer)).save_pretrained(folder)
    _copy_tokenizer(tokenizer, folder)
    return folder


def write_shape(folder: Path, *, tokenizer: Path, shape: Mapping[str, Any] = LLAMA_8B, dtype: str = "bfloat16") -> Path:
    """A config and a tokenizer without weights: for `--load-format dummy`, which makes them up on the device."""
    config = _config(shape, tokenizer=tokenizer)
    config.architectures = ["LlamaForCausalLM"]
    config.dtype = dtype
    config.save_pretrained(folder)
    _copy_tokenizer(tokenizer, folder)
    return folder


def _config(shape: Mapping[str, Any], *, tokenizer: Path) -> Any:
    from transformers import AutoTokenizer, LlamaConfig

    words = AutoTokenizer.from_pretrained(tokenizer)
    ours = {
        "vocab_size": len(words),
        "tie_word_embeddings": False,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    return LlamaConfig(**{**ours, **shape})


def _copy_tokenizer(tokenizer: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        if (tokenizer / name).exists():
            shutil.copy(tokenizer / name, folder / name)
