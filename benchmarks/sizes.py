"""tiny, mid and 8b: a model, how its engine is set up, and how long prompts and answers are with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.models import write_mid_model, write_shape
from demo.walkthrough.stage import ROOT

TINY = ROOT / "demo/models/baseline"
THREADS = "1"  # of the engine, in every arm: as beside a GPU, what surrounds it has a core of its own
ON_CPU: Mapping[str, str] = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "OMP_NUM_THREADS": THREADS,
    "TORCH_COMPILE_DISABLE": "1",
}
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Long:
    """One tenant's long prompts, and what the others are kept from by them."""

    tokens: tuple[int, int]  # of a prompt, from and to
    max_tokens: int  # of an answer
    step_tokens: int  # of an engine's step, where long prompts are read in chunks
    shard_tokens: int  # of a shard: several long prompts, and all short ones
    engine: Mapping[str, Any]  # laid over the size's own


@dataclass(frozen=True, kw_only=True)
class Size:
    """A model and its measures. `engine`: what the served and the offline engine share, as arguments of `vllm.LLM`."""

    name: str
    write: Callable[[Path], Path]  # the model in a folder, or where it is already
    dtype: str = "float32"
    max_model_len: int = 2048
    max_num_seqs: int = 64
    slots: tuple[int, int] = (10, 54)  # of smoke and regression
    engine: Mapping[str, Any] = field(
        default_factory=lambda: {"enforce_eager": True, "kv_cache_memory_bytes": 512 * MIB}
    )
    environment: Mapping[str, str] = field(default_factory=lambda: ON_CPU)
    tokens: int  # of a regression's answer, at most
    smoke_tokens: int = 64
    gap_s: float  # from one smoke to the next
    long: Long
    gpu: bool = False

    @property
    def pool(self) -> dict[str, Any]:
        """As in evalwindow.yaml, without the model."""
        return {
            "dtype": self.dtype,
            "max_model_len": self.max_model_len,
            "max_num_seqs": self.max_num_seqs,
            "arguments": arguments(self.engine),
            "environment": dict(self.environment),
        }

    @property
    def lanes(self) -> dict[str, dict[str, Any]]:
        """As in evalwindow.yaml; what isn't named is the default."""
        smoke, regression = self.slots
        return {"smoke": {"slots": smoke, "priority": -10}, "regression": {"slots": regression, "priority": 0}}

    @property
    def offline(self) -> dict[str, Any]:
        """Arguments of `vllm.LLM` that make the same engine, without the model."""
        own = {"dtype": self.dtype, "max_model_len": self.max_model_len, "max_num_seqs": self.max_num_seqs}
        return {**own, **self.engine}

    def for_long_prompts(self) -> Size:
        """The same with room for them."""
        engine = {**self.engine, **self.long.engine}
        longest = self.long.tokens[1] + self.long.max_tokens
        return replace(self, max_model_len=max(self.max_model_len, 2 ** longest.bit_length()), engine=engine)


def arguments(engine: Mapping[str, Any]) -> list[str]:
    """Of vllm.LLM as of its API server: enforce_eager=True is --enforce-eager."""
    line: list[str] = []
    for name, value in engine.items():
        flag = f"--{name.replace('_', '-')}"
        line += [flag] if value is True else [flag, str(value)]
    return line


def _tiny(folder: Path) -> Path:
    return TINY


def _mid(folder: Path) -> Path:
    return write_mid_model(folder, tokenizer=TINY)


def _llama_8b(folder: Path) -> Path:
    return write_shape(folder, tokenizer=TINY)


SIZES: Mapping[str, Size] = {
    "tiny": Size(
        name="tiny",
        write=_tiny,
        tokens=48,
        gap_s=0.5,
        long=Long(
            tokens=(1_500, 3_000),
            max_tokens=128,
            step_tokens=256,
            shard_tokens=20_000,
            engine={"kv_cache_memory_bytes": 256 * MIB},  # 35,000 tokens
        ),
    ),
    "mid": Size(
        name="mid",
        write=_mid,
        tokens=64,
        gap_s=5.0,
        long=Long(tokens=(600, 1_200), max_tokens=64, step_tokens=256, shard_tokens=8_000, engine={}),
    ),
    "8b": Size(
        name="8b",
        write=_llama_8b,
        dtype="bfloat16",
        max_model_len=8192,
        max_num_seqs=128,
        slots=(16, 112),
        engine={"load_format": "dummy"},
        environment={},
        tokens=512,
        gap_s=3.0,
        long=Long(tokens=(20_000, 28_000), max_tokens=1024, step_tokens=2048, shard_tokens=100_000, engine={}),
        gpu=True,
    ),
}
