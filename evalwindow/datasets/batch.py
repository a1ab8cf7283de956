"""Validate the datasets of many suites in a process of their own.

The caller loads neither polars nor Great Expectations.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from evalwindow.config import Limits
from evalwindow.datasets.asked import Asked
from evalwindow.datasets.checks import suite_finding
from evalwindow.datasets.jobs import Before, Job, Reply, read_replies, write_jobs
from evalwindow.datasets.raw import key_of, open_raw
from evalwindow.datasets.report import DatasetReport, as_cached, from_document
from evalwindow.errors import BadInput, UnknownName
from evalwindow.suites.load import name_in

logger = logging.getLogger(__name__)

TIMEOUT_S = 900.0  # of one dataset; its data are read in seconds
GRACE_S = 5.0

#: known(key): the document of a kept report with this key, or None
Known = Callable[[str], Mapping[str, Any] | None]
#: last(suite, digest): the document of the latest report about another version of the suite's dataset, or None
Last = Callable[[str, str], Mapping[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class _Planned:
    """A suite's report, or the job that will give it."""

    suite: str
    report: DatasetReport | None = None
    job: Job | None = None
    key: str = ""
    digest: str = ""
    dataset: str = ""


def validate_all(
    suites: Mapping[str, Sequence[Asked]],
    *,
    folder: Path,
    limits: Limits,
    home: Path,
    known: Known = lambda key: None,
    last: Last = lambda suite, digest: None,
    timeout_s: float = TIMEOUT_S,
) -> list[DatasetReport]:
    """A report for each suite (name -> the models that will run it), in their order; it never raises because of one.

    What can't be loaded at all is a report with the loader's complaint. A report of the same key whose Data Docs are
    still there is not made again. Where the checks themselves failed, `error` says so and the others go on. Keep
    those that are `keepable` under their key.
    """
    paths = _paths(folder)
    planned = [
        _plan(name, paths, models=models, folder=folder, limits=limits, home=home, known=known, last=last)
        for name, models in suites.items()
    ]
    replies = iter(_run([each for each in planned if each.job is not None], timeout_s=timeout_s))
    return [each.report or _report(each, next(replies)) for each in planned]


def suite_paths(folder: Path) -> dict[str, Path]:
    """The YAML of every suite of a folder by the suite's name, broken ones too; of two with one name the first."""
    return {name: paths[0] for name, paths in _paths(folder).items()}


def _paths(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.yaml")):
        found.setdefault(name_in(path), []).append(path)
    return found


def _plan(
    name: str,
    paths: Mapping[str, Sequence[Path]],
    *,
    models: Sequence[Asked],
    folder: Path,
    limits: Limits,
    home: Path,
    known: Known,
    last: Last,
) -> _Planned:
    try:
        path = _path(name, paths, folder)
        raw = open_raw(path)
    except BadInput as invalid:
        return _Planned(suite=name, report=_unusable(name, str(invalid), folder=folder))
    key = key_of(raw, limits=limits, models=models)
    report = _read(known(key))
    if report is not None and report.docs is not None and (home / report.docs).is_file():
        return _Planned(suite=name, report=as_cached(report))
    older = _read(last(name, raw.digest))
    before = Before(digest=older.digest, characters=older.characters) if older else None
    job = Job(path=path, limits=limits, models=tuple(models), home=home, before=before)
    return _Planned(suite=name, job=job, key=key, digest=raw.digest, dataset=raw.spec.dataset.path)


def _path(name: str, paths: Mapping[str, Sequence[Path]], folder: Path) -> Path:
    if name not in paths:
        raise UnknownName("suite", name, paths, where=str(folder))
    first, *others = paths[name]
    if others:
        raise BadInput("\n".join(f"{other}:1: suite: the name {name!r} is taken by {first}" for other in others))
    return first


def _unusable(name: str, complaint: str, *, folder: Path) -> DatasetReport:
    """One finding for each line of the loader's complaint."""
    found = tuple(suite_finding(line, folder=folder) for line in complaint.splitlines())
    key = sha256(f"unusable\n{name}\n{complaint}".encode()).hexdigest()
    return DatasetReport(suite=name, dataset="", digest="", key=key, ok=False, findings=found)


def _read(document: Mapping[str, Any] | None) -> DatasetReport | None:
    """A kept report. One that can't be read any more is as good as none: the dataset is validated again."""
    try:
        return None if document is None else from_document(document)
    except BadInput as invalid:
        logger.warning("%s", invalid)
        return None


def _report(planned: _Planned, reply: Reply) -> DatasetReport:
    if reply.report is not None:
        return reply.report
    error = f"the dataset of suite {planned.suite!r} could not be checked: {reply.error}"
    return DatasetReport(
        suite=planned.suite, dataset=planned.dataset, digest=planned.digest, key=planned.key, ok=False, error=error
    )


def _run(planned: Sequence[_Planned], *, timeout_s: float) -> list[Reply]:
    """A reply for each. A process that dies costs the dataset it was at; the rest get a process of their own."""
    replies: list[Reply] = []
    while len(replies) < len(planned):
        left = [each.job for each in planned[len(replies) :] if each.job is not None]
        done, death = _process(left, timeout_s=timeout_s)
        replies += done
        if len(done) < len(left):
            replies.append(Reply(error=death))
    return replies


def _process(jobs: Sequence[Job], *, timeout_s: float) -> tuple[list[Reply], str]:
    """What a fresh process answered, and how it ended if it answered too little."""
    with tempfile.TemporaryDirectory(prefix="evalwindow-datasets-") as name:
        told, said, log = Path(name) / "jobs.json", Path(name) / "replies.jsonl", Path(name) / "log"
        write_jobs(told, jobs)
        # The guard ends it with us, whatever ends us.
        command = [sys.executable, "-m", "evalwindow.guard", str(GRACE_S), sys.executable, "-m", "evalwindow.datasets"]
        with (
            log.open("wb") as file,
            subprocess.Popen(
                [*command, str(told), str(said)], stdin=subprocess.PIPE, stdout=file, stderr=file
            ) as process,
        ):
            ending = _wait(process, said, timeout_s=timeout_s)
        return read_replies(said), f"{ending}; its last words: {_last_words(log)}"


def _wait(process: subprocess.Popen[bytes], said: Path, *, timeout_s: float) -> str:
    """How it ended. The time counts from its last reply."""
    size, since = -1, time.monotonic()
    try:
        while True:
            now = said.stat().st_size if said.exists() else 0
            if now != size:
                size, since = now, time.monotonic()
            if time.monotonic() - since >= timeout_s:
                return f"the checking process was ended after {timeout_s:g} s without a reply"
            try:
                code = process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                continue
            return f"the checking process ended with exit code {code}"
    finally:
        if process.stdin is not None:
            process.stdin.close()


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "none")
