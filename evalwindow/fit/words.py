"""The arithmetic in words: for a refusal, and for whoever reads it at night."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from evalwindow.fit.estimate import GIB
from evalwindow.fit.pools import PoolFit, Verdict

if TYPE_CHECKING:
    from evalwindow.fit.gpus import GpuFit

_WHAT = 16  # columns
_STEP = 16  # tokens to which a suggested length is rounded down


def gib(number: int | float) -> str:
    return f"{in_gib(number)} GiB"


def in_gib(number: int | float) -> str:
    """1.234 -> '1.23'; small ones with the digits that say something."""
    value = number / GIB
    return f"{value:,.2f}" if abs(value) >= 0.1 or not value else f"{value:.2g}"


def pool_lines(fit: PoolFit) -> Iterator[str]:
    """What a pool needs, line by line, what is missing, and what would help."""
    yield f"pool {fit.pool!r} does not fit {_place(fit)}:"
    for line in fit.estimate.lines:
        yield _line(line.what, line.bytes, line.how)
    yield _line("together", fit.estimate.bytes, "without a KV cache")
    yield _line("KV cache left", max(0, fit.kv_bytes or 0), _left(fit))
    yield _line("KV cache needed", fit.sequence_bytes, f"one sequence of {fit.engine.max_model_len:,} tokens")
    for remedy in remedies(fit):
        yield f"  {remedy}"


def remedies(fit: PoolFit) -> Iterator[str]:
    """What would make it fit, nearest first; of a pool that is too large."""
    if fit.verdict is not Verdict.TOO_LARGE:
        return
    if fit.longest and (fit.kv_bytes or 0) < fit.sequence_bytes:
        yield f"it fits with max_model_len: {_rounded(fit.longest)}"
    if fit.gpu_bytes is not None and fit.least_bytes + fit.estimate.beside > fit.gpu_bytes:
        yield from _larger(fit)
    elif fit.engine.flags.kv_cache_bytes is None:
        yield f"it fits with memory_gib: {_up(fit.least_bytes):g}"
    else:
        most = (
            "" if fit.gpu_bytes is None else f" and at most {fit.gpu_bytes - fit.estimate.beside - fit.estimate.bytes}"
        )
        yield f"it fits with --kv-cache-memory-bytes of at least {fit.sequence_bytes}{most}"


def _larger(fit: PoolFit) -> Iterator[str]:
    if fit.engine.flags.kv_cache_dtype == "auto" and 2 * fit.sequence_bytes > fit.least_bytes:
        yield "--kv-cache-dtype fp8 halves the KV cache"
    need = f"{_up(fit.least_bytes + fit.estimate.beside):g} GiB"
    yield f"it needs {need}: a larger GPU, more of them (--tensor-parallel-size), or quantised weights"


def sum_lines(gpu: GpuFit) -> Iterator[str]:
    """What the pools of a GPU take together, and how it could be shared out."""
    yield f"the pools on {gpu.name} do not fit into its {gib(gpu.bytes)} together:"
    for claim in gpu.claims:
        yield _line(
            claim.pool, claim.bytes or 0, f"and {gib(claim.beside)} beside it: CUDA, log-probabilities of prompts"
        )
    yield _line("together", gpu.claimed, f"{gib(-gpu.left)} too much")
    shares = " and ".join(f"pools.{pool}.memory_gib: {share:g}" for pool, share in gpu.shares.items())
    yield f"  they fit with {shares}" if shares else "  they don't fit in any way: give one of them another GPU"


def _place(fit: PoolFit) -> str:
    of = "" if fit.gpu_bytes is None else f" ({gib(fit.gpu_bytes)})"
    name = fit.gpu or "its GPU"
    return f"{name}{of}" if fit.budget is None else f"into {gib(fit.budget)} of {name}{of}"


def _left(fit: PoolFit) -> str:
    if fit.engine.flags.kv_cache_bytes is not None:
        return "--kv-cache-memory-bytes"
    missing = -(fit.kv_bytes or 0)
    return f"{gib(missing)} are missing for the rest alone" if missing > 0 else f"of {gib(fit.budget or 0)}"


def _line(what: str, number: int, how: str) -> str:
    return f"  {what:<{_WHAT}} {in_gib(number):>8} GiB  {how}"


def _rounded(tokens: int) -> int:
    return tokens // _STEP * _STEP or tokens


def _up(number: int) -> float:
    """GiB, rounded up to a tenth."""
    return math.ceil(number / GIB * 10) / 10
