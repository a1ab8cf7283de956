"""Whether models fit their GPUs: arithmetic from config.json and the weights' headers, before anything is loaded."""

from __future__ import annotations

from evalwindow.fit.documents import gpu_document, pool_document
from evalwindow.fit.errors import CantTell, DoesNotFit
from evalwindow.fit.gpus import Claim, GpuFit, check_fit, fit_of, gpu_fit, room_beside
from evalwindow.fit.pools import TYPICAL_TOKENS, PoolFit, Verdict, pool_fit
from evalwindow.fit.words import gib, in_gib, remedies

__all__ = [
    "TYPICAL_TOKENS",
    "CantTell",
    "Claim",
    "DoesNotFit",
    "GpuFit",
    "PoolFit",
    "Verdict",
    "check_fit",
    "fit_of",
    "gib",
    "gpu_document",
    "gpu_fit",
    "in_gib",
    "pool_document",
    "pool_fit",
    "remedies",
    "room_beside",
]
