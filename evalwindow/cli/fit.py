"""fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from evalwindow.cli.show import AsJson, say, say_json, say_table
from evalwindow.config import Config, Gpu, Pool
from evalwindow.config_file import read_config
from evalwindow.errors import BadInput
from evalwindow.fit import (
    TYPICAL_TOKENS,
    CantTell,
    GpuFit,
    PoolFit,
    Verdict,
    fit_of,
    gib,
    gpu_document,
    gpu_fit,
    in_gib,
    pool_document,
    pool_fit,
    remedies,
)
from evalwindow.settings import read_settings

FITS, TOO_LARGE, CANT_TELL = 0, 1, 2
THIS_GPU = "the GPU"
_STYLES = {Verdict.FITS: "green", Verdict.TIGHT: "yellow", Verdict.TOO_LARGE: "red", Verdict.NO_GPU: "yellow"}


@dataclass(kw_only=True)
class Findings:
    """What was asked about."""

    pools: dict[str, PoolFit] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)  # pool -> why nobody can tell
    gpus: tuple[GpuFit, ...] = ()

    @property
    def code(self) -> int:
        if any(fit.verdict is Verdict.TOO_LARGE for fit in self.pools.values()) or not all(g.fits for g in self.gpus):
            return TOO_LARGE
        return CANT_TELL if self.unknown else FITS


def register(app: typer.Typer) -> None:
    app.command()(fit)


def fit(
    pools: Annotated[
        list[str] | None, typer.Argument(metavar="[POOL]...", help="Pools of the config; default: all.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Folder or hub name of a model that is in no config yet, instead of pools.")
    ] = None,
    memory_gib: Annotated[float | None, typer.Option(min=0.1, help="With --model: memory of one GPU.")] = None,
    max_model_len: Annotated[int | None, typer.Option(min=1, help="With --model, as in a pool.")] = None,
    max_num_seqs: Annotated[int, typer.Option(min=1, help="With --model, as in a pool.")] = 64,
    step_tokens: Annotated[int | None, typer.Option(min=1, help="With --model, as in a pool.")] = None,
    dtype: Annotated[str, typer.Option(help="With --model, as in a pool.")] = "auto",
    argument: Annotated[
        list[str] | None, typer.Option(help="With --model: an argument of vLLM, e.g. --argument=-tp=4; again for more.")
    ] = None,
    typical_tokens: Annotated[
        int, typer.Option(min=1, help="Prompt and answer of a typical sequence, for how many run at once.")
    ] = TYPICAL_TOKENS,
    json: AsJson = False,
) -> int:
    """Whether models fit their GPUs: weights, activations, KV cache, from config.json and the files' headers.

    Nothing is loaded. Exit code 0: all fit; 1: something doesn't; 2: of something nobody can tell.
    """
    if model is None:
        found = _of_config(pools or [], typical_tokens=typical_tokens)
    elif pools:
        raise BadInput("name pools, or give --model; not both")
    else:
        pool = Pool(
            model=model,
            dtype=dtype,
            max_model_len=max_model_len,
            max_num_seqs=max_num_seqs,
            step_tokens=step_tokens,
            gpu=None if memory_gib is None else THIS_GPU,
            arguments=tuple(argument or ()),
        )
        gpu = None if memory_gib is None else Gpu(memory_gib=memory_gib)
        found = Findings(pools={pool.model: pool_fit(pool.model, pool, gpu=gpu, typical_tokens=typical_tokens)})
    if json:
        say_json(_document(found))
    else:
        _say(found)
    return found.code


def _of_config(names: Sequence[str], *, typical_tokens: int) -> Findings:
    config = read_config(read_settings().config)
    found = Findings()
    for name in names or config.pools:
        try:
            found.pools[name] = fit_of(config, name, typical_tokens=typical_tokens)
        except CantTell as reason:
            found.unknown[name] = str(reason)
    found.gpus = tuple(_gpus(config, found))
    return found


def _gpus(config: Config, found: Findings) -> Iterator[GpuFit]:
    """GPUs of the pools that were asked about, with all pools on each."""
    asked = {config.pools[name].gpu for name in (*found.pools, *found.unknown)}
    for name in (name for name in config.gpus if name in asked):
        fits = dict(found.pools)
        for other in (pool for pool, settings in config.pools.items() if settings.gpu == name and pool not in fits):
            try:
                fits[other] = fit_of(config, other)
            except CantTell as reason:
                found.unknown.setdefault(other, str(reason))
        yield gpu_fit(config, name, fits)


def _say(found: Findings) -> None:
    for fit in found.pools.values():
        _say_pool(fit)
    for name, reason in found.unknown.items():
        say(f"{name}: can't tell", style="yellow")
        say(f"  {reason}")
        say()
    for gpu in found.gpus:
        _say_gpu(gpu)


def _say_pool(fit: PoolFit) -> None:
    say(f"{fit.pool}{_on(fit)}: {_headline(fit)}", style=_STYLES[fit.verdict])
    rows = [(f"  {line.what}", in_gib(line.bytes), line.how) for line in fit.estimate.lines]
    if fit.kv_bytes is not None:
        rows.append(("  KV cache", in_gib(fit.kv_bytes), _kv(fit)))
    say_table(("", "GiB", ""), rows, right=("GiB",))
    say(f"  {fit.estimate.kept.token_bytes:,} bytes of KV cache a token; {_capacity(fit)}")
    for remedy in remedies(fit):
        say(f"  {remedy}", style="red")
    say()


def _on(fit: PoolFit) -> str:
    count = fit.engine.flags.tensor_parallel
    if fit.gpu is None or fit.gpu_bytes is None:
        return "" if count == 1 else f", each of {count} GPUs"
    each = f"each of {count} x " if count > 1 else ""
    return f" on {each}{fit.gpu} ({gib(fit.gpu_bytes)})"


def _headline(fit: PoolFit) -> str:
    if fit.verdict is Verdict.TIGHT:
        tokens = min(fit.typical_tokens, fit.engine.max_model_len)
        at_once = f"{fit.typical_at_once} of {fit.engine.max_num_seqs} sequences of {tokens:,} tokens at once"
        return f"fits, but only {at_once}; the others wait"
    if fit.verdict is Verdict.NO_GPU:
        return "no GPU is named for it (`gpu`, `gpus`), so there is nothing to hold it against"
    return {Verdict.FITS: "fits", Verdict.TOO_LARGE: "DOES NOT FIT"}[fit.verdict]


def _kv(fit: PoolFit) -> str:
    if fit.engine.flags.kv_cache_bytes is not None:
        return "--kv-cache-memory-bytes"
    of = f"of {gib(fit.budget or 0)}"
    return (
        f"what is left {of}: vLLM takes all of it" if (fit.kv_bytes or 0) > 0 else f"{of}, the rest alone is too much"
    )


def _capacity(fit: PoolFit) -> str:
    if fit.kv_tokens is None or fit.kv_bytes is None:
        return f"a sequence of {fit.engine.max_model_len:,} tokens takes {gib(fit.sequence_bytes)}"
    if fit.kv_bytes <= 0:
        return "nothing is left for one"
    length = fit.engine.max_model_len
    whole = fit.kv_bytes / fit.sequence_bytes
    each = fit.kv_tokens // fit.engine.max_num_seqs
    at_once = f"{whole:,.1f} sequences of {length:,} at once, or {fit.engine.max_num_seqs} of {min(each, length):,}"
    return f"{fit.kv_tokens:,} tokens: {at_once}"


def _say_gpu(gpu: GpuFit) -> None:
    verdict = "its pools fit together" if gpu.fits else "ITS POOLS DO NOT FIT TOGETHER"
    say(f"{gpu.name}, {gib(gpu.bytes)}: {verdict}", style="green" if gpu.fits else "red")
    rows = [(f"  {claim.pool}", in_gib(claim.bytes or 0), _claim(claim.bytes)) for claim in gpu.claims]
    beside = sum(claim.beside for claim in gpu.claims)
    rows.append(("  beside them", in_gib(beside), "contexts of CUDA, log-probabilities of prompts"))
    rows.append(("  left" if gpu.fits else "  missing", in_gib(abs(gpu.left)), ""))
    say_table(("", "GiB", ""), rows, right=("GiB",))
    if not gpu.fits:
        shares = ", ".join(f"pools.{pool}.memory_gib: {share:g}" for pool, share in gpu.shares.items())
        say(f"  they fit with {shares}" if shares else "  they don't fit in any way: give one another GPU", style="red")
    say()


def _claim(number: int | None) -> str:
    return "" if number is not None else "not known: its KV cache has a fixed size, and the rest can't be told"


def _document(found: Findings) -> dict[str, Any]:
    return {
        "pools": [pool_document(fit) for fit in found.pools.values()],
        "unknown": [{"pool": name, "reason": reason} for name, reason in found.unknown.items()],
        "gpus": [gpu_document(gpu) for gpu in found.gpus],
        "fits": found.code == FITS,
    }
