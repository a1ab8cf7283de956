"""Suites of the benchmarks: the demo's prompts under other names, and made-up ones of any length."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer

from demo.walkthrough.stage import ROOT
from evalwindow.config import Limits
from evalwindow.model import Tier
from evalwindow.suites import Suite, load_suite

NIGHT, SMOKE, QUEUED = "bench", "bench-smoke", "bench-queued"
#: A smoke that passes whatever is answered: what is measured is one round of ten prompts, never what a failure starts.
PASSES: Mapping[str, Any] = {"type": "regex", "pattern": "^", "expect": "match", "assertion": True}


def write_bench_suite(folder: Path, *, max_tokens: int, prompts: int = 500) -> Suite:
    """The demo's 500 prompts, or the first so many, under the name "bench"."""
    rows = _demo("demo-regression")[:prompts]
    return write_suite(folder, NIGHT, tier=Tier.REGRESSION, rows=rows, max_tokens=max_tokens)


def write_smoke_suite(folder: Path, *, max_tokens: int) -> Suite:
    """The demo's ten smoke prompts without their tripwire, under the name "bench-smoke"."""
    rows = [{**row, "must_pass": False} for row in _demo("demo-smoke")]
    return write_suite(folder, SMOKE, tier=Tier.SMOKE, rows=rows, max_tokens=max_tokens, scorers=[PASSES])


def write_queued_suite(folder: Path, *, max_tokens: int) -> Suite:
    """The same ten in the regression's lane, under the name "bench-queued"."""
    rows = [{**row, "must_pass": False} for row in _demo("demo-smoke")]
    return write_suite(folder, QUEUED, tier=Tier.REGRESSION, rows=rows, max_tokens=max_tokens, scorers=[PASSES])


def write_suite(
    folder: Path,
    name: str,
    *,
    tier: Tier,
    rows: Sequence[Mapping[str, Any]],
    max_tokens: int,
    scorers: Sequence[Any] = ("exact",),
) -> Suite:
    """A suite over these lines of data, temperature 0."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {
        "suite": name,
        "tier": tier.value,
        "dataset": {"path": f"{name}.jsonl"},
        "sampling": {"max_tokens": max_tokens},
        "scorers": [dict(scorer) if isinstance(scorer, Mapping) else scorer for scorer in scorers],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    return load_suite(path, Limits())


def made_up(count: int, *, tokens: tuple[int, int], tokenizer: Path, seed: int) -> list[dict[str, Any]]:
    """So many prompts of about `tokens` (from, to) by that tokenizer: random words to repeat, none like another."""
    words = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    draw = random.Random(seed)
    each = len(words.encode(_words(draw, 1000))) / 1000
    rows = []
    for number in range(count):
        text = _words(draw, max(1, round(draw.uniform(*tokens) / each)))
        rows.append({"id": f"p{number:03d}", "input": f"Repeat: {text}", "target": text})
    return rows


def salted(salt: str) -> str:
    """A template that begins with `salt`: what was asked before with another one is in no prefix cache."""
    return f"{salt} {{{{ input }}}}"


def _words(draw: random.Random, count: int) -> str:
    return " ".join("".join(draw.choices("abcdefghijklmnoprstuvwz", k=2)) for _ in range(count))


def _demo(name: str) -> list[dict[str, Any]]:
    lines = (ROOT / f"suites/data/{name}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]
