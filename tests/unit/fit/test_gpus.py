"""Several pools on one GPU, and the check before an engine starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evalwindow.config import ApiModel, Config, Gpu, Pool
from evalwindow.errors import ConfigInvalid, UnknownName
from evalwindow.fit import CantTell, DoesNotFit, check_fit, fit_of, gpu_fit, room_beside
from evalwindow.fit.estimate import GIB
from tests.unit.fit.models import write_model
from tests.unit.fit.shapes import LLAMA_8B, LLAMA_70B

ANY = ApiModel(engine="openai", base_url="http://127.0.0.1", model="m")


@pytest.fixture
def models(tmp_path: Path) -> dict[str, str]:
    shapes = {"8b": LLAMA_8B, "70b": LLAMA_70B}
    return {name: str(write_model(tmp_path / name, config)) for name, config in shapes.items()}


def config_of(gpu_gib: float = 80, **pools: dict[str, Any]) -> Config:
    settings = {name: Pool(**({"gpu": "a100"} | fields)) for name, fields in pools.items()}
    return Config(models={"m": ANY}, gpus={"a100": Gpu(memory_gib=gpu_gib)}, pools=settings)


def refusal(config: Config, pool: str) -> list[str]:
    with pytest.raises(DoesNotFit) as caught:
        check_fit(config, pool)
    assert isinstance(caught.value, ConfigInvalid)
    return str(caught.value).splitlines()


def test_two_pools_that_share_a_gpu_fit(models: dict[str, str]) -> None:
    config = config_of(
        base={"model": models["8b"], "memory_gib": 39}, other={"model": models["8b"], "memory_gib": 39.5}
    )
    assert check_fit(config, "base") is None
    found = {name: fit_of(config, name) for name in config.pools}
    together = gpu_fit(config, "a100", found)
    beside = sum(each.estimate.beside for each in found.values())
    assert together.left == 80 * GIB - int(39 * GIB) - int(39.5 * GIB) - beside


def test_a_pool_that_is_too_large_is_refused_with_the_arithmetic(models: dict[str, str]) -> None:
    lines = refusal(config_of(base={"model": models["8b"], "memory_gib": 16.5}), "base")
    assert lines == [
        "pool 'base' does not fit into 16.50 GiB of a100 (80.00 GiB):",
        "  weights             14.96 GiB  8.03 billion parameters x 2 bytes (bfloat16); no weights on this machine, "
        "from config.json",
        "  activations          1.01 GiB  estimate: a step of 8,192 tokens",
        "  CUDA graphs          0.50 GiB  estimate; none with --enforce-eager",
        "  CUDA libraries       0.50 GiB  estimate",
        "  together            16.97 GiB  without a KV cache",
        "  KV cache left        0.00 GiB  0.47 GiB are missing for the rest alone",
        "  KV cache needed      1.00 GiB  one sequence of 8,192 tokens",
        "  it fits with memory_gib: 18",
    ]


def test_what_is_said_to_make_it_fit_does(models: dict[str, str]) -> None:
    assert check_fit(config_of(base={"model": models["8b"], "memory_gib": 18}), "base") is None
    tight: dict[str, Any] = {"model": models["8b"], "memory_gib": 17, "step_tokens": 2048}
    advice = next(line for line in refusal(config_of(base=tight), "base") if "max_model_len" in line)
    tokens = int(advice.removeprefix("  it fits with max_model_len: "))
    assert 4096 < tokens < 8192
    assert check_fit(config_of(base=tight | {"max_model_len": tokens}), "base") is None
    assert refusal(config_of(base=tight | {"max_model_len": tokens + 16}), "base")


def test_weights_that_no_share_of_the_gpu_holds_need_more_of_them(models: dict[str, str]) -> None:
    lines = refusal(config_of(large={"model": models["70b"]}), "large")
    assert lines[-1].startswith("  it needs 13") and "--tensor-parallel-size" in lines[-1]
    four = {"model": models["70b"], "arguments": ("-tp", "4")}
    assert check_fit(config_of(large=four), "large") is None


def test_pools_that_do_not_fit_together_are_refused_with_the_sum_and_a_way_to_share(models: dict[str, str]) -> None:
    pools: dict[str, dict[str, Any]] = {
        "base": {"model": models["8b"]},
        "other": {"model": models["8b"], "memory_gib": 30},
    }
    lines = refusal(config_of(**pools), "other")
    assert lines[:4] == [
        "the pools on a100 do not fit into its 80.00 GiB together:",
        "  base                73.60 GiB  and 0.50 GiB beside it: CUDA, log-probabilities of prompts",
        "  other               30.00 GiB  and 0.50 GiB beside it: CUDA, log-probabilities of prompts",
        "  together           104.60 GiB  24.60 GiB too much",
    ]
    assert lines[4] == "  they fit with pools.base.memory_gib: 39.5 and pools.other.memory_gib: 39.5"
    shared = {name: pool | {"memory_gib": 39.5} for name, pool in pools.items()}
    assert check_fit(config_of(**shared), "base") is None


def test_pools_that_fit_in_no_way_are_told_so(models: dict[str, str]) -> None:
    pools = {"base": {"model": models["8b"]}, "large": {"model": models["70b"], "arguments": ("-tp", "2")}}
    assert "  they don't fit in any way: give one of them another GPU" in refusal(config_of(**pools), "base")


def test_a_fixed_kv_cache_counts_with_all_the_rest(models: dict[str, str]) -> None:
    fixed = {"model": models["8b"], "arguments": ("--kv-cache-memory-bytes", "20G")}
    config = config_of(base=fixed, other={"model": models["8b"], "memory_gib": 41})
    found = {name: fit_of(config, name) for name in config.pools}
    assert found["base"].bytes == found["base"].estimate.bytes + 20 * GIB
    assert check_fit(config, "other") is None
    config = config_of(base=fixed, other={"model": models["8b"], "memory_gib": 43})
    assert "  together            80.97 GiB  0.97 GiB too much" in refusal(config, "other")


@pytest.mark.parametrize(
    "memory_gib, other_gib, room", [(None, None, False), (39, None, True), (26, 26, True), (27, 26, False)]
)
def test_an_engine_may_start_beside_the_one_that_it_replaces_where_there_is_room_for_both(
    memory_gib: float | None, other_gib: float | None, room: bool, models: dict[str, str]
) -> None:
    pools: dict[str, dict[str, Any]] = {"base": {"model": models["8b"], "memory_gib": memory_gib}}
    if other_gib is not None:
        pools["other"] = {"model": models["8b"], "memory_gib": other_gib}
    assert room_beside(config_of(**pools), "base") is room


def test_without_a_gpu_there_is_room_as_far_as_anybody_knows(models: dict[str, str]) -> None:
    assert room_beside(config_of(base={"model": models["8b"], "gpu": None}), "base")


def test_a_pool_without_a_gpu_is_not_checked(tmp_path: Path) -> None:
    assert check_fit(config_of(base={"model": str(tmp_path / "nowhere"), "gpu": None}), "base") is None


def test_what_nobody_can_tell_is_said_and_not_refused(models: dict[str, str], tmp_path: Path) -> None:
    strange = str(write_model(tmp_path / "strange", {**LLAMA_8B, "architectures": ["JambaForCausalLM"]}))
    config = config_of(base={"model": models["8b"], "memory_gib": 40}, odd={"model": strange, "memory_gib": 30})
    assert check_fit(config, "base") is None
    told = check_fit(config, "odd")
    assert told is not None
    assert told.startswith("whether pool 'odd' fits a100 is not known: ") and "JambaForCausalLM" in told


def test_what_is_known_of_an_unknown_model_still_counts(models: dict[str, str]) -> None:
    config = config_of(base={"model": models["8b"], "memory_gib": 40}, far={"model": "acme/far", "memory_gib": 40})
    lines = refusal(config, "base")
    assert "  together            81.00 GiB  1.00 GiB too much" in lines


def test_an_unknown_pool_is_named(models: dict[str, str]) -> None:
    with pytest.raises(UnknownName, match="unknown pool 'bse'; did you mean 'base'"):
        fit_of(config_of(base={"model": models["8b"]}), "bse")


def write_cache(root: Path, name: str, *, commit: str, ref: str) -> None:
    """A model as huggingface_hub lays it out."""
    folder = root / f"models--{name.replace('/', '--')}"
    write_model(folder / "snapshots" / commit, LLAMA_8B)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / ref).write_text(commit)


@pytest.mark.parametrize("revision", [None, "v1", "abc123"])
def test_a_hub_model_is_read_from_the_local_cache(revision: str | None, tmp_path: Path) -> None:
    ref = "main" if revision is None else "v1"
    write_cache(tmp_path / "hub", "acme/llama", commit="abc123", ref=ref)
    pool = {"model": "acme/llama", "revision": revision, "environment": {"HF_HOME": str(tmp_path)}}
    assert fit_of(config_of(base=pool), "base").estimate.lines[0].bytes == 8_030_261_248 * 2


@pytest.mark.parametrize("model", ["acme/llama", "./weights", "a/b/c"])
def test_a_model_that_is_nowhere_is_named_with_what_to_do(model: str, tmp_path: Path) -> None:
    write_cache(tmp_path, "acme/llama", commit="abc123", ref="main")
    pool = {"model": model, "revision": "v9", "environment": {"HF_HUB_CACHE": str(tmp_path)}}
    with pytest.raises(CantTell, match=r"is no folder, and the Hugging Face cache of this machine has no config\.json"):
        fit_of(config_of(base=pool), "base")
