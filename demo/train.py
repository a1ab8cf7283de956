"""Train the demo's baseline and its candidates: `python -m demo.train --help`."""

import argparse
import random
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from demo import adapt, card, grade, learn, store, tokenizer
from demo.conversations import Packer

PEAK = 6e-3
"""Peak learning rate of the baseline."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo.train",
        description="Train the demo's models. On two CPU cores the defaults take about half an "
        "hour; on a GPU some minutes.",
    )
    parser.add_argument("--steps", type=int, default=1600, help="steps for the baseline")
    parser.add_argument("--adapter-steps", type=int, default=300, help="steps for an adapter")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="gets models/ and adapters/")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--held-out", type=int, default=500, help="prompts a skill to grade with")
    parser.add_argument("--keep-baseline", action="store_true", help="train only the candidates")
    return parser.parse_args()


def train_baseline(args: argparse.Namespace) -> list[float]:
    """Train the tokenizer and the baseline from scratch, save both; return the losses."""
    words = tokenizer.build(args.seed)
    model = learn.new_model(words, args.seed).to(args.device)
    packer = Packer(words, random.Random(args.seed + 1))
    schedule = learn.Schedule(steps=args.steps, peak=PEAK)
    losses = learn.learn(model, packer, schedule, label="baseline")
    folder = args.out / "models" / "baseline"
    store.save_model(model, folder)
    store.save_tokenizer(words, folder)
    return losses


def train_candidates(args: argparse.Namespace) -> dict[str, list[float]]:
    """Tune and save every candidate; return the losses by name."""
    words = store.load_tokenizer(args.out / "models" / "baseline")
    return {
        variant.name: adapt.make_candidate(
            variant,
            words,
            args.out,
            steps=args.adapter_steps,
            seed=args.seed + 2 + number,
            device=args.device,
        )
        for number, variant in enumerate(adapt.VARIANTS)
    }


def grade_all(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Accuracy per skill of every model as saved, on the same held-out prompts."""
    samples = grade.held_out(args.held_out, args.seed)
    result = {}
    for name in ("baseline", *(variant.name for variant in adapt.VARIANTS)):
        folder = args.out / "models" / name
        model, words = store.load_model(folder, args.device), store.load_tokenizer(folder)
        given = grade.answers(model, words, [sample.prompt for sample in samples])
        result[name] = grade.accuracy(samples, given)
        print(name, result[name], flush=True)
    return result


def facts(args: argparse.Namespace, losses: dict[str, list[float]], seconds: float) -> dict[str, Any]:
    """What the card says, the accuracy included."""
    model = store.load_model(args.out / "models" / "baseline", "cpu")
    return {
        "seed": args.seed,
        "device": args.device,
        "threads": args.threads,
        "steps": args.steps,
        "adapter_steps": args.adapter_steps,
        "minutes": round(seconds / 60, 1),
        "parameters": model.num_parameters(),
        "vocabulary": model.config.vocab_size,
        "rank": adapt.RANK,
        "tokens_per_step": Packer.ROWS * Packer.LENGTH,
        "held_out": args.held_out,
        "versions": {p: version(p) for p in ("torch", "transformers", "tokenizers", "peft")},
        "accuracy": grade_all(args),
        "last_losses": {name: round(sum(x[-50:]) / len(x[-50:]), 4) for name, x in losses.items()},
        "files": store.digests(args.out),
    }


def main() -> None:
    args = arguments()
    disable_progress_bar()
    torch.set_num_threads(args.threads)
    began = time.monotonic()
    losses = {} if args.keep_baseline else {"baseline": train_baseline(args)}
    losses |= train_candidates(args)
    card.write(facts(args, losses, time.monotonic() - began), args.out / "models")


if __name__ == "__main__":
    main()
