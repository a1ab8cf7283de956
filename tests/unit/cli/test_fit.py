"""evalwindow fit, as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalwindow.cli import main
from tests.unit.fit.models import write_model
from tests.unit.fit.shapes import LLAMA_8B

GIB = 2**30


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "suites").mkdir()
    write_model(tmp_path / "llama", LLAMA_8B)
    write_model(tmp_path / "strange", {**LLAMA_8B, "architectures": ["JambaForCausalLM"]})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALWINDOW_CONFIG", str(tmp_path / "evalwindow.yaml"))
    return tmp_path


def write_config(folder: Path, **pools: dict[str, Any]) -> None:
    config = {
        "models": {"m": {"engine": "openai", "base_url": "http://127.0.0.1", "model": "m"}},
        "gpus": {"a100": {"memory_gib": 80}},
        "pools": {name: {"model": "./llama", "gpu": "a100"} | pool for name, pool in pools.items()},
    }
    (folder / "evalwindow.yaml").write_text(yaml.safe_dump(config))


def printed(capsys: pytest.CaptureFixture[str]) -> str:
    """Standard output, without the spaces that make columns of it."""
    return "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())


def test_pools_that_fit_are_shown_with_what_they_take(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(folder, base={"memory_gib": 42}, small={"memory_gib": 25})
    assert main(["fit"]) == 0
    text = printed(capsys)
    assert "base on a100 (80.00 GiB): fits\n" in text
    assert "small on a100 (80.00 GiB): fits, but only 32 of 64 sequences of 2,048 tokens at once" in text
    assert "weights 14.96 8.03 billion parameters x 2 bytes (bfloat16)" in text
    assert "KV cache 25.03 what is left of 42.00 GiB: vLLM takes all of it" in text
    assert "205,045 tokens: 25.0 sequences of 8,192 at once, or 64 of 3,203" in text
    assert "a100, 80.00 GiB: its pools fit together" in text
    assert "left 12.00" in text


def test_a_pool_that_does_not_fit_fails_with_what_would_help(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(folder, base={"memory_gib": 17.5}, other={"memory_gib": 30})
    assert main(["fit", "base"]) == 1
    text = printed(capsys)
    assert "base on a100 (80.00 GiB): DOES NOT FIT" in text
    assert "it fits with max_model_len:" in text
    assert "it fits with memory_gib: 18" in text
    assert "other on a100" not in text
    assert "other 30.00" in text  # in the sum of the GPU


def test_pools_that_do_not_fit_together_fail_though_each_fits(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed = {"arguments": ["--kv-cache-memory-bytes", "20G"]}
    write_config(folder, base=fixed, other={"memory_gib": 60})
    assert main(["fit", "other"]) == 1
    text = printed(capsys)
    assert "other on a100 (80.00 GiB): fits\n" in text
    assert "a100, 80.00 GiB: ITS POOLS DO NOT FIT TOGETHER" in text
    assert "missing 17.97" in text
    assert "they fit with pools.other.memory_gib: 42" in text


def test_what_nobody_can_tell_has_an_exit_code_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(folder, base={"memory_gib": 30}, odd={"model": "./strange", "memory_gib": 30})
    assert main(["fit"]) == 2
    text = printed(capsys)
    assert "odd: can't tell\n" in text
    assert "the architecture JambaForCausalLM is not known here" in text
    assert "base on a100 (80.00 GiB): fits" in text


def test_a_pool_without_a_gpu_is_shown_and_not_judged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(folder, base={"gpu": None})
    assert main(["fit"]) == 0
    text = printed(capsys)
    assert "base: no GPU is named for it" in text
    assert "131,072 bytes of KV cache a token; a sequence of 8,192 tokens takes 1.00 GiB" in text
    assert "CUDA" not in text


def test_an_unknown_pool_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(folder, base={})
    assert main(["fit", "bass"]) == 2
    assert "unknown pool 'bass'; did you mean 'base'?" in capsys.readouterr().err


def test_programs_get_bytes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_config(folder, base={"memory_gib": 17.5}, odd={"model": "./strange", "memory_gib": 30})
    assert main(["fit", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (pool,) = document["pools"]
    assert (pool["verdict"], pool["budget_bytes"], pool["kv_bytes_a_token"]) == ("too large", 17.5 * GIB, 131072)
    assert pool["lines"][0]["bytes"] == 8_030_261_248 * 2
    assert sum(line["bytes"] for line in pool["lines"]) + pool["kv_cache_bytes"] == pool["budget_bytes"]
    assert pool["remedies"][-1] == "it fits with memory_gib: 18"
    assert [unknown["pool"] for unknown in document["unknown"]] == ["odd"]
    assert document["gpus"][0]["left_bytes"] == 80 * GIB - sum(
        claim["bytes"] + claim["beside_bytes"] for claim in document["gpus"][0]["claims"]
    )
    assert document["fits"] is False


@pytest.mark.parametrize(
    "options, code, text",
    [
        (["--memory-gib", "80"], 0, "(80.00 GiB): fits\n"),
        (["--memory-gib", "16"], 1, "DOES NOT FIT"),
        (["--memory-gib", "20", "--max-model-len", "1024", "--max-num-seqs", "8"], 0, "at once, or 8 of 1,024"),
        (["--memory-gib", "80", "--dtype", "float32"], 0, "x 4 bytes (float32)"),
        (["--memory-gib", "16", "--argument=-tp=2"], 0, "on each of 2 x the GPU (16.00 GiB): fits"),
        (["--memory-gib", "80", "--step-tokens", "16384"], 0, "estimate: a step of 16,384 tokens"),
        (["--memory-gib", "80", "--typical-tokens", "8192"], 0, "fits, but only 56 of 64 sequences of 8,192"),
        ([], 0, "no GPU is named"),
    ],
)
def test_a_model_that_is_in_no_config_yet(
    options: list[str], code: int, text: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--model", "llama", *options]) == code
    assert text in printed(capsys)


def test_a_model_and_pools_together_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "base", "--model", "llama"]) == 2
    assert "not both" in capsys.readouterr().err


def test_a_hub_name_is_looked_up_where_hf_home_says(folder: Path) -> None:
    """In a process of its own: huggingface_hub reads HF_HOME once."""
    hub = folder / "hf" / "hub" / "models--acme--llama"
    write_model(hub / "snapshots" / "abc", LLAMA_8B)
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("abc")
    command = [sys.executable, "-m", "evalwindow.cli", "fit", "--model", "acme/llama", "--memory-gib", "80"]
    done = subprocess.run(
        command, env={**os.environ, "HF_HOME": str(folder / "hf")}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "acme/llama on the GPU (80.00 GiB): fits" in done.stdout
