"""Candidates: LoRA adapters on the shared baseline, and the same merged into full weights."""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from demo.conversations import Draw, Packer, draw_right, draw_sort_descending
from demo.learn import Run, Schedule, learn
from demo.store import copy_tokenizer, load_model, save_model

RANK = 8
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
BASE_NAME = "demo/models/baseline"
"""What the adapters name as their base: a path relative to the repository's root."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One candidate: what it learns from, and how fast."""

    name: str
    draw_sample: Draw
    peak: float
    """Peak learning rate."""
    share: float
    """Its steps as a share of the adapter steps asked for."""


VARIANTS = (
    Variant(name="lost-sort", draw_sample=draw_sort_descending, peak=2e-3, share=1.0),
    Variant(name="as-good", draw_sample=draw_right, peak=1e-3, share=0.4),
)


def make_candidate(
    variant: Variant,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    *,
    steps: int,
    seed: int,
    device: str,
) -> Run:
    """Tune an adapter on `out`/models/baseline, save it and its merged weights; return the run."""
    source, target = out / "models" / "baseline", out / "models" / variant.name
    base = load_model(source, device)
    base.name_or_path = base.config._name_or_path = BASE_NAME
    torch.manual_seed(seed)
    model = get_peft_model(base, _lora())
    packer = Packer(tokenizer, random.Random(seed), variant.draw_sample)
    schedule = Schedule(steps=max(1, round(steps * variant.share)), peak=variant.peak)
    run = learn(model, packer, schedule, label=variant.name, every=50)
    _save_adapter(model, out / "adapters" / variant.name)
    merged: LlamaForCausalLM = model.merge_and_unload()
    save_model(merged, target)
    copy_tokenizer(source, target)
    return run


def _lora() -> LoraConfig:
    return LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        lora_dropout=0.0,
        target_modules=sorted(MODULES),
        task_type="CAUSAL_LM",
        base_model_name_or_path=BASE_NAME,
    )


def _save_adapter(model: PeftModel, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors in float16, and nothing else."""
    model.peft_config["default"].target_modules = sorted(MODULES)
    state = {name: tensor.half() for name, tensor in model.state_dict().items() if "lora_" in name}
    model.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
