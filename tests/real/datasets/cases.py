"""Small datasets with one thing wrong each, and what has to be found in them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from evalwindow.datasets import Asked
from tests.unit.worlds import ROOT

MODEL = ROOT / "demo/models/baseline"
DEMO = Asked(models=("demo",), folder=MODEL, context=2048)
TIGHT = Asked(models=("tight", "tighter"), folder=MODEL, context=96)
SECRET = "Where does the zebra sleep on"  # in every prompt; must not get into the pages
COUNT = 40
WIDE = {"margin": 0.5}  # 40 samples are enough for it


@dataclass(frozen=True, kw_only=True)
class Case:
    """A suite, what is laid over its good rows, and the one finding that comes of it."""

    name: str
    check: str
    lines: tuple[int, ...] = ()
    rows: dict[int, Any] = field(default_factory=dict)  # line -> columns over the good row, or the raw line
    spec: dict[str, Any] = field(default_factory=dict)
    says: str = ""  # in the sentence
    what: str = ""  # in the first row's
    slice: str | None = None
    count: int = COUNT
    warning: bool = False
    models: tuple[Asked, ...] = (DEMO,)


CHOICE = {"scorers": ["multiple_choice"]}
SCHEMA = {"type": "object", "required": ["animal"]}
SHOTS = {"prompt": {"few_shots": [{"input": f"{SECRET} night 3!", "target": "x"}]}}

CASES = (
    Case(name="bad-utf8", check="readable", lines=(2,), rows={2: b'{"id": "\xff"}'}, what="byte 0xff at column 9"),
    Case(
        name="bad-json", check="readable", lines=(2, 5), rows={2: b"{", 5: b"[]"}, what="not valid JSON", says="2 lines"
    ),
    Case(name="nul", check="readable", lines=(4,), rows={4: {"input": "a\0b"}}, what="the character NUL"),
    Case(
        name="surrogate", check="readable", lines=(4,), rows={4: {"input": "\ud800"}}, what="half of a surrogate pair"
    ),
    Case(name="lost", check="undamaged", lines=(7,), rows={7: {"target": "na\ufffdve"}}, what="field 'target'"),
    Case(name="same-id", check="id", lines=(3, 9), rows={9: {"id": "q3"}}, what="the id is also that of line 9"),
    Case(name="no-id", check="id", lines=(3,), rows={3: {"id": " "}}, what="must be a printable text"),
    Case(name="blank", check="prompt", lines=(3,), rows={3: {"input": " \n"}}, what="not empty"),
    Case(name="no-prompt", check="prompt", lines=(3,), rows={3: {"input": None}}, says="1 line would ask nothing"),
    Case(name="no-target", check="target", lines=(8,), rows={8: {"target": None}}, what="has no target"),
    Case(
        name="no-number",
        check="target",
        lines=(8,),
        rows={8: {"target": "x"}},
        spec={"scorers": ["numeric"]},
        what="'x'",
    ),
    Case(name="no-choice", check="choices", lines=(5,), rows={5: {"target": "Z"}}, spec=CHOICE, what="is no choice"),
    Case(
        name="one-choice", check="choices", lines=(5,), rows={5: {"choices": ["1"]}}, spec=CHOICE, what="has 1 choices"
    ),
    Case(
        name="no-schema",
        check="schema",
        lines=(6,),
        rows={line: {"target": {"animal" if line != 6 else "beast": line}} for line in range(1, COUNT + 1)},
        spec={
            "scorers": ["json_field", {"type": "json_schema", "schema": SCHEMA}],
            "prompt": {"output_schema": SCHEMA},
        },
        what="'animal' is a required property",
    ),
    Case(name="tags", check="columns", lines=(2,), rows={2: {"slices": "all"}}, what="must be a list of texts"),
    Case(name="variable", check="template", lines=(11,), rows={11: {"unit": None}}, what="unknown variable 'unit'"),
    Case(name="huge", check="length", lines=(4,), rows={4: {"input": "ab " * 70_000}}, what="210,000 characters"),
    Case(
        name="cut",
        check="tokens",
        lines=(12,),
        rows={12: {"input": f"{SECRET} " + "z" * 90}},
        models=(DEMO, TIGHT),
        says="1 line can't fit tight and tighter: its context of 96 tokens, less 8 for the answer, has room for 88",
        what=" tokens",
    ),
    Case(
        name="twice",
        check="duplicates",
        lines=(3, 10),
        rows={10: {"input": f"  {SECRET.upper()}\tNIGHT\u00a0\uff13? "}},  # a no-break space, a wide 3
        what="asks the same as line 10",
    ),
    Case(name="shot", check="few_shots", lines=(3,), spec=SHOTS, what="few_shots[0]"),
    Case(
        name="absent",
        check="slices",
        spec={"policy": {**WIDE, "blocking": ["hrd"]}},
        slice="hrd",
        says="did you mean 'hard'?",
    ),
    Case(
        name="no-floor",
        check="slices",
        spec={"policy": {**WIDE, "floors": {"x": 0.5}}},
        slice="x",
        says="policy.floors",
    ),
    Case(
        name="small",
        check="slice_size",
        spec={"policy": {**WIDE, "slice_margin": 0.05, "blocking": ["hard"]}},
        slice="hard",
        says="has 4 samples; to rule out a drop of 5 points takes 59",
        warning=True,
    ),
    Case(name="few", check="slice_size", spec={"policy": {}}, slice="all", says="takes 99", warning=True),
    Case(name="many", check="samples", count=501, says="501 samples; a regression suite may have 500"),
    Case(name="none", check="samples", count=0, says="The dataset is empty"),
    Case(name="pin", check="suite", spec={"dataset": {"sha256": "0" * 64}}, says="pin.yaml:4: dataset.sha256: the pin"),
    Case(
        name="label", check="suite", spec={"scorers": ["exact", "exact"]}, says="label.yaml:13: scorers[1]: two scorers"
    ),
)


def good(line: int) -> dict[str, Any]:
    return {
        "id": f"q{line}",
        "input": f"{SECRET} night {line}?",
        "target": str(line),
        "choices": [str(line), f"{line}a"],
        "slices": ["hard" if line % 10 == 0 else "easy"],
        "unit": "nights",
    }


def write(folder: Path, case: Case) -> None:
    """None as a column's value: the row doesn't have it."""
    lines = [_line(line, case.rows.get(line, {})) for line in range(1, case.count + 1)]
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / f"{case.name}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    document = {"suite": case.name, "dataset": {"path": f"data/{case.name}.jsonl", **case.spec.get("dataset", {})}}
    document |= {"tier": "regression", "sampling": {"max_tokens": 8}, "policy": case.spec.get("policy", WIDE)}
    document["prompt"] = {"template": "{{ input }} ({{ unit }})", **case.spec.get("prompt", {})}
    if "few_shots" in document["prompt"]:
        document["prompt"]["template"] = "{{ input }}"
    document["scorers"] = case.spec.get("scorers", ["exact"])
    (folder / f"{case.name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False))


def _line(line: int, change: bytes | dict[str, Any]) -> bytes:
    if isinstance(change, bytes):
        return change
    return json.dumps({key: value for key, value in {**good(line), **change}.items() if value is not None}).encode()


def write_all(folder: Path, cases: Iterable[Case]) -> None:
    for case in cases:
        write(folder, case)
