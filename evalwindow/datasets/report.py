"""What a validation says: plain data that the store can keep as a JSON document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from evalwindow.errors import BadInput

ROWS_SHOWN = 20  # of each finding


class Severity(StrEnum):
    """error: the suite can't be run on these data; warning: it can, and somebody should look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """One line of the dataset that a check objects to."""

    line: int  # in the dataset's file, from 1
    id: str | None = None  # None: it has none that could be read
    what: str = ""  # what is wrong on this line; may quote a few words of the data


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str  # a name of checks.CATALOGUE
    severity: Severity
    text: str  # one sentence for a person; of the check "suite" it starts with file:line, from the suites' folder
    count: int = 0  # lines that it is about; 0: it is about the suite or the dataset as a whole
    rows: tuple[BadRow, ...] = ()  # the first ROWS_SHOWN of them
    slice: str | None = None


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """How long the prompts are, in one unit."""

    count: int = 0
    least: int = 0
    p25: int = 0
    median: int = 0
    p75: int = 0
    p95: int = 0
    most: int = 0
    #: (length, how many): to 1,000 exactly, longer ones to three digits, so that two versions can be compared for ever
    histogram: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class TokenLengths:
    """The rendered prompts as one tokenizer counts them."""

    models: tuple[str, ...]  # that share the tokenizer and the context
    context: int | None  # tokens; None: not known
    room: int | None  # of the context, less max_tokens
    lengths: Lengths


@dataclass(frozen=True, kw_only=True)
class Drift:
    """Lengths in characters against those of the version before: two-sample Kolmogorov-Smirnov."""

    statistic: float  # largest distance between the two distributions, 0..1
    p_value: float
    against: str  # sha256 of that version's bytes, hex
    median_before: int


@dataclass(frozen=True, kw_only=True)
class DatasetReport:
    """The outcome of validating one suite's dataset."""

    suite: str
    dataset: str  # the file, from the suites' folder; empty: the suite's YAML couldn't be used
    digest: str  # sha256 of the dataset's bytes, hex; empty likewise
    key: str  # digest of all that the outcome depends on, hex: what it is kept under
    ok: bool  # no finding is an error, and the checks themselves worked
    findings: tuple[Finding, ...] = ()
    samples: int = 0
    characters: Lengths = Lengths()  # of the inputs, before any template
    tokens: tuple[TokenLengths, ...] = ()
    uncounted: tuple[str, ...] = ()  # models whose tokenizer isn't on this machine
    drift: Drift | None = None  # None: no version before this one is known
    docs: str | None = None  # index of the Data Docs, relative to the home folder
    seconds: float = 0.0
    error: str | None = None  # the checks themselves failed: nothing is known about the data
    cached: bool = False  # not validated again: nothing has changed since

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(each for each in self.findings if each.severity is Severity.WARNING)

    @property
    def keepable(self) -> bool:
        """Worth keeping under its key: validated to the end, with pages to look at."""
        return self.error is None and self.docs is not None and not self.cached


def to_document(report: DatasetReport) -> dict[str, Any]:
    """Plain JSON."""
    document: dict[str, Any] = _REPORT.dump_python(report, mode="json")
    return document


def from_document(document: Mapping[str, Any]) -> DatasetReport:
    """What `to_document` took apart; keys of a newer version are ignored. Raises BadInput for anything else."""
    try:
        return _REPORT.validate_python(document)
    except ValidationError as invalid:
        raise BadInput(f"a kept dataset report can't be read: {invalid}") from invalid


def as_cached(report: DatasetReport) -> DatasetReport:
    return replace(report, cached=True, seconds=0.0)


_REPORT = TypeAdapter(DatasetReport)
