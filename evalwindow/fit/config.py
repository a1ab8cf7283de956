"""What evalwindow.yaml says about memory, checked in itself: no model is looked at."""

from __future__ import annotations

from collections.abc import Iterator

from evalwindow.config import Config, Pool
from evalwindow.errors import UnknownName
from evalwindow.faults import Fault
from evalwindow.fit.errors import CantTell
from evalwindow.fit.estimate import CONTEXT, GIB
from evalwindow.fit.flags import Flags, flags_of
from evalwindow.fit.pools import SHARE


def memory_faults(config: Config) -> Iterator[Fault]:
    """GPUs that nobody knows, shares that are too large, steps that vLLM would refuse."""
    for name, pool in config.pools.items():
        for key, what in (*_gpu(pool, config), *_arguments(pool)):
            yield Fault(path=("pools", name, key), what=what)
    for gpu in config.gpus:
        yield from _together(gpu, config)


def _gpu(pool: Pool, config: Config) -> Iterator[tuple[str, str]]:
    if pool.gpu is None:
        if pool.memory_gib is not None:
            yield "memory_gib", "it is a share of a GPU's memory; name the GPU in `gpu`, and describe it in `gpus`"
    elif pool.gpu not in config.gpus:
        yield "gpu", str(UnknownName("gpu", pool.gpu, config.gpus))
    elif pool.memory_gib is not None and pool.memory_gib > config.gpus[pool.gpu].memory_gib:
        most = config.gpus[pool.gpu].memory_gib
        yield "memory_gib", f"{pool.memory_gib:g} is more than the {most:g} GiB of gpu {pool.gpu!r}"


def _arguments(pool: Pool) -> Iterator[tuple[str, str]]:
    try:
        flags = flags_of(pool.arguments)
    except CantTell as reason:
        yield "arguments", str(reason)
        return
    if pool.memory_gib is not None and flags.kv_cache_bytes is not None:
        yield "memory_gib", "with --kv-cache-memory-bytes in `arguments` vLLM pays no heed to it; leave one of them out"
    if pool.step_tokens is not None:
        yield from _steps(pool.step_tokens, pool, flags)


def _steps(step_tokens: int, pool: Pool, flags: Flags) -> Iterator[tuple[str, str]]:
    if step_tokens < pool.max_num_seqs:
        what = f"{step_tokens} is less than max_num_seqs {pool.max_num_seqs}; a step computes a token of each sequence"
        yield "step_tokens", what
    if not flags.chunked and step_tokens < (pool.max_model_len or 0):
        what = f"{step_tokens} is less than max_model_len {pool.max_model_len}, and without chunked prefill"
        yield "step_tokens", f"{what} a prompt is read in one step"


def _together(gpu: str, config: Config) -> Iterator[Fault]:
    """Each engine takes its memory_gib, and beside it the context of its process."""
    size = config.gpus[gpu].memory_gib
    shares = {name: pool.memory_gib or SHARE * size for name, pool in config.pools.items() if _claims(pool, gpu)}
    context = CONTEXT / GIB
    total = sum(shares.values()) + context * len(shares)
    if len(shares) > 1 and total > size:
        parts = " + ".join(f"{share:g} ({name})" for name, share in shares.items())
        what = f"{parts} + {context:g} each for CUDA = {total:g}, more than the {size:g} GiB of gpu {gpu!r}"
        silent = [name for name in shares if config.pools[name].memory_gib is None]
        advice = f"give {' and '.join(silent)} a memory_gib" if silent else f"lower memory_gib by {total - size:.2g}"
        yield Fault(path=("pools", next(reversed(shares)), "gpu"), what=f"{what}; {advice}")


def _claims(pool: Pool, gpu: str) -> bool:
    """Of an engine with a fixed KV cache only `evalwindow fit` knows what it takes."""
    return pool.gpu == gpu and "--kv-cache-memory-bytes" not in " ".join(pool.arguments).replace("_", "-")
