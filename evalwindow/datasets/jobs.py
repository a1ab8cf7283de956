"""What the checking process is told and what it answers: two files of JSON, so that nothing printed gets in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from evalwindow.config import Limits
from evalwindow.datasets.asked import Asked
from evalwindow.datasets.report import DatasetReport, Lengths


@dataclass(frozen=True, kw_only=True)
class Before:
    """The last known version of a dataset with other bytes."""

    digest: str
    characters: Lengths


@dataclass(frozen=True, kw_only=True)
class Job:
    """One dataset to validate."""

    path: Path  # of the suite's YAML
    limits: Limits
    models: tuple[Asked, ...]
    home: Path
    before: Before | None = None


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of a job; one of the two."""

    report: DatasetReport | None = None
    error: str | None = None


def write_jobs(path: Path, jobs: Sequence[Job]) -> None:
    path.write_bytes(_JOBS.dump_json(list(jobs)))


def read_jobs(path: Path) -> list[Job]:
    return _JOBS.validate_json(path.read_bytes())


def append_reply(path: Path, reply: Reply) -> None:
    """On the disk when this returns: the process may die in the next job."""
    with path.open("ab") as file:
        file.write(_REPLY.dump_json(reply) + b"\n")


def read_replies(path: Path) -> list[Reply]:
    """In the jobs' order; of a process that died fewer than jobs."""
    if not path.exists():
        return []
    lines = path.read_bytes().splitlines(keepends=True)
    return [_REPLY.validate_json(line) for line in lines if line.endswith(b"\n")]


_JOBS = TypeAdapter(list[Job])
_REPLY = TypeAdapter(Reply)
