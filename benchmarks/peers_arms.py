"""The arms that are not ours: vLLM alone, lm_eval in the engine's process and over HTTP, Inspect AI over HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.peers_job import NAME, Job
from benchmarks.peers_process import Ended, Server, quiet, run_command, serving
from benchmarks.peers_report import Arm
from benchmarks.sizes import arguments
from evalwindow.config import Pool
from evalwindow.engines.vllm_server import command


def offline(job: Job) -> Arm:
    """The limit: nothing but generation."""
    asked = {
        "engine": {"model": str(job.model), **job.size.offline},
        "sampling": {"temperature": job.sampling.temperature, "max_tokens": job.sampling.max_tokens},
        "prompts": [[{"role": "user", "content": prompt}] for prompt in job.prompts],
    }
    ended = _run(job, [sys.executable, "-m", "benchmarks.offline"], asked, log="offline")
    pairs = zip(ended.result["texts"], job.targets, strict=True)
    right = sum(text.strip() == target.strip() for text, target in pairs)
    return _in_one_process("offline LLM.chat", ended, exact=right / len(job.targets))


def lm_eval_vllm(job: Job, python: Path) -> Arm:
    asked = {
        "kind": "vllm",
        "arguments": {"pretrained": str(job.model), **job.size.offline},
        "batch_size": "auto",
        "tasks": str(job.tasks),
        "task": NAME,
    }
    ended = _run(job, [str(python), "-m", "benchmarks.peers_lm_eval"], asked, log="lm-eval-vllm")
    return _in_one_process("lm_eval, its vllm backend", ended, exact=ended.result["exact"])


def lm_eval_api(job: Job, python: Path) -> tuple[Arm, float]:
    """Against our pool's command line, on TCP where the pool has a Unix socket; and what its start took."""
    with serving(pool_flags(job), environ=_environ(job), log=job.home / "lm-eval-server.log") as server:
        asked = {
            "kind": "local-chat-completions",
            "arguments": {
                "model": NAME,
                "base_url": f"{server.url}/v1/chat/completions",
                "num_concurrent": connections(job),
                "tokenizer_backend": None,
            },
            "batch_size": 1,
            "tasks": str(job.tasks),
            "task": NAME,
        }
        line = [str(python), "-m", "benchmarks.peers_lm_eval"]
        arm = _over_http("lm_eval, its API backend", job, server, line=line, asked=asked, log="lm-eval-api")
        return arm, server.ready_s


def inspect_ai(job: Job, python: Path) -> tuple[Arm, float]:
    """Against what `vllm serve` starts, with the engine's flags alone; and what its start took."""
    with serving(serve_flags(job), environ=_environ(job), log=job.home / "inspect-server.log") as server:
        asked = {
            "model": NAME,
            "url": f"{server.url}/v1",
            "data": str(job.data),
            "connections": connections(job),
            "temperature": job.sampling.temperature,
            "max_tokens": job.sampling.max_tokens,
            "logs": str(job.home / "inspect-logs"),
        }
        line = [str(python), "-m", "benchmarks.peers_inspect"]
        arm = _over_http("Inspect AI, vLLM's server", job, server, line=line, asked=asked, log="inspect")
        return arm, server.ready_s


def connections(job: Job) -> int:
    """Twice what the engine takes at once: it never waits for a harness to send the next prompt."""
    return 2 * job.size.max_num_seqs


def pool_flags(job: Job) -> list[str]:
    """What the GPU unit starts, without its Unix socket."""
    pool = Pool(model=str(job.model), **{**job.size.pool, "arguments": tuple(job.size.pool["arguments"])})
    line = command(name=NAME, pool=pool, socket=job.home / "unused")
    flags = line[line.index("-m") + 2 :]
    socket = flags.index("--uds")
    return [*flags[:socket], *flags[socket + 2 :]]


def serve_flags(job: Job) -> list[str]:
    engine = {"model": str(job.model), "served_model_name": NAME, **job.size.offline}
    return [*arguments(engine), "--disable-uvicorn-access-log"]


def _in_one_process(name: str, ended: Ended, *, exact: float) -> Arm:
    spent = ended.result
    return Arm(
        name=name,
        work_s=spent["seconds"],
        command_s=ended.wall_s - spent["spare_s"],
        beside_cpu_s=None,
        work_cpu_s=spent["cpu_s"],
        command_cpu_s=ended.cpu_s - spent["spare_cpu_s"],
        prompt_tokens=spent["prompt_tokens"],
        output_tokens=spent["output_tokens"],
        exact=exact,
    )


def _over_http(name: str, job: Job, server: Server, *, line: Sequence[str], asked: Mapping[str, Any], log: str) -> Arm:
    ended = _run(job, line, {**asked, "engine": server.engine.as_job()}, log=log)
    spent = ended.result
    return Arm(
        name=name,
        work_s=spent["seconds"],
        command_s=ended.wall_s - spent["spare_s"],
        beside_cpu_s=spent["cpu_s"],
        work_cpu_s=spent["cpu_s"] + spent["engine_cpu_s"],
        command_cpu_s=ended.cpu_s - spent["spare_cpu_s"] + spent["engine_cpu_s"],
        prompt_tokens=round(spent["prompt_tokens"]),
        output_tokens=round(spent["output_tokens"]),
        exact=spent["exact"],
    )


def _run(job: Job, line: Sequence[str], asked: Mapping[str, Any], *, log: str) -> Ended:
    path = job.home / f"{log}.json"
    path.write_text(json.dumps({**asked, "rounds": job.rounds}))
    return run_command([*line, str(path)], environ=_environ(job), log=job.home / f"{log}.log")


def _environ(job: Job) -> dict[str, str]:
    return quiet(job.home, job.size.environment)
