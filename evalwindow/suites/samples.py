"""Rows -> samples, by the suite's column mapping."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from evalwindow.model import Sample
from evalwindow.scorers.patterns import find, group_of
from evalwindow.suites.rows import Row
from evalwindow.suites.spec import Dataset

MAX_ID = 200  # characters


def read_samples(rows: Iterable[Row], dataset: Dataset) -> tuple[Sample, ...]:
    """Samples in the rows' order; raises SuiteInvalid with file:line for a bad column or an id used twice."""
    samples: dict[str, Sample] = {}
    lines: dict[str, int] = {}
    for row in rows:
        values = {field: read(row, dataset) for field, read in READERS.items()}
        sample = Sample(**values, fields=row.columns)
        if sample.id in samples:
            raise row.fault(f"id {sample.id!r} is used twice; it is first on line {lines[sample.id]}")
        samples[sample.id], lines[sample.id] = sample, row.line
    return tuple(samples.values())


def _required(row: Row, column: str) -> Any:
    if column in row.columns:
        return row.columns[column]
    close = difflib.get_close_matches(column, row.columns, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else "the line has " + (", ".join(row.columns) or "no field at all")
    raise row.fault(f"field {column!r} is missing; {hint}")


def _id(row: Row, column: str) -> str:
    value = _required(row, column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip() or len(value) > MAX_ID or not value.isprintable():
        raise row.fault(f"field {column!r} must be a printable text of 1 to {MAX_ID} characters, not {_short(value)}")
    return value


def _input(row: Row, column: str) -> str:
    value = _required(row, column)
    if not isinstance(value, str) or not value.strip():
        raise row.fault(f"field {column!r} must be a text that is not empty, not {_short(value)}")
    return value


def _target(row: Row, dataset: Dataset) -> Any:
    value = row.columns.get(dataset.fields.target)
    if dataset.target_pattern is None or value is None:
        return value
    return _found_target(row, dataset.target_pattern, value, column=dataset.fields.target)


def _found_target(row: Row, pattern: str, value: Any, *, column: str) -> str:
    if not isinstance(value, str):
        raise row.fault(f"field {column!r} must be a text for target_pattern, not {_short(value)}")
    try:
        match = find(pattern, value)
    except TimeoutError:
        raise row.fault(f"target_pattern {pattern!r} takes too long on field {column!r}") from None
    if match is None or not group_of(match).strip():
        raise row.fault(f"target_pattern {pattern!r} finds nothing in field {column!r}: {_short(value)}")
    return group_of(match).strip()


def _texts(row: Row, column: str) -> tuple[str, ...]:
    value = row.columns.get(column)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise row.fault(f"field {column!r} must be a list of texts that are not empty, not {_short(value)}")
    if len(set(value)) < len(value):
        raise row.fault(f"field {column!r} has the same text twice: {_short(value)}")
    return tuple(value)


def _slices(row: Row, column: str) -> tuple[str, ...]:
    tags = _texts(row, column)
    if "all" in tags:
        raise row.fault(f"field {column!r} has the tag 'all', which means every sample; use another name")
    return tags


def _flag(row: Row, column: str) -> bool:
    value = row.columns.get(column, False)
    if not isinstance(value, bool):
        raise row.fault(f"field {column!r} must be true or false, not {_short(value)}")
    return value


def _cluster(row: Row, column: str) -> str | None:
    value = row.columns.get(column)
    if value is None or (isinstance(value, str) and value):
        return value
    raise row.fault(f"field {column!r} must be a text that is not empty, not {_short(value)}")


#: A sample's field -> how it is read from a row; each raises SuiteInvalid with file:line.
READERS: Mapping[str, Callable[[Row, Dataset], Any]] = {
    "id": lambda row, dataset: _id(row, dataset.fields.id),
    "input": lambda row, dataset: _input(row, dataset.fields.input),
    "target": lambda row, dataset: _target(row, dataset),
    "choices": lambda row, dataset: _texts(row, dataset.fields.choices),
    "slices": lambda row, dataset: _slices(row, dataset.fields.slices),
    "must_pass": lambda row, dataset: _flag(row, dataset.fields.must_pass),
    "cluster": lambda row, dataset: _cluster(row, dataset.fields.cluster),
}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
