"""The processes of the peers: a command run to its end, and a vLLM server on the loopback."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.peers_clock import Engine
from demo.walkthrough.stage import ROOT
from evalwindow.processes import Process, await_ready, free_port

HOST = "127.0.0.1"
GRACE_S = 5.0
READY_S = 180.0


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that went well."""

    result: dict[str, Any]
    wall_s: float  # from its start to its end
    cpu_s: float  # its own and of all its children


def quiet(home: Path, engine: Mapping[str, str]) -> dict[str, str]:
    """The environment of every arm's process: the engine's, no hub, nothing sent, next to nothing logged."""
    return {
        **os.environ,
        **engine,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(home / "hf"),
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CACHE_ROOT": str(home / "vllm"),
        "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "120",  # as the GPU unit sets it: no connection ends under a client
        "LMEVAL_LOG_LEVEL": "ERROR",
        "POOL_API_KEY": "none",
        "NO_PROXY": HOST,
    }


def run_command(line: Sequence[str], *, environ: Mapping[str, str], log: Path) -> Ended:
    """The JSON after "RESULT ", or all that it prints; raises RuntimeError with its last words when there is none."""
    begun = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "evalwindow.guard",
                str(GRACE_S),
                *line,
            ],  # a benchmark that is killed leaves nothing
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert process.stdin is not None and process.stdout is not None
        with process.stdin, process.stdout:
            out = process.stdout.read().decode()
            _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if not (result := _result(out)):
        words = log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{shlex.join(line)} ended with exit code {process.returncode}:\n{words}")
    return Ended(result=result, wall_s=wall_s, cpu_s=used.ru_utime + used.ru_stime)


def _result(out: str) -> dict[str, Any]:
    """Empty where there is none."""
    lines = [line.removeprefix("RESULT ") for line in out.splitlines() if line.startswith("RESULT ")]
    try:
        found: dict[str, Any] = json.loads(lines[-1] if lines else out)
    except json.JSONDecodeError:
        return {}
    return found


@dataclass(frozen=True, kw_only=True)
class Server:
    """A vLLM server that is ready."""

    url: str
    process: Process
    ready_s: float  # its start took

    @property
    def engine(self) -> Engine:
        assert self.process.pid is not None
        return Engine(url=self.url, pid=self.process.pid)


@contextmanager
def serving(flags: Sequence[str], *, environ: Mapping[str, str], log: Path) -> Iterator[Server]:
    """`python -m vllm.entrypoints.openai.api_server FLAGS` on a free port, until the block ends."""
    port, begun = free_port(HOST, 0), time.perf_counter()
    line = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *flags, "--host", HOST, "--port", str(port)]
    process = Process(name="vllm", command=shlex.join(line), environ=environ, log=log, notify=lambda ended: None)
    url = f"http://{HOST}:{port}"
    process.start()
    try:
        await_ready({"vllm": process}, lambda: None if _healthy(url) else "vllm", ready_s=READY_S)
        yield Server(url=url, process=process, ready_s=time.perf_counter() - begun)
    finally:
        process.ask()
        process.wait()


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False
