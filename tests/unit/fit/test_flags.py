"""Arguments of vLLM as they are written in a pool."""

from __future__ import annotations

from typing import Any

import pytest

from evalwindow.fit.errors import CantTell
from evalwindow.fit.flags import Flags, flags_of


@pytest.mark.parametrize(
    "arguments, fields",
    [
        ([], {}),
        (["--tensor-parallel-size", "4"], {"tensor_parallel": 4}),
        (["--tensor_parallel_size=4"], {"tensor_parallel": 4}),
        (["-tp", "2"], {"tensor_parallel": 2}),
        (["-tp=2"], {"tensor_parallel": 2}),
        (["--kv-cache-memory-bytes", "67108864"], {"kv_cache_bytes": 64 * 2**20}),
        (["--kv-cache-memory-bytes=64M"], {"kv_cache_bytes": 64 * 2**20}),
        (["--kv-cache-memory=1.5g"], {"kv_cache_bytes": 1_500_000_000}),  # as vLLM's own log abbreviates it
        (["--kv-cache-dtype", "fp8", "--enforce-eager"], {"kv_cache_dtype": "fp8", "eager": True}),
        (["--enforce-eager", "--no-enforce-eager"], {}),
        (["--no-enable-chunked-prefill"], {"chunked": False}),
        (["-q", "fp8", "--load-format", "dummy"], {"quantization": "fp8", "load_format": "dummy"}),
        (["-pp", "1", "--cpu-offload-gb", "0"], {}),
        (["-pp", "2"], {"uncounted": ("--pipeline-parallel-size",)}),
        (["--speculative-config", "{}"], {"uncounted": ("--speculative-config",)}),
        (["--disable-log-stats", "--chat-template", "x.jinja"], {}),
    ],
)
def test_what_memory_depends_on_is_read(arguments: list[str], fields: dict[str, Any]) -> None:
    assert flags_of(arguments) == Flags(**fields)


@pytest.mark.parametrize("text", ["", "many", "1.5G", "-1", "0", "4 GiB"])
def test_a_number_that_vllm_does_not_read_is_refused(text: str) -> None:
    with pytest.raises(CantTell, match="--kv-cache-memory-bytes"):
        flags_of([f"--kv-cache-memory-bytes={text}"])
