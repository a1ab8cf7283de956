"""The architectures whose memory is computed, and in what they differ from one another."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Family:
    """What an architecture does that its config.json does not say.

    Sources: the models of transformers 5.19 and of vLLM 0.32; tests/unit/fit compares every count with transformers.
    """

    norms: int = 2  # vectors of hidden size in each layer
    head_norm: bool = False  # queries and keys are normalised a head
    qkv_bias: str | bool = False  # key of config.json that turns it on; True: always
    out_bias: str | bool = False  # likewise, of the attention's output
    mlp_bias: str | bool = False
    bias_default: bool = False  # of the keys above where config.json lacks them
    tied: bool = False  # default of tie_word_embeddings
    head_dim: int | None = None  # default; None: hidden size / heads
    routed: bool = False  # tokens go to some of several feed-forward networks
    expert_size: str = "intermediate_size"  # key with an expert's inner size
    latent: bool = False  # multi-head latent attention (MLA): keys and values are kept compressed
    alternates: int | None = None  # every so many layers one sees all, the others a window; where no key says it


FAMILIES = {
    "LlamaForCausalLM": Family(qkv_bias="attention_bias", out_bias="attention_bias", mlp_bias="mlp_bias"),
    "MistralForCausalLM": Family(),
    "Phi3ForCausalLM": Family(),
    "Qwen2ForCausalLM": Family(qkv_bias=True),
    "Qwen3ForCausalLM": Family(qkv_bias="attention_bias", out_bias="attention_bias", head_norm=True, head_dim=128),
    "GemmaForCausalLM": Family(qkv_bias="attention_bias", out_bias="attention_bias", tied=True, head_dim=256),
    "Gemma2ForCausalLM": Family(
        qkv_bias="attention_bias", out_bias="attention_bias", tied=True, head_dim=256, norms=4, alternates=2
    ),
    "Gemma3ForCausalLM": Family(
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        tied=True,
        head_dim=256,
        norms=4,
        head_norm=True,
        alternates=6,
    ),
    "MixtralForCausalLM": Family(routed=True),
    "Qwen2MoeForCausalLM": Family(
        qkv_bias="qkv_bias", bias_default=True, routed=True, expert_size="moe_intermediate_size"
    ),
    "Qwen3MoeForCausalLM": Family(
        qkv_bias="attention_bias",
        out_bias="attention_bias",
        head_norm=True,
        routed=True,
        expert_size="moe_intermediate_size",
    ),
    "DeepseekV2ForCausalLM": Family(routed=True, expert_size="moe_intermediate_size", latent=True),
    "DeepseekV3ForCausalLM": Family(routed=True, expert_size="moe_intermediate_size", latent=True),
}
