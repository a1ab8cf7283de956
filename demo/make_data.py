"""Write the demo's data sets: `python -m demo.make_data --help`."""

import argparse
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from transformers.utils.logging import disable_progress_bar

from demo import grade, store
from demo.skills import SKILLS, Sample

SEED = 77
REGRESSION_SIZE = 500
SMOKE_PLAN = {
    "sort": 4, "copy": 1, "arithmetic": 1, "extract": 1, "json": 1, "classify": 1, "choose": 1,
}  # fmt: skip
"""How many smoke samples each skill gets: ten in all."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m demo.make_data",
        description="Write the smoke, regression and GSM8K data sets from held-out prompts.",
    )
    parser.add_argument("--out", type=Path, default=Path("suites/data"))
    parser.add_argument("--models", type=Path, default=Path("demo/models"))
    parser.add_argument("--gsm8k", type=Path, help="GSM8K's test.jsonl; its LICENSE lies beside it")
    return parser.parse_args()


def record(sample: Sample, number: int, *, must_pass: bool = False) -> dict[str, Any]:
    """One line of a data set."""
    line: dict[str, Any] = {
        "id": f"{sample.skill}-{number:04d}",
        "input": sample.prompt,
        "target": sample.target,
        "slices": [sample.skill],
    }
    if sample.choices:
        line["choices"] = list(sample.choices)
    if must_pass:
        line["must_pass"] = True
    return line


def regression() -> list[Sample]:
    """REGRESSION_SIZE held-out samples, some of them stretch; skills differ by one sample at most."""
    per_skill, extra = divmod(REGRESSION_SIZE, len(SKILLS))
    drawn = grade.held_out(per_skill + 1, SEED)
    wanted = {skill: per_skill + (number < extra) for number, skill in enumerate(SKILLS)}
    return [s for skill in SKILLS for s in islice(_of(drawn, skill), wanted[skill])]


def smoke(models: Path, avoid: Iterable[str]) -> list[Sample]:
    """Held-out samples of ordinary sizes, none of them in `avoid`, that baseline and as-good answer right."""
    taken = set(avoid)
    drawn = [s for s in grade.held_out(40, SEED + 1, stretch=False) if s.prompt not in taken]
    for name in ("baseline", "as-good"):
        model, words = store.load_model(models / name, "cpu"), store.load_tokenizer(models / name)
        given = grade.answers(model, words, [s.prompt for s in drawn])
        drawn = [s for s, a in zip(drawn, given, strict=True) if s.target == a]
    return [s for skill, n in SMOKE_PLAN.items() for s in islice(_of(drawn, skill), n)]


def _of(samples: list[Sample], skill: str) -> Iterator[Sample]:
    return (sample for sample in samples if sample.skill == skill)


def numbered(samples: list[Sample], *, must_pass: bool = False) -> list[dict[str, Any]]:
    """Lines with ids that count from one within each skill."""
    counts: Counter[str] = Counter()
    lines = []
    for sample in samples:
        counts[sample.skill] += 1
        lines.append(record(sample, counts[sample.skill], must_pass=must_pass))
    return lines


def gsm8k(source: Path) -> list[dict[str, Any]]:
    """The first 500 problems of GSM8K's test split."""
    with source.open(encoding="utf-8") as lines:
        problems = [json.loads(line) for line in islice(lines, 500)]
    return [
        {"id": f"gsm8k-{number:04d}", "question": p["question"], "answer": p["answer"]}
        for number, p in enumerate(problems, start=1)
    ]


def write(path: Path, lines: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    print(f"{path}: {len(lines)} samples")


def main() -> None:
    args = arguments()
    disable_progress_bar()
    args.out.mkdir(parents=True, exist_ok=True)
    nightly = regression()
    must_pass = smoke(args.models, (sample.prompt for sample in nightly))
    write(args.out / "demo-regression.jsonl", numbered(nightly))
    write(args.out / "demo-smoke.jsonl", numbered(must_pass, must_pass=True))
    if args.gsm8k:
        write(args.out / "gsm8k-500.jsonl", gsm8k(args.gsm8k))
        shutil.copyfile(args.gsm8k.parent / "LICENSE", args.out / "gsm8k-LICENSE")


if __name__ == "__main__":
    main()
