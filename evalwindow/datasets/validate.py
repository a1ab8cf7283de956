"""Validate one dataset in this process. It loads polars and Great Expectations: batch.py keeps that out of others."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from evalwindow.config import Limits
from evalwindow.datasets.asked import Asked
from evalwindow.datasets.checks import suite_finding
from evalwindow.datasets.drift import drift
from evalwindow.datasets.examine import Examiner
from evalwindow.datasets.expectations import Outcome, check
from evalwindow.datasets.findings import Seen, findings
from evalwindow.datasets.flags import flag
from evalwindow.datasets.jobs import Before
from evalwindow.datasets.raw import RawDataset, key_of, open_raw
from evalwindow.datasets.report import DatasetReport, Finding, Severity, TokenLengths
from evalwindow.datasets.slices import slice_counts
from evalwindow.datasets.tables import room_of, tables
from evalwindow.errors import UnknownName
from evalwindow.faults import Fault
from evalwindow.model import Sample
from evalwindow.scorers.entry_point import EntryPointScorer, resolve
from evalwindow.suites import Suite
from evalwindow.suites.checks import suite_faults

DOCS = "datadocs"  # folder of the home folder


def validate(
    path: Path, *, limits: Limits, models: Sequence[Asked], home: Path, before: Before | None = None
) -> DatasetReport:
    """A full report about the dataset of one suite's YAML, with Data Docs in `home`/datadocs/<key>/.

    Raises SuiteInvalid if there is nothing to validate (the YAML can't be used, or there is no dataset), CheckCrashed
    or ConfigInvalid if a check itself failed.
    """
    begun = time.perf_counter()
    raw = open_raw(path)
    key = key_of(raw, limits=limits, models=models)
    seen, faults = look(raw, limits=limits, models=models, before=before)
    outcomes = _expect(seen, title=raw.spec.suite, run=raw.digest[:12], folder=home / DOCS / key)
    found = (*_of_suite(raw, faults), *findings(outcomes, seen))
    return DatasetReport(
        suite=raw.spec.suite,
        dataset=raw.spec.dataset.path,
        digest=raw.digest,
        key=key,
        ok=all(each.severity is not Severity.ERROR for each in found),
        findings=found,
        samples=seen.samples,
        characters=seen.flags.characters,
        tokens=tuple(_token_lengths(seen)),
        uncounted=tuple(name for each in models if each.counter is None for name in each.models),
        drift=seen.drift,
        docs=f"{DOCS}/{key}/index.html",
        seconds=time.perf_counter() - begun,
    )


def look(
    raw: RawDataset, *, limits: Limits, models: Sequence[Asked], before: Before | None
) -> tuple[Seen, list[Fault]]:
    """Everything about the data but the outcomes, and what is wrong with the YAML."""
    examiner = Examiner(raw, models)
    lines = list(examiner.lines())
    flags = flag(lines, models=len(models))
    samples = [line.sample for line in lines if line.sample is not None]
    seen = Seen(
        spec=raw.spec,
        limits=limits,
        models=models,
        flags=flags,
        slices=slice_counts(raw.spec, samples) if samples else (),
        known_slices=frozenset(tag for sample in samples for tag in sample.slices),
        drift=drift(flags.characters, before.characters, against=before.digest) if before else None,
        samples=len(lines),
    )
    return seen, [*examiner.faults, *_faults(raw, samples, limits)]


def _faults(raw: RawDataset, samples: Sequence[Sample], limits: Limits) -> Iterable[Fault]:
    """What the loader would say of the YAML, but for what checks of the data say with lines and slices."""
    pinned = raw.spec.dataset.sha256
    if pinned not in (None, raw.digest):
        what = f"the pin does not match: {raw.dataset} has sha256 {raw.digest}; review the change, then pin that"
        yield Fault(path=("dataset", "sha256"), what=what)
    yield from _unknown_functions(raw)
    if samples:
        suite = Suite(spec=raw.spec, samples=tuple(samples), dataset_digest=raw.digest)
        yield from (fault for fault in suite_faults(suite, limits=limits) if not _said_elsewhere(fault))


def _said_elsewhere(fault: Fault) -> bool:
    return (
        fault.path == ("dataset",)
        or fault.path[:2] == ("prompt", "few_shots")
        or (fault.path[:1] == ("policy",) and fault.what.startswith("unknown slice"))
    )


def _unknown_functions(raw: RawDataset) -> Iterable[Fault]:
    for index, scorer in enumerate(raw.spec.scorers):
        if isinstance(scorer, EntryPointScorer):
            try:
                resolve(scorer.function)
            except UnknownName as unknown:
                yield Fault(path=("scorers", index, "function"), what=str(unknown))


def _of_suite(raw: RawDataset, faults: Iterable[Fault]) -> list[Finding]:
    complaints = (str(raw.file.fault(fault.path, fault.what)) for fault in faults)
    return [suite_finding(complaint, folder=raw.path.parent) for complaint in complaints]


def _expect(seen: Seen, *, title: str, run: str, folder: Path) -> dict[str, Outcome]:
    """The pages appear under their name when they are complete."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        asked = tables(seen.spec, seen.flags, seen.slices, seen.drift, limits=seen.limits, models=seen.models)
        outcomes = check(asked, title=title, run=run, folder=draft)
        _publish(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return outcomes


def _publish(draft: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        draft.rename(folder)
    except OSError:
        if not (folder / "index.html").is_file():  # else another process was a moment faster with the same pages
            raise


def _token_lengths(seen: Seen) -> Iterable[TokenLengths]:
    for model, lengths in zip(seen.models, seen.flags.tokens, strict=True):
        if model.counter is not None:
            room = room_of(seen.spec, model)
            yield TokenLengths(models=model.models, context=model.context, room=room, lengths=lengths)
