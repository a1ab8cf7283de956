"""Validation of a dataset: polars flags under Great Expectations, against Great Expectations on the texts in pandas."""

from __future__ import annotations

import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.table import table
from evalwindow.config import Limits
from evalwindow.datasets import expectations
from evalwindow.datasets.examine import NOBODY
from evalwindow.datasets.raw import open_raw
from evalwindow.datasets.tables import tables
from evalwindow.datasets.validate import look
from evalwindow.model import Sample
from evalwindow.suites import Suite
from evalwindow.templates import MAX_OUTPUT

SIZES = (500, 100_000)
WARM_UP = 50
BAD_ONE_IN = 200  # a blank prompt and a repeated one, each
SLICES = ("easy", "hard")
SPEC = """\
suite: bench
tier: regression
dataset: {path: bench.jsonl}
scorers: [exact]
policy: {margin: 0.3, blocking: [easy, hard]}
"""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Seconds of CPU of one way, and what it found."""

    read: float  # file -> columns that expectations can be asked of
    expect: float  # expectations and Data Docs
    bad: int  # lines with a finding

    @property
    def total(self) -> float:
        return self.read + self.expect


def measure() -> None:
    """Both ways on the same files in one process, after a small one that loads and warms everything."""
    expectations.load()
    rows = []
    with tempfile.TemporaryDirectory(prefix="ewb-") as name:
        folder = Path(name)
        for size in (WARM_UP, *SIZES):
            suite = _write(folder, size)
            ours, peer = (
                _flags(suite, docs=folder / f"ours-{size}"),
                _texts(folder / "bench.jsonl", docs=folder / f"peer-{size}"),
            )
            if ours.bad != peer.bad:
                raise RuntimeError(f"{size} lines: {ours.bad} are bad by flags, {peer.bad} by texts")
            rows += _rows(size, ours, peer) if size != WARM_UP else []
    head = ["lines", "step", "polars flags", "texts in pandas", "ratio"]
    print(table("Great Expectations on flags that polars made, against the texts themselves", head, rows), flush=True)


def _rows(size: int, ours: Arm, peer: Arm) -> list[list[str]]:
    steps = {
        "lines to columns": (ours.read, peer.read),
        "expectations and pages": (ours.expect, peer.expect),
        "both": (ours.total, peer.total),
    }
    return [
        [f"{size:,}", step, f"{own:.2f} s", f"{other:.2f} s", f"{other / own:.2f}"]
        for step, (own, other) in steps.items()
    ]


def _write(folder: Path, size: int) -> Path:
    """Prompts of 40 words; one in BAD_ONE_IN is blank, another one repeats the one before in capitals."""
    draw = random.Random(size)
    words = [f"word{number}" for number in range(5_000)]
    with (folder / "bench.jsonl").open("w", encoding="utf-8") as file:
        text = ""
        for line in range(size):
            again = line % BAD_ONE_IN == 1
            text = f"{text.upper()} !" if again else f"{' '.join(draw.choices(words, k=40))} – {line}?"
            blank = line % BAD_ONE_IN == 5
            row = {"id": f"q{line}", "input": " " if blank else text, "target": "x", "slices": [draw.choice(SLICES)]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    (folder / "bench.yaml").write_text(SPEC)
    return folder / "bench.yaml"


def _flags(suite: Path, *, docs: Path) -> Arm:
    """As it is: every line parsed for itself, every prompt rendered; no model, so that no token is counted."""
    limits = Limits(regression_prompts=max(SIZES))
    begun = time.process_time()
    raw = open_raw(suite)
    seen, _ = look(raw, limits=limits, models=(), before=None)
    read = time.process_time() - begun
    begun = time.process_time()
    asked = tables(seen.spec, seen.flags, seen.slices, seen.drift, limits=limits, models=())
    outcomes = expectations.check(asked, title="bench", run=raw.digest[:12], folder=docs)
    expect = time.process_time() - begun
    return Arm(read=read, expect=expect, bad=sum(outcome.count for outcome in outcomes.values()))


def _texts(data: Path, *, docs: Path) -> Arm:
    """The same questions as expectations on the texts themselves; prompts are rendered and targets judged as in ours.

    Not in it: naming each broken line of the file, columns of a wrong type, clusters.
    """
    begun = time.process_time()
    frame = _frame(data, Suite(spec=open_raw(data.with_suffix(".yaml")).spec, samples=(), dataset_digest=""))
    read = time.process_time() - begun
    begun = time.process_time()
    bad = _expect_of_texts(frame, docs)
    return Arm(read=read, expect=time.process_time() - begun, bad=bad)


def _frame(data: Path, suite: Suite) -> Any:
    import pandas as pd

    frame = pd.read_json(data, lines=True, dtype=False, convert_dates=False)
    samples = [Sample(id=row["id"], input=row["input"], target=row["target"], fields=row) for row in _records(frame)]
    frame["asks"] = [_rendered(suite, sample) for sample in samples]
    frame["objection"] = [next(filter(None, (s.objection(each) for s in suite.spec.scorers)), None) for each in samples]
    folded = frame["asks"].str.normalize("NFKC").str.casefold().str.replace(r"\s+", " ", regex=True).str.strip()
    key = folded.str.strip(" .,;:!?\"'`*“”‘’").str.strip()
    frame["asks"] = key
    for name in SLICES:
        frame[name] = frame["slices"].map(lambda tags, name=name: name in tags)
    return frame.drop(columns="slices")


def _records(frame: Any) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = frame.to_dict("records")
    return records


def _rendered(suite: Suite, sample: Sample) -> str | None:
    """None for a blank prompt, which repeats nothing."""
    return suite.render(sample, NOBODY)[-1].content if sample.input.strip() else None


def _expect_of_texts(frame: Any, docs: Path) -> int:
    import great_expectations as gx
    from great_expectations import expectations as gxe

    context = gx.get_context(mode="ephemeral", project_config=expectations.project(docs))
    asset = context.data_sources.add_pandas("bench").add_dataframe_asset("texts")
    blank, damaged = r"^\s*$", r"[\x00\ufffd]"
    asked = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1, max_value=max(SIZES)),
        gxe.ExpectColumnValuesToNotBeNull(column="id"),
        gxe.ExpectColumnValuesToBeUnique(column="id"),
        gxe.ExpectColumnValueLengthsToBeBetween(column="id", min_value=1, max_value=200),
        gxe.ExpectColumnValuesToNotBeNull(column="input"),
        gxe.ExpectColumnValuesToNotMatchRegex(column="input", regex=blank),
        gxe.ExpectColumnValuesToNotMatchRegex(column="input", regex=damaged),
        gxe.ExpectColumnValueLengthsToBeBetween(column="input", min_value=1, max_value=MAX_OUTPUT),
        gxe.ExpectColumnValuesToBeUnique(column="asks"),
        gxe.ExpectColumnValuesToNotBeNull(column="target"),
        gxe.ExpectColumnValuesToNotMatchRegex(column="target", regex=damaged),
        gxe.ExpectColumnValuesToBeNull(column="objection"),
        *(gxe.ExpectColumnSumToBeBetween(column=name, min_value=9) for name in SLICES),
    ]
    suite = context.suites.add(gx.ExpectationSuite(name="texts", expectations=asked))
    data = asset.add_batch_definition_whole_dataframe("texts")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="texts", data=data, suite=suite))
    form = {"result_format": "COMPLETE", "unexpected_index_column_names": ["id"], "exclude_unexpected_values": True}
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name="texts", validation_definitions=[definition], result_format=form)
    )
    result = checkpoint.run(batch_parameters={"dataframe": frame})
    context.build_data_docs(site_names=[expectations.SITE])
    (validation,) = result.run_results.values()
    return sum(each.result.get("unexpected_count", 0) for each in validation.results)
