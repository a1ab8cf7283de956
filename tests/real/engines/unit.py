"""A GPU unit of the tiny model, started as users start it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import yaml

from evalwindow.config import Config
from evalwindow.config_file import read_config
from evalwindow.engines.paths import EnginePaths
from evalwindow.engines.record import EngineRecord, read_record
from evalwindow.engines.retry import Backoff
from evalwindow.engines.vllm import VllmEngine
from evalwindow.errors import NotFound
from tests.real.engines.tiny import write_model
from workers.groups import die_with

POOL, MODEL = "warm", "tiny"
READY_WITHIN_S = 540  # a start takes 15 s on an idle machine, minutes on a crowded one
#: Of the engines of all tests. vLLM keeps there what it found out about a model's class, for which it starts a Python
#: with all of its imports: a third of a start.
VLLM_CACHE = Path(__file__).parents[3] / ".pytest_cache" / "vllm"


@dataclass
class GpuUnit:
    """`python -m workers.gpu` in a folder of its own."""

    folder: Path
    pool: Mapping[str, Any] = field(default_factory=dict)  # over the defaults
    gpus: Mapping[str, float] = field(default_factory=dict)  # GiB of each
    arguments: tuple[str, ...] = ("--engine-only",)
    environment: Mapping[str, str] = field(default_factory=dict)
    adapters: dict[str, Mapping[str, bytes]] = field(default_factory=dict)  # what the store would hold, by digest
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        (self.folder / "suites").mkdir(parents=True, exist_ok=True)
        if not (self.folder / "model").exists():
            write_model(self.folder / "model")
        self.write_config({})

    def write_config(self, pool: Mapping[str, Any]) -> None:
        """evalwindow.yaml with `pool` over what this unit's pool has of its own; an environment adds to the others."""
        tiny = {
            "model": "model",
            "dtype": "float32",
            "max_num_seqs": 16,
            "max_model_len": 512,
            "shutdown_s": 20,
            "lora": {"max_adapters": 2, "max_rank": 8},
            "arguments": ["--enforce-eager", "--kv-cache-memory-bytes", "16777216"],
        }
        environment = {
            "OMP_NUM_THREADS": "1",
            "TORCH_COMPILE_DISABLE": "1",
            "VLLM_CACHE_ROOT": str(VLLM_CACHE),
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # one process less to start: the core computes, as on one GPU
        }
        for own in (self.pool, pool):
            environment |= own.get("environment", {})
        lanes = {"smoke": {"slots": 6, "priority": -10}, "regression": {"slots": 10}}
        models = {MODEL: {"engine": "vllm", "pool": POOL}}
        pools = {POOL: {**tiny, **self.pool, **pool, "environment": environment}}
        gpus = {name: {"memory_gib": gib} for name, gib in self.gpus.items()}
        config = {"suites": "suites", "lanes": lanes, "pools": pools, "models": models, "gpus": gpus}
        self.config_path.write_text(yaml.safe_dump(config))

    @property
    def config_path(self) -> Path:
        return self.folder / "evalwindow.yaml"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def config(self) -> Config:
        return read_config(self.config_path)

    @property
    def paths(self) -> EnginePaths:
        return EnginePaths(home=self.home, pool=POOL)

    @property
    def record(self) -> EngineRecord | None:
        return read_record(self.paths.record)

    @property
    def log(self) -> str:
        return (self.folder / "unit.log").read_text()

    @property
    def engine_log(self) -> str:
        return self.paths.log.read_text(errors="replace")

    def start(self) -> None:
        """It ends with these tests, however they end. From the main thread: see workers.groups.spawn."""
        environment = {
            **os.environ,
            **self.environment,
            "EVALWINDOW_HOME": str(self.home),
            "EVALWINDOW_CONFIG": str(self.config_path),
        }
        command = [sys.executable, "-m", "workers.gpu", "--pool", POOL, *self.arguments]
        with (self.folder / "unit.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, preexec_fn=partial(die_with, os.getpid())
            )

    def wait_ready(self, *, but_not: int | None = None) -> EngineRecord:
        """The record of a ready engine, whose pid is another than `but_not`."""
        assert self.process is not None
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            record = self.record
            if record is not None and record.pid != but_not:
                return record
            assert self.process.poll() is None, f"the unit ended:\n{self.log}"
            time.sleep(0.1)
        raise AssertionError(f"not ready:\n{self.log}")

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """The unit's own process alone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM and the exit status; the exit status alone of one that has ended."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(120)

    @property
    def consumers(self) -> dict[str, psutil.Process]:
        """Tier -> process; a consumer that is ready bears its node name as its title."""
        assert self.process is not None
        titles = {child: " ".join(child.cmdline()) for child in psutil.Process(self.process.pid).children()}
        found = {child: re.search(r"celeryd: (\w+)\.warm\.", title) for child, title in titles.items()}
        return {match[1]: child for child, match in found.items() if match}

    def engine(self, *, patience_s: float = 10.0) -> VllmEngine:
        backoff = Backoff(patience_s=patience_s)
        return VllmEngine(home=self.home, pool=POOL, config=self.config, artifact=self.artifact, backoff=backoff)

    def artifact(self, digest: str) -> Mapping[str, bytes]:
        if digest not in self.adapters:
            raise NotFound(kind="artifact", name=digest)
        return self.adapters[digest]


def family(pid: int) -> list[psutil.Process]:
    """A process and all its descendants."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def gone(processes: list[psutil.Process], *, within_s: float = 30) -> bool:
    """Whether all of them have ended. A zombie that waits for its parent has ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(_lives(process) for process in processes):
            return True
        time.sleep(0.1)
    return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
