"""`python -m benchmarks [part ...] [--size tiny|mid|8b] [--smokes N] [--rounds N] [--runs N] [--prompts N]
[--submissions N] [--over N]`: ratios.

Without names all parts run, one after another; one that fails is told and the others go on.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from benchmarks import gpu
from benchmarks.machine import machine
from benchmarks.sizes import SIZES
from evalwindow.errors import EvalwindowError

#: part -> sizes that it is measured with; none: it has no model of ours
PARTS: Mapping[str, tuple[str, ...]] = {
    "smoke": ("tiny",),
    "throughput": ("tiny", "mid"),
    "lanes": ("mid",),
    "fairness": ("tiny",),
    "flood": ("tiny",),
    "prefix": (),
    "batch_effects": ("mid",),
    "peers": ("tiny", "mid"),
    "night": ("tiny", "mid"),
    "datasets": (),
    "gpu": (),
}


def main() -> int:
    """Exit status: 1 if a part failed or could not be had here."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument("--size", choices=list(SIZES), help="of parts that have one; default: each part's own")
    parser.add_argument("--smokes", type=int, help="pull requests of smoke, smokes of an arm of lanes and flood")
    parser.add_argument("--rounds", type=int, help="of throughput: offline and served take turns so often")
    parser.add_argument("--runs", type=int, help="of fairness: of the short prompts in each arm")
    parser.add_argument("--submissions", type=int, help="of flood, instead of 4,000")
    parser.add_argument("--over", type=int, help="seconds of flood, instead of 600")
    parser.add_argument("--prompts", type=int, help="instead of 500, for a trial")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    named = bool(arguments.parts)
    failed = [part for part in arguments.parts or PARTS if not _run(part, vars(arguments), named=named)]
    if failed:
        print(f"\nnot measured: {', '.join(failed)}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def _run(part: str, given: Mapping[str, Any], *, named: bool) -> bool:
    """Whether it went well. A machine without a GPU is no failure unless a GPU was asked for."""
    try:
        for size in _sizes(part, given["size"]):
            _measure(importlib.import_module(f"benchmarks.{part}"), size, given)
    except EvalwindowError as refusal:
        print(f"\n{part}: {refusal}", file=sys.stderr, flush=True)
        return part == "gpu" and not named
    except Exception:  # noqa: BLE001 - told in full, and the others go on
        traceback.print_exc()
        return False
    return True


def _sizes(part: str, wanted: str | None) -> tuple[str | None, ...]:
    own = PARTS.get(part, ())
    if not own:
        return (None,)
    return own if wanted is None else (wanted,)


def _measure(module: ModuleType, size: str | None, given: Mapping[str, Any]) -> None:
    """Its `measure` with those of the options that it takes; the others are another part's. Raises NoGpu."""
    if size == gpu.SIZE:
        print(gpu.device(), flush=True)
    takes = inspect.signature(module.measure).parameters
    options = {name: given[name] for name in takes if given.get(name) is not None and name != "size"}
    outcome = module.measure(*([size] if size else []), **options)
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


if __name__ == "__main__":
    sys.exit(main())
