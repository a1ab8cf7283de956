"""A small suite on disk that each test changes where it needs to."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from evalwindow.config import Limits
from evalwindow.errors import BadInput
from evalwindow.suites import Suite, load_suite

SPEC: dict[str, Any] = {
    "suite": "sums",
    "tier": "regression",
    "dataset": {"path": "data/sums.jsonl"},
    "scorers": ["exact"],
}
ROWS: list[dict[str, Any]] = [
    {"id": "one", "input": "1 + 1", "target": "2", "slices": ["easy"]},
    {"id": "two", "input": "17 + 25", "target": "42", "slices": ["hard"], "must_pass": True},
    {"id": "three", "input": "2 + 2", "target": "4", "slices": ["easy"], "cluster": "twos"},
]


class Desk:
    """Writes a suite and loads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.yaml = folder / "sums.yaml"
        self.data = folder / "data" / "sums.jsonl"
        self.data.parent.mkdir(parents=True)

    def rows(self, *rows: dict[str, Any] | str | bytes) -> None:
        """One line each; a text or bytes stand as they are."""
        lines = [json.dumps(row) if isinstance(row, dict) else row for row in rows]
        self.data.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))

    def load(self, limits: Limits = Limits(), **changes: Any) -> Suite:  # noqa: B008 - frozen
        """With top-level keys of the YAML replaced; writes the default rows if there are none yet."""
        if not self.data.exists():
            self.rows(*ROWS)
        self.yaml.write_text(yaml.safe_dump({**copy.deepcopy(SPEC), **changes}, sort_keys=False))
        return load_suite(self.yaml, limits)

    def refusal(self, limits: Limits = Limits(), **changes: Any) -> str:  # noqa: B008 - frozen
        with pytest.raises(BadInput) as caught:
            self.load(limits, **changes)
        return str(caught.value).replace(str(self.folder) + "/", "")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "suites")


@pytest.fixture
def make_desk(tmp_path: Path) -> Callable[[str], Desk]:
    return lambda name: Desk(tmp_path / name)
