"""JSONL, line by line: every row is an object of clean text, or the message names file and line."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalwindow.errors import SuiteInvalid
from evalwindow.plaintext import unkeepable

MAX_LINE = 1_000_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a dataset."""

    where: str  # file:line
    line: int
    columns: dict[str, Any]

    def fault(self, what: str) -> SuiteInvalid:
        return SuiteInvalid(f"{self.where}: {what}")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A dataset's rows, and the digest of all of the file."""

    rows: tuple[Row, ...]
    digest: str  # sha256 of the file's bytes, hex


def read_rows(path: Path, *, limit: int | None) -> Rows:
    """The first `limit` rows (None: all); raises SuiteInvalid with file:line. Blank lines are skipped."""
    digest = hashlib.sha256()
    rows: list[Row] = []
    for number, raw in enumerate(_lines(path), start=1):
        digest.update(raw)
        if raw.strip() and (limit is None or len(rows) < limit):
            rows.append(read_row(raw, where=f"{path}:{number}", line=number))
    return Rows(rows=tuple(rows), digest=digest.hexdigest())


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            number = 0
            while raw := file.readline(MAX_LINE + 1):
                number += 1
                if len(raw) > MAX_LINE:
                    raise SuiteInvalid(f"{path}:{number}: the line is longer than {MAX_LINE} bytes")
                yield raw
    except OSError as reason:
        raise SuiteInvalid(f"{path}:1: the dataset can't be read: {reason.strerror}") from reason


def read_row(raw: bytes, *, where: str, line: int) -> Row:
    """One line's object; raises SuiteInvalid that starts with `where`."""
    try:
        columns = json.loads(_text(raw), object_pairs_hook=_object, parse_constant=_no_constant)
        if not isinstance(columns, dict):
            raise ValueError(f"a {type(columns).__name__}, not a JSON object")
        _check_text(columns)
    except json.JSONDecodeError as reason:
        raise SuiteInvalid(f"{where}: not valid JSON: {reason.msg} at column {reason.colno}") from None
    except RecursionError:
        raise SuiteInvalid(f"{where}: nested too deep") from None
    except ValueError as reason:
        raise SuiteInvalid(f"{where}: {reason}") from None
    return Row(where=where, line=line, columns=columns)


def _text(raw: bytes) -> str:
    if raw.startswith(b"\xef\xbb\xbf"):
        raise ValueError("starts with a byte order mark; save the file as UTF-8 without one")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as reason:
        raise ValueError(f"byte 0x{raw[reason.start]:02x} at column {reason.start + 1} is not UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    columns = dict(pairs)
    if len(columns) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} is given twice")
    return columns


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_text(value: Any) -> None:
    """Raises ValueError for a text, key or number that can't be kept."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_text(key)
            _check_text(item)
    elif isinstance(value, list):
        for item in value:
            _check_text(item)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is too large")
    elif isinstance(value, str) and (what := unkeepable(value)):
        raise ValueError(f"a text {what}")
