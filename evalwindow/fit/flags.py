"""What pools.<name>.arguments say about memory."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evalwindow.fit.errors import CantTell

#: vLLM's human-readable integers: k is a thousand, K 1024; only thousands may have decimals
_UNITS = {unit: 1000**power for power, unit in enumerate("kmgt", 1)}
_UNITS |= {unit: 1024**power for power, unit in enumerate("KMGT", 1)}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)([kKmMgGtT]?)")

_SHORT = {"-tp": "--tensor-parallel-size", "-pp": "--pipeline-parallel-size", "-dp": "--data-parallel-size"}
_SHORT |= {"-q": "--quantization", "-sc": "--speculative-config"}

#: They change what an engine takes, in a way that is not computed here.
_UNCOUNTED = (
    "--pipeline-parallel-size",
    "--data-parallel-size",
    "--cpu-offload-gb",
    "--speculative-config",
    "--hf-overrides",
    "--num-gpu-blocks-override",
)
_SWITCHES = ("--enforce-eager", "--no-enforce-eager", "--enable-chunked-prefill", "--no-enable-chunked-prefill")
_VALUES = ("--tensor-parallel-size", "--kv-cache-dtype", "--kv-cache-memory-bytes", "--quantization", "--load-format")
_KNOWN = (*_VALUES, *_SWITCHES, *_UNCOUNTED)


@dataclass(frozen=True, kw_only=True)
class Flags:
    """The arguments of vLLM that an engine's memory depends on, and that no key of a pool sets."""

    tensor_parallel: int = 1
    kv_cache_dtype: str = "auto"
    kv_cache_bytes: int | None = None  # a fixed KV cache: vLLM then measures nothing
    quantization: str | None = None
    load_format: str = "auto"
    eager: bool = False  # no CUDA graphs
    chunked: bool = True  # long prompts may be read in several steps
    uncounted: tuple[str, ...] = ()  # flags whose effect is not computed


def flags_of(arguments: Sequence[str]) -> Flags:
    """Raises CantTell for a value that vLLM would not take either."""
    given = dict(_pairs(arguments))
    fixed = given.get("--kv-cache-memory-bytes")
    return Flags(
        tensor_parallel=_number(given.get("--tensor-parallel-size", "1"), "--tensor-parallel-size"),
        kv_cache_dtype=given.get("--kv-cache-dtype", "auto"),
        kv_cache_bytes=None if fixed is None else _number(fixed, "--kv-cache-memory-bytes"),
        quantization=given.get("--quantization"),
        load_format=given.get("--load-format", "auto"),
        eager=_last(arguments, on="--enforce-eager", off="--no-enforce-eager", default=False),
        chunked=_last(arguments, on="--enable-chunked-prefill", off="--no-enable-chunked-prefill", default=True),
        uncounted=tuple(flag for flag in _UNCOUNTED if given.get(flag, "1") not in ("0", "1")),
    )


def flag_of(argument: str) -> str:
    """`--gpu_memory_utilization=0.5` -> `--gpu-memory-utilization`, as vLLM's parser reads it."""
    return argument.split("=", 1)[0].replace("_", "-")


def _full(argument: str) -> str | None:
    """The flag that an argument is, or abbreviates: vLLM takes any unambiguous beginning of a flag."""
    flag = flag_of(argument)
    if not flag.startswith("--"):
        return _SHORT.get(flag)
    if flag in _KNOWN:
        return flag
    meant = [known for known in _KNOWN if known.startswith(flag)]
    return meant[0] if len(meant) == 1 and len(flag) > len("--") else None


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place, argument in enumerate(arguments):
        flag = _full(argument)
        if flag is None or flag in _SWITCHES:
            continue
        _, given, value = argument.partition("=")
        if not given:
            value = arguments[place + 1] if place + 1 < len(arguments) else ""
        yield flag, value


def _last(arguments: Sequence[str], *, on: str, off: str, default: bool) -> bool:
    seen = [flag == on for flag in map(_full, arguments) if flag in (on, off)]
    return seen[-1] if seen else default


def _number(text: str, flag: str) -> int:
    match = _NUMBER.fullmatch(text.strip())
    if match is None or (match[2] in "KMGT" and match[2] and "." in match[1]):
        raise CantTell(f"{flag} {text!r} is no number that vLLM reads; write 4096, 4k (4,000) or 4K (4,096)")
    number = int(float(match[1]) * _UNITS.get(match[2], 1))
    if number < 1:
        raise CantTell(f"{flag} {text!r} is below 1")
    return number
