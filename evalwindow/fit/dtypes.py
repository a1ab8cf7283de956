"""Bytes of the number formats that engines compute and keep in."""

from __future__ import annotations

from evalwindow.fit.errors import CantTell

_COMPUTED = {"float16": 2, "half": 2, "bfloat16": 2, "float32": 4, "float": 4}
_KEPT = {"float16": 2, "bfloat16": 2, "fp8": 1, "fp8_e4m3": 1, "fp8_e5m2": 1, "fp8_inc": 1}


def computed_bytes(dtype: str) -> int:
    """Bytes of a weight or an activation. Raises CantTell for an unknown format."""
    if dtype not in _COMPUTED:
        raise CantTell(f"dtype {dtype!r} is not known here; known: {', '.join(_COMPUTED)}")
    return _COMPUTED[dtype]


def resolved(asked: str, *, stored: str) -> str:
    """What vLLM computes in: `auto` is the stored format, but bfloat16 for weights stored in float32."""
    if asked != "auto":
        return asked
    return "bfloat16" if stored == "float32" else stored


def kept_bytes(kv_cache_dtype: str, *, dtype: str) -> int:
    """Bytes of a number in the KV cache. Raises CantTell for a format with scales or packing of its own."""
    if kv_cache_dtype == "auto":
        return computed_bytes(dtype)
    if kv_cache_dtype not in _KEPT:
        raise CantTell(f"--kv-cache-dtype {kv_cache_dtype} is not counted here; counted: auto, {', '.join(_KEPT)}")
    return _KEPT[kv_cache_dtype]
