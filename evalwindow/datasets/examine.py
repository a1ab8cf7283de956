"""One line of a dataset at a time: what can be said of it before the lines are compared with each other.

It reads rows, columns and objections with the functions of the strict loader, so that the two can't disagree; but where
the loader stops at the first fault, this goes on and writes all of them down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from evalwindow.datasets.asked import Asked
from evalwindow.datasets.raw import RawDataset, RawLine
from evalwindow.datasets.targets import TargetSchemas
from evalwindow.errors import SuiteInvalid, TemplateInvalid
from evalwindow.faults import Fault
from evalwindow.model import Candidate, Message, Sample
from evalwindow.scorers.entry_point import EntryPointScorer
from evalwindow.scorers.text import same_text_key
from evalwindow.suites import Suite
from evalwindow.suites.rows import MAX_LINE, Row, read_row
from evalwindow.suites.samples import READERS
from evalwindow.templates import MAX_OUTPUT

LOST = "\ufffd"  # the replacement character
MAX_WHAT = 200  # characters
NOBODY = Candidate(model="")

_CHECKED_BY = {"id": "id", "input": "prompt", "target": "target"}  # every other field: columns


@dataclass(kw_only=True)
class Examined:
    """One line."""

    line: int
    faults: dict[str, str] = field(default_factory=dict)  # check -> what is wrong here
    id: str | None = None
    characters: int | None = None  # of the input
    asks: str | None = None  # equal for lines that ask the same
    sample: Sample | None = None  # what can't be read of it is left empty; None: the line can't be read at all
    tokens: tuple[int | None, ...] = ()  # of the rendered prompt, one for each of the models asked

    def blame(self, check: str, what: str) -> None:
        """The first word on a check stands."""
        self.faults.setdefault(check, what if len(what) <= MAX_WHAT else what[: MAX_WHAT - 3] + "...")


class Examiner:
    """Examines the lines of one dataset."""

    def __init__(self, raw: RawDataset, models: Sequence[Asked]) -> None:
        self._spec = raw.spec
        self._suite = Suite(spec=raw.spec, samples=(), dataset_digest=raw.digest)
        self._raw, self._models = raw, models
        self._schemas = TargetSchemas.of(raw.spec)
        shots = enumerate(raw.spec.prompt.few_shots)
        self._shots = {same_text_key(shot.input): f"asks the same as few_shots[{index}]" for index, shot in shots}
        self._marked = set(raw.spec.must_pass)
        self.faults: list[Fault] = []  # of the YAML, that only rendering shows

    def lines(self) -> Iterator[Examined]:
        for line in self._raw.lines():
            yield self._examine(line)

    def _examine(self, line: RawLine) -> Examined:
        seen = Examined(line=line.number, tokens=(None,) * len(self._models))
        row = _row(line, seen)
        if row is not None:
            seen.sample = self._sample(row, seen)
            try:
                self._check(line, row, seen.sample, seen)
            except RecursionError:
                seen.blame("readable", "nested too deep")
        return seen

    def _check(self, line: RawLine, row: Row, sample: Sample, seen: Examined) -> None:
        _look_for_lost_text(line.raw, row, seen)
        self._check_target(sample, seen)
        self._check_prompt(sample, seen)

    def _sample(self, row: Row, seen: Examined) -> Sample:
        values: dict[str, Any] = {}
        for name, read in READERS.items():
            try:
                values[name] = read(row, self._spec.dataset)
            except SuiteInvalid as invalid:
                seen.blame(_CHECKED_BY.get(name, "columns"), str(invalid).removeprefix(f"{row.where}: "))
        seen.id = values.get("id")
        if seen.id in self._marked:
            values["must_pass"] = True
        return Sample(**{"id": "", "input": "", **values, "fields": row.columns})

    def _check_target(self, sample: Sample, seen: Examined) -> None:
        if {"target", "columns"} & seen.faults.keys():
            return
        for scorer in self._spec.scorers:
            # a function that isn't installed is the YAML's fault and not this line's
            objection = None if isinstance(scorer, EntryPointScorer) else scorer.objection(sample)
            if objection:
                seen.blame("choices" if scorer.needs_choices else "target", objection)
        wrong = self._schemas.objection(sample.target)
        if wrong:
            seen.blame("schema", wrong)

    def _check_prompt(self, sample: Sample, seen: Examined) -> None:
        if "prompt" in seen.faults:
            return
        seen.characters = len(sample.input)
        if seen.characters > MAX_OUTPUT:
            seen.blame("length", f"{seen.characters:,} characters")
            return
        shot = self._shots.get(same_text_key(sample.input)) if self._shots else None
        if shot is not None:
            seen.blame("few_shots", shot)
        messages = self._render(sample, seen)
        if messages is not None:
            self._measure(sample, messages, seen)

    def _render(self, sample: Sample, seen: Examined) -> tuple[Message, ...] | None:
        try:
            return self._suite.render(sample, NOBODY)
        except TemplateInvalid as invalid:
            what = str(invalid).removeprefix(f"suite {self._suite.name!r}, ")
        if what.startswith("few_shots["):
            self._blame_yaml(what)
        else:
            seen.blame("template", what.removeprefix(f"sample {sample.id!r}: template: "))
        return None

    def _blame_yaml(self, what: str) -> None:
        """A few-shot that can't be rendered fails every line alike: it is said once."""
        fault = Fault(path=("prompt", "template"), what=what)
        if fault not in self.faults:
            self.faults.append(fault)

    def _measure(self, sample: Sample, messages: Sequence[Message], seen: Examined) -> None:
        if "columns" not in seen.faults:
            choices = sample.choices if self._suite.scores_choices else ()  # else the template shows them, or nothing
            seen.asks = "\0".join(map(same_text_key, (messages[-1].content, *choices)))
        seen.tokens = tuple(each.counter.count(messages) if each.counter else None for each in self._models)


def _row(line: RawLine, seen: Examined) -> Row | None:
    where = f"line {line.number}"
    if line.too_long:
        seen.blame("readable", f"the line is longer than {MAX_LINE:,} bytes")
        return None
    try:
        return read_row(line.raw, where=where, line=line.number)
    except SuiteInvalid as invalid:
        seen.blame("readable", str(invalid).removeprefix(f"{where}: "))
        return None


def _look_for_lost_text(raw: bytes, row: Row, seen: Examined) -> None:
    if LOST.encode() not in raw and b"ufffd" not in raw.lower():  # quick, and right for almost every line
        return
    for name, value in row.columns.items():
        if _holds_lost(name) or _holds_lost(value):
            seen.blame("undamaged", f"field {name!r} holds U+FFFD")


def _holds_lost(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_lost(key) or _holds_lost(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(_holds_lost, value))
    return isinstance(value, str) and LOST in value
