"""Whether a pool's engine fits the memory that it is given."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from evalwindow.config import Gpu, Pool
from evalwindow.fit.dtypes import resolved
from evalwindow.fit.errors import CantTell
from evalwindow.fit.estimate import GIB, Engine, Estimate, estimate
from evalwindow.fit.flags import Flags, flags_of
from evalwindow.fit.hub import folder_of
from evalwindow.fit.shape import Shape, read_shape
from evalwindow.fit.weights import weights_of

SHARE = 0.92  # of a GPU's memory that vLLM takes where nothing is said (config/cache.py)
TYPICAL_TOKENS = 2048  # of a sequence, prompt and answer, where nobody says what is typical

#: GPU memory in GiB -> tokens of a step where nobody says it (vLLM: engine/arg_utils.py; an A100 has 2,048)
_STEP_TOKENS = ((160, 16384), (70, 8192), (0, 2048))


class Verdict(StrEnum):
    FITS = "fits"
    TIGHT = "tight"  # it runs, but not as many typical sequences at once as max_num_seqs asks for
    TOO_LARGE = "too large"
    NO_GPU = "no GPU named"  # nothing to hold it against


@dataclass(frozen=True, kw_only=True)
class PoolFit:
    """One pool's engine on each of its GPUs."""

    pool: str
    gpu: str | None
    gpu_bytes: int | None
    shape: Shape
    engine: Engine
    estimate: Estimate
    budget: int | None  # bytes it may take; None: no GPU is named, or its KV cache has a fixed size
    kv_bytes: int | None  # left for the KV cache; None: no GPU is named; below 0: not even the rest fits
    typical_tokens: int

    @property
    def bytes(self) -> int | None:
        """What it takes of its GPU, by vLLM's account."""
        fixed = self.engine.flags.kv_cache_bytes
        return self.budget if fixed is None else self.estimate.bytes + fixed

    @property
    def sequence_bytes(self) -> int:
        """Of the longest sequence: with less than that for its KV cache the engine does not start."""
        return self.estimate.kept.sequence_bytes(self.engine.max_model_len)

    @property
    def least_bytes(self) -> int:
        """With which it would start."""
        return self.estimate.bytes + self.sequence_bytes

    @property
    def kv_tokens(self) -> int | None:
        """As vLLM counts them: tokens of sequences of max_model_len."""
        if self.kv_bytes is None:
            return None
        return max(0, self.kv_bytes) * self.engine.max_model_len // self.sequence_bytes

    @property
    def longest(self) -> int | None:
        """Tokens of the longest sequence that it could serve."""
        if self.kv_bytes is None:
            return None
        return self.estimate.kept.longest(max(0, self.kv_bytes), most=self.shape.context)

    @property
    def typical_at_once(self) -> int | None:
        if self.kv_bytes is None:
            return None
        tokens = min(self.typical_tokens, self.engine.max_model_len)
        return max(0, self.kv_bytes) // self.estimate.kept.sequence_bytes(tokens)

    @property
    def verdict(self) -> Verdict:
        if self.kv_bytes is None or self.typical_at_once is None:
            return Verdict.NO_GPU
        over = self.gpu_bytes is not None and (self.bytes or 0) > self.gpu_bytes
        if over or self.kv_bytes < self.sequence_bytes:
            return Verdict.TOO_LARGE
        return Verdict.FITS if self.typical_at_once >= self.engine.max_num_seqs else Verdict.TIGHT


def pool_fit(name: str, pool: Pool, *, gpu: Gpu | None, typical_tokens: int = TYPICAL_TOKENS) -> PoolFit:
    """Reads config.json and the headers of the weights, no more. Raises CantTell with the reason, in words."""
    folder = folder_of(pool)
    return fit_in(folder, name=name, pool=pool, gpu=gpu, typical_tokens=typical_tokens)


def fit_in(folder: Path, *, name: str, pool: Pool, gpu: Gpu | None, typical_tokens: int) -> PoolFit:
    shape, flags = read_shape(folder), flags_of(pool.arguments)
    engine = _engine(shape, pool, flags=flags, gpu=gpu)
    weights = weights_of(folder, shape, flags=flags, dtype=engine.dtype)
    found = estimate(shape, weights, engine)
    budget = None if flags.kv_cache_bytes is not None else budget_of(pool, gpu)
    return PoolFit(
        pool=name,
        gpu=pool.gpu,
        gpu_bytes=None if gpu is None else int(gpu.memory_gib * GIB),
        shape=shape,
        engine=engine,
        estimate=found,
        budget=budget,
        kv_bytes=flags.kv_cache_bytes if budget is None else budget - found.bytes,
        typical_tokens=typical_tokens,
    )


def budget_of(pool: Pool, gpu: Gpu | None) -> int | None:
    """Bytes that an engine of the pool may take; None: no GPU is named."""
    if pool.memory_gib is not None:
        return int(pool.memory_gib * GIB)
    return None if gpu is None else int(gpu.memory_gib * SHARE * GIB)


def _engine(shape: Shape, pool: Pool, *, flags: Flags, gpu: Gpu | None) -> Engine:
    most = pool.max_model_len or shape.context
    if most > shape.context:
        raise CantTell(f"max_model_len {most:,} is more than the {shape.context:,} tokens that the model was made for")
    memory_gib = gpu.memory_gib if gpu else 0
    usual = next(tokens for least, tokens in _STEP_TOKENS if memory_gib >= least)
    step = pool.step_tokens or min(usual if flags.chunked else max(usual, most), pool.max_num_seqs * most)
    return Engine(
        dtype=resolved(pool.dtype, stored=shape.dtype),
        max_model_len=most,
        max_num_seqs=pool.max_num_seqs,
        step_tokens=step,
        lora=pool.lora,
        flags=flags,
        on_gpu=gpu is not None,
    )
