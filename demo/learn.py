"""The training loop, for the full model and for an adapter alike."""

import math
import time
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from demo.conversations import Packer
from demo.tokenizer import END, PAD


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to learn: linear warm-up, then a cosine down to a twentieth."""

    steps: int
    peak: float
    """Peak learning rate."""
    warmup: int = 50
    """Steps of warm-up (fewer when the run is short)."""

    def rate(self, step: int) -> float:
        """Learning rate of 0-based `step`."""
        warmup = min(self.warmup, max(1, self.steps // 5))
        if step < warmup:
            return self.peak * (step + 1) / warmup
        done = (step - warmup) / max(1, self.steps - warmup)
        return self.peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done)))


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of a training run."""

    losses: list[float]
    """Mean loss of each step, in nats a token."""
    seconds: float
    """Wall time."""


def new_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """An untrained Llama of 2.5 M parameters: 5 layers, 3 heads of 64, untied embeddings."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=5,
        num_attention_heads=3,
        num_key_value_heads=3,
        head_dim=64,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids(END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
        attn_implementation="sdpa",
    )
    return LlamaForCausalLM(config)


def learn(model: torch.nn.Module, packer: Packer, schedule: Schedule, *, label: str, every: int = 100) -> Run:
    """Train `model` in place on its own device.

    Only parameters that require a gradient learn. Weights stay in float32; the forward pass
    runs in bfloat16.
    """
    device = next(model.parameters()).device
    optimizers = _optimizers(model)
    losses: list[float] = []
    began = time.monotonic()
    model.train()
    for step in range(schedule.steps):
        _set_rate(optimizers, schedule.rate(step))
        batch = {name: tensor.to(device) for name, tensor in packer.batch().items()}
        with torch.autocast(device.type, torch.bfloat16):
            loss = model(**batch).loss
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
        if (step + 1) % every == 0 or step + 1 == schedule.steps:
            recent = losses[-every:]
            print(
                f"{label}: step {step + 1}/{schedule.steps}, "
                f"loss {sum(recent) / len(recent):.4f}, {time.monotonic() - began:.0f} s",
                flush=True,
            )
    model.eval()
    return Run(losses=losses, seconds=time.monotonic() - began)


def _optimizers(model: torch.nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the layers' full matrices (it needs half the steps here), AdamW for the rest."""
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in trainable if _is_layer_matrix(name, p)]
    others = [p for name, p in trainable if not _is_layer_matrix(name, p)]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.01)]
    if matrices:
        found.append(torch.optim.Muon(matrices, weight_decay=0.05, ns_steps=4, adjust_lr_fn="match_rms_adamw"))
    return found


def _is_layer_matrix(name: str, parameter: torch.nn.Parameter) -> bool:
    return ".layers." in name and parameter.ndim == 2 and "lora_" not in name


def _set_rate(optimizers: list[torch.optim.Optimizer], rate: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
