"""Models on disk: float16 safetensors beside the tokenizer; in memory always float32."""

import copy
import hashlib
import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def save_model(model: LlamaForCausalLM, folder: Path) -> None:
    """Write config and weights in float16; `model` itself stays as it is."""
    half = copy.deepcopy(model).to("cpu", torch.float16)
    half.config._name_or_path = ""
    half.save_pretrained(folder)


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the tokenizer with its chat template."""
    tokenizer.save_pretrained(folder)


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Put the tokenizer's files of `source` into `folder`, byte for byte."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        shutil.copyfile(source / name, folder / name)


def load_model(folder: Path, device: str) -> LlamaForCausalLM:
    """The model in float32, ready to answer or to learn."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.to(device).eval()


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer with its chat template."""
    return AutoTokenizer.from_pretrained(folder)


def digests(out: Path) -> dict[str, str]:
    """SHA-256 of every model and adapter file under `out`, by path relative to it."""
    files = sorted((*out.glob("models/*/*"), *out.glob("adapters/*/*")))
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
