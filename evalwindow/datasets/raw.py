"""A suite's YAML and its raw dataset, opened without judging the rows; and the key that an outcome is kept under."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from evalwindow.config import Limits
from evalwindow.datasets.asked import Asked
from evalwindow.datasets.checks import VERSION
from evalwindow.errors import SuiteInvalid
from evalwindow.scorers.entry_point import GROUP
from evalwindow.suites import SuiteSpec
from evalwindow.suites.load import dataset_path
from evalwindow.suites.rows import MAX_LINE
from evalwindow.yamlfile import YamlFile, read_yaml


@dataclass(frozen=True, kw_only=True)
class RawLine:
    """One line that is not blank."""

    number: int  # from 1
    raw: bytes  # of a line that is too long only its beginning
    too_long: bool = False


@dataclass(frozen=True, kw_only=True)
class RawDataset:
    """What is to be validated."""

    path: Path  # of the YAML
    file: YamlFile
    spec: SuiteSpec
    dataset: Path
    digest: str  # sha256 of the dataset's bytes, hex
    yaml_digest: str

    def lines(self) -> Iterator[RawLine]:
        """As many as the suite takes."""
        limit = self.spec.dataset.limit
        for taken, line in enumerate(_lines(self.dataset)):
            if limit is not None and taken >= limit:
                return
            yield line


def open_raw(path: Path) -> RawDataset:
    """Raises SuiteInvalid that starts with file:line if the YAML can't be used or there is no dataset."""
    file = read_yaml(path, error=SuiteInvalid)
    spec = file.validate(SuiteSpec)
    dataset = dataset_path(spec.dataset, file=file, folder=path.parent)
    try:
        digest = _digest(dataset)
    except OSError as reason:
        raise SuiteInvalid(f"{dataset}:1: the dataset can't be read: {reason.strerror}") from reason
    return RawDataset(path=path, file=file, spec=spec, dataset=dataset, digest=digest, yaml_digest=_digest(path))


def key_of(raw: RawDataset, *, limits: Limits, models: Sequence[Asked]) -> str:
    """Digest of all that the outcome depends on, hex. The YAML counts with its bytes: findings name its lines.

    The version before, against which drift is measured, follows from the dataset and doesn't count.
    """
    content: dict[str, Any] = {
        "checks": VERSION,
        "suite": raw.yaml_digest,
        "dataset": raw.digest,
        "limits": [limits.smoke_prompts, limits.regression_prompts],
        "models": [each.identity() for each in models],
        "scorers": sorted(point.value for point in entry_points(group=GROUP)),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _lines(path: Path) -> Iterator[RawLine]:
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            too_long = len(raw) > MAX_LINE
            rest = raw
            while too_long and rest and not rest.endswith(b"\n"):
                rest = file.readline(MAX_LINE)
            if raw.strip():
                yield RawLine(number=number, raw=raw, too_long=too_long)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
