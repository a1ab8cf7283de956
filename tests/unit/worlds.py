"""Small real suites for tests: YAML and JSONL in a folder, read by the real loader."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from evalwindow.config import Lane, Lanes, Limits
from evalwindow.lanes.local import LocalLanes
from evalwindow.model import CompletionRequest, Message, Sampling
from evalwindow.suites import Suite, load_suite
from evalwindow.work import Slots

ROOT = Path(__file__).parents[2]
Row = Mapping[str, Any]
PROMPT = CompletionRequest(model="m", messages=(Message(role="user", content="say 0"),), sampling=Sampling())


def slots_for(count: int, *ends: Callable[[], bool]) -> Slots:
    """So many prompts at once, until one of `ends` says so."""
    lane = Lane(slots=count)
    return Slots(LocalLanes(Lanes(smoke=lane, regression=lane)), *ends)


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
