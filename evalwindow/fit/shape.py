"""A model's shape, read from its config.json."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalwindow.fit.errors import CantTell
from evalwindow.fit.families import FAMILIES, Family

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")  # keys with their number, by maker and by age
#: rope types after which max_position_embeddings is already the whole context (vLLM: config/model.py)
_SCALED = {"su", "longrope", "llama3", "yarn", "deepseek_yarn", "deepseek_llama_scaling", "default", "mrope"}


@dataclass(frozen=True, kw_only=True)
class Latent:
    """Multi-head latent attention (DeepSeek-V2, section 2.1): a token keeps one compressed vector a layer."""

    query_rank: int | None  # None: queries are not compressed
    rank: int  # of keys and values together
    nope: int  # dimensions of a head's key without position
    rope: int  # and with it; shared by all heads
    value: int  # dimensions of a head's value

    @property
    def kept(self) -> int:
        """Numbers that a token keeps in each layer."""
        return self.rank + self.rope


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The feed-forward networks that a token is routed to."""

    count: int
    active: int  # a token
    size: int  # inner size of one
    shared: int = 0  # inner size of those that every token goes through
    shared_gate: bool = False  # whose share has a weight of its own
    dense_layers: int = 0  # layers that have a plain network instead


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What the memory of a model depends on."""

    architecture: str
    family: Family
    layers: int
    hidden: int
    inner: int  # of the feed-forward network
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    context: int  # tokens
    dtype: str  # as stored
    tied: bool  # one matrix is embedding and head
    qkv_bias: bool
    out_bias: bool
    mlp_bias: bool
    windows: tuple[int | None, ...]  # tokens that each layer sees; None: all
    latent: Latent | None = None
    experts: Experts | None = None
    quantised: str | None = None  # method, where the weights are stored so

    @property
    def query_size(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Of keys, and of values."""
        return self.kv_heads * self.head_dim


def read_shape(folder: Path) -> Shape:
    """The shape of the model in a folder. Raises CantTell for one that this arithmetic does not know."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text())
    except OSError as error:
        raise CantTell(f"there is no config.json in {folder}") from error
    except ValueError as error:
        raise CantTell(f"{path} is no JSON: {error}") from error
    return shape_of(config, name=str(path))


def shape_of(config: Mapping[str, Any], *, name: str = "config.json") -> Shape:
    """The shape that a config.json describes. Raises CantTell that names the architecture or the key."""
    architecture, family = _family(config, name=name)
    keys = _Keys(config, name=name)
    layers, hidden, heads = (keys.count(key) for key in ("num_hidden_layers", "hidden_size", "num_attention_heads"))
    return Shape(
        architecture=architecture,
        family=family,
        layers=layers,
        hidden=hidden,
        inner=keys.count("intermediate_size"),
        heads=heads,
        kv_heads=keys.count("num_key_value_heads", default=heads),
        head_dim=keys.count("head_dim", default=family.head_dim or hidden // heads),
        vocab=keys.count("vocab_size"),
        context=_context(config, keys),
        dtype=str(config.get("dtype") or config.get("torch_dtype") or "float32").removeprefix("torch."),
        tied=bool(config.get("tie_word_embeddings", family.tied)),
        qkv_bias=_switch(config, family.qkv_bias, family),
        out_bias=_switch(config, family.out_bias, family),
        mlp_bias=_switch(config, family.mlp_bias, family),
        windows=_windows(config, family, layers=layers),
        latent=_latent(config, keys) if family.latent else None,
        experts=_experts(config, keys, family, layers=layers) if family.routed else None,
        quantised=_quantised(config),
    )


@dataclass(frozen=True)
class _Keys:
    config: Mapping[str, Any]
    name: str

    def count(self, key: str, default: int | None = None) -> int:
        value = self.config.get(key)
        if value is None:
            value = default
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CantTell(f"{self.name}: {key} is {value!r}; a whole number above 0 is needed")
        return value


def _family(config: Mapping[str, Any], *, name: str) -> tuple[str, Family]:
    names = [str(each) for each in config.get("architectures") or ()]
    for architecture in names:
        if architecture in FAMILIES:
            return architecture, FAMILIES[architecture]
    what = " and ".join(names) or f"of type {config.get('model_type')!r}"
    raise CantTell(f"{name}: the architecture {what} is not known here; known: {', '.join(sorted(FAMILIES))}")


def _switch(config: Mapping[str, Any], key: str | bool, family: Family) -> bool:
    return key if isinstance(key, bool) else bool(config.get(key, family.bias_default))


def _context(config: Mapping[str, Any], keys: _Keys) -> int:
    """Tokens of context, as vLLM derives them where no max_model_len is given."""
    rope = config.get("rope_scaling") or config.get("rope_parameters") or {}
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if kind == "longrope" and config.get("original_max_position_embeddings"):
        return keys.count("original_max_position_embeddings")
    scale = 1 if kind in _SCALED else float(rope.get("factor") or 1)
    return int(keys.count("max_position_embeddings") * scale)


def _windows(config: Mapping[str, Any], family: Family, *, layers: int) -> tuple[int | None, ...]:
    window = config.get("sliding_window")
    if not isinstance(window, int) or config.get("use_sliding_window") is False:
        return (None,) * layers
    kinds = config.get("layer_types")
    if kinds:
        return tuple(window if kind == "sliding_attention" else None for kind in kinds)
    alternates = config.get("sliding_window_pattern") or family.alternates
    if alternates:
        return tuple(window if (layer + 1) % alternates else None for layer in range(layers))
    full = int(config.get("max_window_layers") or 0) if "use_sliding_window" in config else 0
    return tuple(None if layer < full else window for layer in range(layers))


def _latent(config: Mapping[str, Any], keys: _Keys) -> Latent:
    return Latent(
        query_rank=keys.count("q_lora_rank") if config.get("q_lora_rank") else None,
        rank=keys.count("kv_lora_rank"),
        nope=keys.count("qk_nope_head_dim"),
        rope=keys.count("qk_rope_head_dim"),
        value=keys.count("v_head_dim"),
    )


def _experts(config: Mapping[str, Any], keys: _Keys, family: Family, *, layers: int) -> Experts:
    size = keys.count(family.expert_size)
    shared = config.get("shared_expert_intermediate_size") or size * (config.get("n_shared_experts") or 0)
    return Experts(
        count=keys.count(next((key for key in _EXPERTS if config.get(key)), _EXPERTS[0])),
        active=keys.count("num_experts_per_tok"),
        size=size,
        shared=int(shared),
        shared_gate="shared_expert_intermediate_size" in config,
        dense_layers=sum(not _routed(config, layer) for layer in range(layers)),
    )


def _routed(config: Mapping[str, Any], layer: int) -> bool:
    """Whether a layer has experts: by DeepSeek's keys and by Qwen's."""
    if layer < int(config.get("first_k_dense_replace") or 0) or layer in (config.get("mlp_only_layers") or ()):
        return False
    if layer % int(config.get("moe_layer_freq") or 1):
        return False
    return (layer + 1) % int(config.get("decoder_sparse_step") or 1) == 0


def _quantised(config: Mapping[str, Any]) -> str | None:
    found = config.get("quantization_config") or config.get("compression_config")
    return str(found.get("quant_method") or "compressed-tensors") if isinstance(found, Mapping) else None
