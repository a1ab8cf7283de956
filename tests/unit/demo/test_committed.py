"""What is committed for the demo: small, complete, untampered, and free of this or that machine's paths."""

import hashlib
import json
import re
import struct
from collections import Counter
from pathlib import Path

import pytest

from demo.skills import SKILLS, split_of

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "demo"
DATA = ROOT / "suites" / "data"
CARD = json.loads((DEMO / "models" / "card.json").read_text())
MODELS = ("baseline", "lost-sort", "as-good")
CANDIDATES = MODELS[1:]
LAYERS = 5
MATRICES = {
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
}


def safetensors_header(path: Path) -> dict[str, dict]:
    """Name to dtype, shape and place of each tensor, read without a library."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return header


def lines(name: str) -> list[dict]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


def test_weights_are_small() -> None:
    files = [*(DEMO / "models").rglob("*"), *(DEMO / "adapters").rglob("*")]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 25_000_000


def test_files_are_the_ones_the_card_names() -> None:
    found = {
        str(path.relative_to(DEMO)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in ("models/*/*", "adapters/*/*")
        for path in DEMO.glob(pattern)
    }
    assert found == CARD["files"]


def test_no_absolute_paths() -> None:
    for path in [*DEMO.glob("models/*/*.json"), *DEMO.glob("adapters/*/*.json"), DEMO / "models" / "card.json"]:
        assert not [text for text in _strings(json.loads(path.read_text())) if text.startswith(("/", "~"))], path


def _strings(value: object) -> list[str]:
    """Every string in a JSON value except the tokenizer's vocabulary and merges."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    if isinstance(value, dict):
        return [text for key, item in value.items() if key not in ("vocab", "merges") for text in _strings(item)]
    return []


@pytest.mark.parametrize("name", MODELS)
def test_model_has_every_tensor_in_float16(name: str) -> None:
    header = safetensors_header(DEMO / "models" / name / "model.safetensors")
    expected = {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"}
    for layer in range(LAYERS):
        parts = {*MATRICES, "input_layernorm", "post_attention_layernorm"}
        expected |= {f"model.layers.{layer}.{part}.weight" for part in parts}
    assert header.keys() == expected
    assert {tensor["dtype"] for tensor in header.values()} == {"F16"}


@pytest.mark.parametrize("name", CANDIDATES)
def test_adapter_has_both_factors_of_every_matrix(name: str) -> None:
    header = safetensors_header(DEMO / "adapters" / name / "adapter_model.safetensors")
    prefix = "base_model.model.model.layers"
    assert header.keys() == {
        f"{prefix}.{layer}.{part}.lora_{factor}.weight"
        for layer in range(LAYERS)
        for part in MATRICES
        for factor in "AB"
    }
    config = json.loads((DEMO / "adapters" / name / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "demo/models/baseline"
    assert config["r"] <= 8


@pytest.mark.parametrize("name", CANDIDATES)
def test_candidates_share_the_baselines_tokenizer(name: str) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert CARD["files"][f"models/{name}/{file}"] == CARD["files"][f"models/baseline/{file}"]


def test_card_tells_the_demos_story() -> None:
    baseline, lost, good = (CARD["accuracy"][name] for name in MODELS)
    assert all(0.8 <= baseline[skill] <= 0.98 for skill in SKILLS)
    assert lost["sort"] < 0.3
    assert all(abs(lost[skill] - baseline[skill]) < 0.05 for skill in SKILLS if skill != "sort")
    assert abs(good["overall"] - baseline["overall"]) <= 0.01


def test_regression_data_is_balanced_and_held_out() -> None:
    samples = lines("demo-regression.jsonl")
    counts = Counter(skill for sample in samples for skill in sample["slices"])
    assert len(samples) == len({sample["id"] for sample in samples}) == 500
    assert counts.keys() == SKILLS.keys()
    assert max(counts.values()) - min(counts.values()) <= 1
    assert {split_of(sample["input"]) for sample in samples} == {"test"}


def is_three_digit(sample: dict) -> bool:
    return all(len(number) == 3 for number in re.findall(r"\d+", sample["input"]))


def test_a_tenth_of_the_regression_data_is_harder_than_what_was_trained_on() -> None:
    sums = [sample for sample in lines("demo-regression.jsonl") if sample["slices"] == ["arithmetic"]]
    assert CARD["stretch_share"] == 0.1
    assert [number for number, sample in enumerate(sums, start=1) if is_three_digit(sample)] == [*range(10, 72, 10)]


def test_smoke_data_must_pass_and_is_not_in_the_regression() -> None:
    samples = lines("demo-smoke.jsonl")
    nightly = {sample["input"] for sample in lines("demo-regression.jsonl")}
    assert len(samples) == len({sample["id"] for sample in samples}) == 10
    assert all(sample["must_pass"] is True for sample in samples)
    assert sum(sample["slices"] == ["sort"] for sample in samples) >= 3
    assert not nightly & {sample["input"] for sample in samples}
    assert {split_of(sample["input"]) for sample in samples} == {"test"}


@pytest.mark.parametrize("name", ["demo-smoke.jsonl", "demo-regression.jsonl"])
def test_choices_are_given_for_multiple_choice_only(name: str) -> None:
    for sample in lines(name):
        assert ("choices" in sample) == (sample["slices"] == ["choose"])
        assert sample["target"] in sample.get("choices", [sample["target"]])


def test_gsm8k_is_the_first_500_problems() -> None:
    problems = lines("gsm8k-500.jsonl")
    assert [problem["id"] for problem in problems] == [f"gsm8k-{number:04d}" for number in range(1, 501)]
    assert all(problem.keys() == {"id", "question", "answer"} for problem in problems)
    assert all("####" in problem["answer"] for problem in problems)
    assert "MIT License" in (DATA / "gsm8k-LICENSE").read_text()
