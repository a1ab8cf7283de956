"""The models that engines are measured with, and the flags that make the served and the offline engine one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.gpu import SIZE
from benchmarks.sizes import SIZES, arguments
from evalwindow.config import Pool
from evalwindow.engines.vllm_server import command


def test_the_shape_has_eight_billion_parameters(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.AutoConfig.from_pretrained(SIZES[SIZE].write(tmp_path))
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    assert sum(weights.numel() for weights in model.parameters()) == 8_030_261_248
    assert config.dtype == torch.bfloat16
    assert transformers.AutoTokenizer.from_pretrained(tmp_path).eos_token_id == config.eos_token_id


@pytest.mark.parametrize("name", SIZES)
def test_the_served_engine_gets_the_flags_of_the_offline_one(name: str, tmp_path: Path) -> None:
    size = SIZES[name]
    said = " ".join(command(name="warm", pool=Pool(model="m", **size.pool), socket=tmp_path / "warm.sock"))
    for key, value in size.offline.items():
        flag = f"--{key.replace('_', '-')}"
        assert re.search(rf"{flag}(?= --|$)" if value is True else rf"{flag} {value}(?= --|$)", said), flag


def test_flags_of_both_kinds() -> None:
    assert arguments({"enforce_eager": True, "load_format": "dummy"}) == ["--enforce-eager", "--load-format", "dummy"]


@pytest.mark.parametrize("name", SIZES)
def test_long_prompts_and_their_answers_fit_into_the_context(name: str) -> None:
    size = SIZES[name].for_long_prompts()
    assert size.max_model_len >= size.long.tokens[1] + size.long.max_tokens
