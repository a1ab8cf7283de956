"""The arithmetic as JSON. All sizes are bytes, on one GPU."""

from __future__ import annotations

from typing import Any

from evalwindow.fit.gpus import GpuFit
from evalwindow.fit.pools import PoolFit
from evalwindow.fit.words import remedies


def pool_document(fit: PoolFit) -> dict[str, Any]:
    lines = [{"what": line.what, "bytes": line.bytes, "how": line.how} for line in fit.estimate.lines]
    return {
        "pool": fit.pool,
        "verdict": fit.verdict,
        "architecture": fit.shape.architecture,
        "gpu": fit.gpu,
        "gpu_bytes": fit.gpu_bytes,
        "gpus": fit.engine.flags.tensor_parallel,
        "budget_bytes": fit.budget,
        "lines": lines,
        "beside_bytes": fit.estimate.beside,
        "kv_cache_bytes": fit.kv_bytes,
        "kv_bytes_a_token": fit.estimate.kept.token_bytes,
        "kv_tokens": fit.kv_tokens,
        "max_model_len": fit.engine.max_model_len,
        "sequence_bytes": fit.sequence_bytes,
        "longest_sequence": fit.longest,
        "typical_tokens": min(fit.typical_tokens, fit.engine.max_model_len),
        "typical_at_once": fit.typical_at_once,
        "max_num_seqs": fit.engine.max_num_seqs,
        "least_bytes": fit.least_bytes,
        "remedies": list(remedies(fit)),
    }


def gpu_document(gpu: GpuFit) -> dict[str, Any]:
    claims = [{"pool": claim.pool, "bytes": claim.bytes, "beside_bytes": claim.beside} for claim in gpu.claims]
    return {
        "gpu": gpu.name,
        "bytes": gpu.bytes,
        "fits": gpu.fits,
        "claims": claims,
        "left_bytes": gpu.left,
        "memory_gib": dict(gpu.shares),
    }
