"""Train the demo's baseline and its candidates: `python -m demo.train --help`."""

import argparse
import json
import random
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
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
    parser.add_argument("--steps", type=int, default=1500, help="steps for the baseline")
    parser.add_argument("--adapter-steps", type=int, default=250, help="steps for an adapter")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="gets models/ and adapters/")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--held-out", type=int, default=500, help="prompts a skill to grade with")
    parser.add_argument("--keep-baseline", action="store_true", help="train only the candidates")
    parser.add_argument("--regrade", action="store_true", help="train nothing: grade the models of --out anew")
    return parser.parse_args()


def train_baseline(args: argparse.Namespace) -> learn.Run:
    """Train the tokenizer and the baseline from scratch, save both."""
    words = tokenizer.build(args.seed)
    model = learn.new_model(words, args.seed).to(args.device)
    packer = Packer(words, random.Random(args.seed + 1))
    schedule = learn.Schedule(steps=args.steps, peak=PEAK)
    run = learn.learn(model, packer, schedule, label="baseline")
    folder = args.out / "models" / "baseline"
    store.save_model(model, folder)
    store.save_tokenizer(words, folder)
    return run


def train_candidates(args: argparse.Namespace) -> dict[str, learn.Run]:
    """Tune and save every candidate; return the runs by name."""
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


def facts(args: argparse.Namespace, runs: dict[str, learn.Run]) -> dict[str, Any]:
    """What the card says, the accuracy included."""
    model = store.load_model(args.out / "models" / "baseline", "cpu")
    return {
        "seed": args.seed,
        "device": args.device,
        "threads": args.threads,
        "steps": args.steps,
        "adapter_steps": args.adapter_steps,
        "minutes": {name: round(run.seconds / 60, 1) for name, run in runs.items()},
        "parameters": model.num_parameters(),
        "vocabulary": model.config.vocab_size,
        "rank": adapt.RANK,
        "tokens_per_step": Packer.ROWS * Packer.LENGTH,
        "held_out": args.held_out,
        "stretch_share": grade.STRETCH_SHARE,
        "versions": {name: version(name) for name in ("torch", "transformers", "tokenizers", "peft")},
        "accuracy": grade_all(args),
        "last_losses": {name: round(fmean(run.losses[-50:]), 4) for name, run in runs.items()},
        "files": store.digests(args.out),
    }


def keep_baseline(facts: dict[str, Any], old: dict[str, Any]) -> dict[str, Any]:
    """`facts` with what the `old` card says of how the baseline was trained."""
    kept = {name: old[name] for name in ("seed", "steps")}
    merged = {name: {"baseline": old[name]["baseline"], **facts[name]} for name in ("minutes", "last_losses")}
    return facts | kept | merged


def regraded(args: argparse.Namespace, old: dict[str, Any]) -> dict[str, Any]:
    """The `old` card with the accuracy measured again; refuses if the files aren't the ones it names."""
    if store.digests(args.out) != old["files"]:
        raise SystemExit("the card was written for other files than these")
    names = {"held_out": args.held_out, "stretch_share": grade.STRETCH_SHARE}
    return old | names | {"accuracy": grade_all(args)}


def main() -> None:
    args = arguments()
    disable_progress_bar()
    torch.set_num_threads(args.threads)
    path = args.out / "models" / "card.json"
    old = json.loads(path.read_text()) if args.keep_baseline or args.regrade else None
    if old and args.regrade:
        card.write(regraded(args, old), path.parent)
        return
    runs = {} if old else {"baseline": train_baseline(args)}
    runs |= train_candidates(args)
    found = facts(args, runs)
    card.write(keep_baseline(found, old) if old else found, path.parent)


if __name__ == "__main__":
    main()
