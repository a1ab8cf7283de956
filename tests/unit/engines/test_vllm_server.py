"""How the engine is started, and what its log has to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalwindow.config import Lora, Pool
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.vllm_server import OWNED, Resolved, advice, command, environment
from evalwindow.errors import ConfigInvalid, EngineUnavailable

SOCKET = Path("/run/warm.sock")
STARTED = "INFO non-default args: {'uds': '/x', 'scheduling_policy': '%s'}\n"
STARTED += "Initializing a V1 LLM engine (v0) with config: model='m', dtype=torch.bfloat16, x\n"


def test_the_command_sets_what_the_unit_relies_on_and_ends_with_the_pools_arguments() -> None:
    pool = Pool(
        model="acme/llama", revision="abc", lora=Lora(max_adapters=3, max_rank=12), arguments=("--enforce-eager",)
    )
    line = command(name="warm", pool=pool, socket=SOCKET)
    text = " ".join(line)
    assert "--model acme/llama --served-model-name warm" in text
    assert "--scheduling-policy priority" in text
    assert f"--uds {SOCKET}" in text
    assert "--enable-lora --max-loras 3 --max-cpu-loras 3 --max-lora-rank 16 --lora-target-modules q_proj" in text
    assert "lm_head" not in text
    assert line[-1] == "--enforce-eager"


@pytest.mark.parametrize("flag", OWNED)
def test_an_argument_that_would_undo_what_the_unit_sets_is_refused(flag: str) -> None:
    for argument in (flag, f"{flag}=x", flag.replace("-", "_").replace("__", "--", 1)):
        with pytest.raises(ConfigInvalid, match=r"pools\.warm\.arguments"):
            command(name="warm", pool=Pool(model="m", arguments=(argument,)), socket=SOCKET)


def test_an_impossible_rank_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="vLLM takes 512 at most"):
        command(name="warm", pool=Pool(model="m", lora=Lora(max_rank=513)), socket=SOCKET)


def test_the_engine_gets_no_secrets_and_the_pools_own_variables_win(tmp_path: Path) -> None:
    outside = {"PATH": "/bin", "EVALWINDOW_GITHUB_TOKEN": "t", "JUDGE_KEY": "k", "CUDA_VISIBLE_DEVICES": "1"}
    pool = Pool(model=str(tmp_path), lora=Lora(), environment={"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "300"})
    paths = EnginePaths(home=tmp_path, pool="warm")
    env = environment(pool=pool, paths=paths, environ=outside, secrets={"JUDGE_KEY"})
    assert not {"EVALWINDOW_GITHUB_TOKEN", "JUDGE_KEY"} & env.keys()
    assert (env["PATH"], env["CUDA_VISIBLE_DEVICES"]) == ("/bin", "1")
    assert env["VLLM_HTTP_TIMEOUT_KEEP_ALIVE"] == "300"
    assert env["HF_HUB_OFFLINE"] == env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"


def test_a_hub_model_may_reach_the_hub_and_a_pool_without_lora_takes_none(tmp_path: Path) -> None:
    env = environment(pool=Pool(model="acme/llama"), paths=EnginePaths(home=tmp_path, pool="p"), environ={}, secrets=())
    assert not {"HF_HUB_OFFLINE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"} & env.keys()


def test_a_log_that_proves_priority_scheduling_is_trusted() -> None:
    assert Resolved.from_log(STARTED % "priority") == Resolved(scheduling_policy="priority", dtype="bfloat16")


@pytest.mark.parametrize("log, message", [(STARTED % "fcfs", "schedules by 'fcfs'"), ("", "VLLM_LOGGING_LEVEL=INFO")])
def test_a_log_that_does_not_is_not(log: str, message: str) -> None:
    with pytest.raises(EngineUnavailable, match=message):
        Resolved.from_log(log)


def test_a_known_failure_comes_with_what_to_do() -> None:
    assert "pip install" in advice("/usr/bin/python: No module named vllm")
    assert advice("something new") == ""
