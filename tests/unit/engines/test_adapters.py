"""An adapter of a stranger is checked before an engine sees it."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalwindow.config import Lora
from evalwindow.content import digest_of
from evalwindow.engines.adapters import CONFIG, WEIGHTS, check_adapter, digest_of_folder, materialise
from evalwindow.engines.safetensors_header import parse_header, read_header
from evalwindow.errors import CandidateInvalid

LORA = Lora(max_rank=8)
MODULE = "model.layers.0.self_attn.q_proj"


def safetensors(tensors: Mapping[str, tuple[int, ...]], *, dtype: str = "F32") -> bytes:
    """A file of zeros with these shapes."""
    header, end = {}, 0
    for name, shape in tensors.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def pair(module: str = MODULE, *, rank: int = 4, width: int = 6, height: int = 10) -> dict[str, tuple[int, ...]]:
    prefix = f"base_model.model.{module}"
    return {f"{prefix}.lora_A.weight": (rank, width), f"{prefix}.lora_B.weight": (height, rank)}


def adapter(tensors: Mapping[str, tuple[int, ...]] | None = None, **config: Any) -> dict[str, bytes]:
    defaults = {"peft_type": "LORA", "r": 4, "target_modules": ["q_proj"]}
    return {
        CONFIG: json.dumps(defaults | config).encode(),
        WEIGHTS: safetensors(pair() if tensors is None else tensors),
    }


@pytest.fixture
def base(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(safetensors({f"{MODULE}.weight": (10, 6), "lm_head.weight": (9, 6)}))
    return tmp_path


def test_a_plain_adapter_is_accepted_with_and_without_the_base_at_hand(base: Path) -> None:
    check_adapter(adapter(), lora=LORA, base=base)
    check_adapter(adapter(), lora=LORA, base=None)


@pytest.mark.parametrize(
    "files, message",
    [
        (adapter() | {"run.py": b""}, "got: adapter_config.json, adapter_model.safetensors, run.py"),
        ({CONFIG: b"{}"}, "an adapter has the files"),
        (adapter() | {CONFIG: b"{"}, "adapter_config.json: not JSON"),
        (adapter() | {CONFIG: b"\xff"}, "adapter_config.json: not JSON"),
        (adapter(peft_type="IA3"), "peft_type must be 'LORA'"),
        (adapter(r=16), "r=16: the pool takes ranks up to 8"),
        (adapter(r=True), "r=True: a rank is a whole number"),
        (adapter(r=None), "r=None: a rank is a whole number"),
        (adapter(rank_pattern={"q_proj": 9}), "q_proj=9: the pool takes ranks up to 8"),
        (adapter(rank_pattern={"(a+)+b": 4}), "is not a plain module name"),
        (adapter(alpha_pattern={"(a+)+b": 4}), "is not a plain module name"),
        (adapter(bias="all"), "train a plain LoRA"),
        (adapter(use_dora=True), "train a plain LoRA"),
        (adapter(modules_to_save=["lm_head"]), "train a plain LoRA"),
        (adapter(target_modules=".*_proj"), "target_modules must be a list"),
        (adapter({}), "it holds no weights"),
        (adapter({"lm_head.weight": (2, 2)}), "'lm_head.weight' is no LoRA weight"),
        (adapter(pair("lm_head")), "'lm_head' can't be adapted here"),
        (adapter({f"base_model.model.{MODULE}.lora_A.weight": (4, 6)}), "has only lora_A"),
        (adapter(pair(rank=9)), "has ranks 9 (lora_A) and 9 (lora_B)"),
        (adapter(pair("model.layers.0.self_attn.k_proj")), f"the nearest is '{MODULE}'"),
        (adapter(pair(width=7)), "is for weights of [10, 7]; the base model's are [10, 6]"),
        (adapter() | {WEIGHTS: safetensors(pair(), dtype="I32")}, "a float matrix is needed"),
        (adapter() | {WEIGHTS: b"PK\x03\x04"}, "not a safetensors file"),
        (
            adapter() | {WEIGHTS: safetensors(pair())[:-1]},
            "its header describes 256 bytes of weights, the file has 255",
        ),
    ],
)
def test_what_is_wrong_with_an_adapter_is_named(base: Path, files: dict[str, bytes], message: str) -> None:
    with pytest.raises(CandidateInvalid) as caught:
        check_adapter(files, lora=LORA, base=base)
    assert message in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_get_past_the_header_as_anything_but_tensors_or_a_value_error(content: bytes) -> None:
    with suppress(ValueError):
        parse_header(content)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    )
)
def test_no_json_gets_past_the_header_as_anything_but_tensors_or_a_value_error(header: Any) -> None:
    text = json.dumps({"a": {"dtype": "F32", "shape": header, "data_offsets": header}}).encode()
    with suppress(ValueError):
        parse_header(struct.pack("<Q", len(text)) + text)


def test_the_header_on_disk_is_the_header_in_memory(base: Path) -> None:
    path = base / "model.safetensors"
    assert read_header(path) == parse_header(path.read_bytes())


def test_a_materialised_adapter_is_complete_or_absent(tmp_path: Path) -> None:
    files = adapter()
    digest = digest_of(files)
    folder = materialise(tmp_path, digest=digest, files=files)
    assert materialise(tmp_path, digest=digest, files=files) == folder
    assert digest_of_folder(folder) == digest
    assert [path.name for path in tmp_path.iterdir()] == [digest]


def test_files_of_another_digest_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(CandidateInvalid, match="its stored files have the digest"):
        materialise(tmp_path, digest="0" * 64, files=adapter())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_bytes(b"{}")
    with pytest.raises(CandidateInvalid, match=r"adapter_model\.safetensors is missing"):
        digest_of_folder(tmp_path)
