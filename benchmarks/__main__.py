"""`python -m benchmarks [smoke] [throughput] [night] [datasets] [--model tiny|mid|both]`: ratios."""

from __future__ import annotations

import argparse
import asyncio

from benchmarks import datasets, night, smoke, throughput
from benchmarks.machine import machine

PARTS = ("smoke", "throughput", "night", "datasets")
MODELS = ("tiny", "mid")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=PARTS, help="default: all")
    parser.add_argument("--model", choices=[*MODELS, "both"], default="both", help="of throughput and night")
    parser.add_argument("--rounds", type=int, default=20, help="pull requests of the smoke part")
    arguments = parser.parse_args()
    print(machine(), flush=True)
    if "smoke" in arguments.parts:
        asyncio.run(smoke.measure(rounds=arguments.rounds))
    if "throughput" in arguments.parts:
        for model in MODELS if arguments.model == "both" else [arguments.model]:
            asyncio.run(throughput.measure(model))
    if "night" in arguments.parts:
        for model in MODELS if arguments.model == "both" else [arguments.model]:
            asyncio.run(night.measure(model))
    if "datasets" in arguments.parts:
        datasets.measure()


if __name__ == "__main__":
    main()
