"""Small real suites for tests: YAML and JSONL in a folder, read by the real loader."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from evalwindow.config import Limits
from evalwindow.suites import Suite, load_suite

ROOT = Path(__file__).parents[2]
Row = Mapping[str, Any]


def rows(count: int, **columns: Any) -> list[Row]:
    """s0: "say 0" -> "0", and so on."""
    return [{"id": f"s{n}", "input": f"say {n}", "target": str(n), **columns} for n in range(count)]


def write_suite(folder: Path, samples: Iterable[Row], **spec: Any) -> Path:
    """A suite's files; `spec` is laid over a minimal regression suite that judges by `exact`."""
    document = {"suite": "echo", "tier": "regression", "scorers": ["exact"], **spec}
    data = folder / f"{document['suite']}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in samples))
    path = folder / f"{document['suite']}.yaml"
    path.write_text(yaml.safe_dump({"dataset": {"path": data.name}, **document}))
    return path


def make_suite(folder: Path, samples: Iterable[Row], **spec: Any) -> Suite:
    return load_suite(write_suite(folder, samples, **spec), Limits())


def write_outputs(path: Path, outputs: Mapping[str, str] | Mapping[tuple[str, int], str]) -> Path:
    """Recorded outputs by sample id, or by (sample id, epoch)."""
    lines = []
    for key, output in outputs.items():
        sample_id, epoch = key if isinstance(key, tuple) else (key, 0)
        lines.append(json.dumps({"id": sample_id, "epoch": epoch, "output": output}) + "\n")
    path.write_text("".join(lines))
    return path
