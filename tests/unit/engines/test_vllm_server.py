"""How the engine is started, and what its log has to say."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalwindow.config import Gpu, KeepWarm, Lora, Pool
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.vllm_server import OWNED, OWNED_VARIABLES, Resolved, advice, command, environment, is_cpu_build
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


@pytest.mark.parametrize("argument", ["--gpu-memory-util=0.5", "--sched", "--max_num_batched", "--max-num-seq"])
def test_a_beginning_of_a_flag_is_that_flag_to_vllm_and_to_us(argument: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"pools\.warm\.arguments"):
        command(name="warm", pool=Pool(model="m", arguments=(argument,)), socket=SOCKET)


@pytest.mark.parametrize(
    "argument", ["--enforce-eager", "-tp", "--kv-cache-memory-bytes", "--max-logprobs", "67108864"]
)
def test_an_argument_that_the_unit_does_not_set_is_left_alone(argument: str) -> None:
    assert argument in command(name="warm", pool=Pool(model="m", arguments=(argument,)), socket=SOCKET)


def test_memory_is_a_share_of_the_gpu() -> None:
    pool = Pool(model="m", gpu="a100", memory_gib=30)
    line = command(name="warm", pool=pool, socket=SOCKET, gpu=Gpu(memory_gib=80))
    assert line[line.index("--gpu-memory-utilization") + 1] == "0.3750"
    assert "--gpu-memory-utilization" not in command(name="warm", pool=Pool(model="m"), socket=SOCKET)


@pytest.mark.parametrize(
    "gpu, message", [(None, "it is a share of a GPU"), (Gpu(memory_gib=24), "30 of a GPU of 24 GiB")]
)
def test_a_share_of_no_gpu_is_refused(gpu: Gpu | None, message: str) -> None:
    with pytest.raises(ConfigInvalid, match=message):
        command(name="warm", pool=Pool(model="m", gpu="a100", memory_gib=30), socket=SOCKET, gpu=gpu)


def test_a_step_has_as_many_tokens_as_the_pool_says() -> None:
    line = command(name="warm", pool=Pool(model="m", step_tokens=512), socket=SOCKET)
    assert line[line.index("--max-num-batched-tokens") + 1] == "512"


def test_an_engine_that_sleeps_is_started_so_that_it_can(tmp_path: Path) -> None:
    pool = Pool(model="m", keep_warm=KeepWarm(idle_minutes=5, rest="sleep"))
    assert "--enable-sleep-mode" in command(name="warm", pool=pool, socket=SOCKET, cpu=False)
    assert variables(pool, tmp_path)["VLLM_SERVER_DEV_MODE"] == "1"
    stops = Pool(model="m", keep_warm=KeepWarm(idle_minutes=5, rest="stop"))
    assert "--enable-sleep-mode" not in command(name="warm", pool=stops, socket=SOCKET, cpu=True)
    assert "VLLM_SERVER_DEV_MODE" not in variables(stops, tmp_path)


def test_answers_that_do_not_depend_on_the_batch_are_a_variable(tmp_path: Path) -> None:
    pool = Pool(model="m", batch_invariant=True)
    assert command(name="warm", pool=pool, socket=SOCKET, cpu=False)
    assert variables(pool, tmp_path)["VLLM_BATCH_INVARIANT"] == "1"
    assert "VLLM_BATCH_INVARIANT" not in variables(Pool(model="m"), tmp_path)


@pytest.mark.parametrize(
    "pool, message",
    [
        (Pool(model="m", batch_invariant=True), r"pools\.warm\.batch_invariant: .* dtype: float32"),
        (Pool(model="m", keep_warm=KeepWarm(idle_minutes=5)), r"pools\.warm\.keep_warm\.rest: .* use rest: stop"),
    ],
)
def test_what_only_a_gpu_can_is_refused_where_vllm_is_built_for_a_cpu(pool: Pool, message: str) -> None:
    assert is_cpu_build()  # this environment's
    with pytest.raises(ConfigInvalid, match=message):
        command(name="warm", pool=pool, socket=SOCKET)


@pytest.mark.parametrize("variable, key", OWNED_VARIABLES.items())
def test_a_variable_that_a_key_sets_is_refused(variable: str, key: str) -> None:
    with pytest.raises(ConfigInvalid, match=rf"pools\.warm\.environment: {variable}: use pools\.warm\.{key}"):
        command(name="warm", pool=Pool(model="m", environment={variable: "1"}), socket=SOCKET)


def variables(pool: Pool, folder: Path) -> dict[str, str]:
    return environment(pool=pool, paths=EnginePaths(home=folder, pool="warm"), environ={}, secrets=())


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
