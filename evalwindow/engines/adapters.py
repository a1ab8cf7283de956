"""LoRA adapters as files: what they are called, what may be in them, how they get onto this host."""

from __future__ import annotations

import difflib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalwindow.config import Lora
from evalwindow.content import digest_of
from evalwindow.engines.safetensors_header import Tensor, parse_header, read_header
from evalwindow.errors import CandidateInvalid

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = (CONFIG, WEIGHTS)
PREFIX = "base_model.model."  # PEFT's, before the base model's own names
WEIGHT_NAME = re.compile(r"base_model\.model\.(?P<module>[\w.]+)\.(?P<side>lora_[AB])\.weight", re.ASCII)
FLOATS = {"F32", "F16", "BF16"}
LONGEST_HEADER = 4 * 2**20  # bytes; an adapter of every module of 80 layers has a tenth of it


def read_folder(path: Path) -> dict[str, bytes]:
    """The files of an adapter's folder; what else lies there is left out."""
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise CandidateInvalid(f"adapter {path}: {missing[0]} is missing")
    return {name: (path / name).read_bytes() for name in FILES}


def digest_of_folder(path: Path) -> str:
    return digest_of(read_folder(path))


def check_adapter(files: Mapping[str, bytes], *, lora: Lora, base: Path | None) -> None:
    """Raise CandidateInvalid that names what is wrong with an adapter.

    `base` is the folder of the base model's weights, if they lie on this host: then each module and shape is checked
    against them.
    """
    if set(files) != set(FILES):
        raise CandidateInvalid(
            f"an adapter has the files {' and '.join(FILES)}; got: {', '.join(sorted(files)) or 'none'}"
        )
    _check_config(files[CONFIG], lora=lora)
    try:
        tensors = parse_header(files[WEIGHTS], longest=LONGEST_HEADER)
    except ValueError as error:
        raise CandidateInvalid(f"{WEIGHTS}: {error}") from error
    pairs = _pairs(tensors)
    known = base_tensors(base)
    for module, sides in pairs.items():
        _check_pair(module, sides, lora=lora, known=known)


def materialise(folder: Path, *, digest: str, files: Mapping[str, bytes]) -> Path:
    """Write an adapter to `folder`/`digest` unless it is there; no reader ever sees half of it."""
    target = folder / digest
    if target.is_dir():
        return target
    if digest_of(files) != digest:
        raise CandidateInvalid(f"adapter {digest[:16]}: its stored files have the digest {digest_of(files)[:16]}")
    temporary = Path(tempfile.mkdtemp(prefix=f".{digest[:16]}-", dir=folder))
    try:
        for name in FILES:
            (temporary / name).write_bytes(files[name])
        _rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _rename(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():  # else somebody was first: theirs is the same
            raise


def base_tensors(base: Path | None) -> dict[str, Tensor]:
    """Names and shapes of a base model's weights; empty if its folder is not here."""
    if base is None:
        return {}
    found: dict[str, Tensor] = {}
    for path in sorted(base.glob("*.safetensors")):
        found |= read_header(path)
    return found


def _check_config(content: bytes, *, lora: Lora) -> None:
    try:
        config = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CandidateInvalid(f"{CONFIG}: not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise CandidateInvalid(f"{CONFIG}: peft_type must be 'LORA'")
    _check_ranks(config, lora=lora)
    _check_features(config)


def _check_ranks(config: Mapping[str, Any], *, lora: Lora) -> None:
    pattern = config.get("rank_pattern") or {}
    if not isinstance(pattern, dict):
        raise CandidateInvalid(f"{CONFIG}: rank_pattern must be an object")
    for key, rank in {"r": config.get("r"), **pattern}.items():
        if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
            raise CandidateInvalid(f"{CONFIG}: {key}={rank!r}: a rank is a whole number from 1 to {lora.max_rank}")
        if rank > lora.max_rank:
            raise CandidateInvalid(
                f"{CONFIG}: {key}={rank}: the pool takes ranks up to {lora.max_rank} (lora.max_rank)"
            )


def _check_features(config: Mapping[str, Any]) -> None:
    if config.get("bias", "none") != "none" or config.get("use_dora") or config.get("modules_to_save"):
        raise CandidateInvalid(f"{CONFIG}: bias, use_dora and modules_to_save are not served; train a plain LoRA")
    modules = config.get("target_modules")
    if not isinstance(modules, list) or not all(isinstance(module, str) for module in modules):
        raise CandidateInvalid(f"{CONFIG}: target_modules must be a list of module names")
    # The engine takes these keys for regular expressions; a stranger's pattern could keep it busy for ever.
    alphas = config.get("alpha_pattern") or {}
    if not isinstance(alphas, dict):
        raise CandidateInvalid(f"{CONFIG}: alpha_pattern must be an object")
    for pattern in (*(config.get("rank_pattern") or {}), *alphas):
        if not re.fullmatch(r"[\w.]+", pattern):
            raise CandidateInvalid(f"{CONFIG}: {pattern!r} in rank_pattern or alpha_pattern is not a plain module name")


def _pairs(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        found = WEIGHT_NAME.fullmatch(name)
        if found is None:
            raise CandidateInvalid(f"{WEIGHTS}: {name!r} is no LoRA weight (base_model.model.<module>.lora_A.weight)")
        if tensor.dtype not in FLOATS or len(tensor.shape) != 2:
            raise CandidateInvalid(
                f"{WEIGHTS}: {name!r} is {tensor.dtype} {list(tensor.shape)}; a float matrix is needed"
            )
        pairs.setdefault(found["module"], {})[found["side"]] = tensor
    if not pairs:
        raise CandidateInvalid(f"{WEIGHTS}: it holds no weights")
    return pairs


def _check_pair(module: str, sides: Mapping[str, Tensor], *, lora: Lora, known: Mapping[str, Tensor]) -> None:
    if len(sides) != 2:
        raise CandidateInvalid(f"{WEIGHTS}: {module!r} has only {next(iter(sides))}; lora_A and lora_B belong together")
    if module.rpartition(".")[2] not in lora.modules:
        raise CandidateInvalid(f"{WEIGHTS}: {module!r} can't be adapted here; the pool takes {', '.join(lora.modules)}")
    (rank, width), (height, other) = sides["lora_A"].shape, sides["lora_B"].shape
    if rank != other or not 1 <= rank <= lora.max_rank:
        ranks = f"{rank} (lora_A) and {other} (lora_B)"
        raise CandidateInvalid(f"{WEIGHTS}: {module!r} has ranks {ranks}; one of 1 to {lora.max_rank} is needed")
    if not known:
        return
    if f"{module}.weight" not in known:
        names = [name.removesuffix(".weight") for name in known]
        near = difflib.get_close_matches(module, names, n=1, cutoff=0.0)
        raise CandidateInvalid(f"{WEIGHTS}: the base model has no module {module!r}; the nearest is {near[0]!r}")
    if known[f"{module}.weight"].shape != (height, width):
        wanted = list(known[f"{module}.weight"].shape)
        raise CandidateInvalid(
            f"{WEIGHTS}: {module!r} is for weights of {[height, width]}; the base model's are {wanted}"
        )
