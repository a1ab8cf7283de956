"""Suites from files."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from evalwindow.config import Limits
from evalwindow.errors import BadInput, SuiteInvalid
from evalwindow.suites.checks import check_suite
from evalwindow.suites.rows import Rows, read_rows
from evalwindow.suites.samples import read_samples
from evalwindow.suites.spec import Dataset, SuiteSpec
from evalwindow.suites.suite import Suite
from evalwindow.yamlfile import MAX_BYTES, YamlFile, read_yaml

_NAME = re.compile(rb"""^suite:[ \t]*["']?([a-z0-9._-]+)""", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class BrokenSuite:
    """A file of a suites folder that can't be used."""

    name: str  # of the suite that it would be, as far as that can be read
    complaint: str  # starts with file:line


def load_suites(folder: Path, limits: Limits) -> dict[str, Suite]:
    """Every *.yaml of a folder by suite name; raises SuiteInvalid with the complaints about all of them."""
    suites, broken = read_suites(folder, limits)
    if broken:
        raise SuiteInvalid("\n".join(each.complaint for each in broken))
    return suites


def read_suites(folder: Path, limits: Limits) -> tuple[dict[str, Suite], tuple[BrokenSuite, ...]]:
    """The sound suites of a folder by name, and its broken files. A name that two files claim is neither's."""
    suites: dict[str, Suite] = {}
    broken: list[BrokenSuite] = []
    disputed: set[str] = set()
    for path in sorted(folder.glob("*.yaml")):
        try:
            suite = load_suite(path, limits)
        except BadInput as invalid:
            broken.append(BrokenSuite(name=name_in(path), complaint=str(invalid)))
            continue
        other = suites.setdefault(suite.name, suite)
        if other is not suite:
            disputed.add(suite.name)
            taken = f"{path}:1: suite: the name {suite.name!r} is taken by {other.path}"
            broken.append(BrokenSuite(name=suite.name, complaint=taken))
    return {name: suite for name, suite in suites.items() if name not in disputed}, tuple(broken)


def name_in(path: Path) -> str:
    """What a broken file calls its suite, or else the file's own name."""
    try:
        found = _NAME.search(path.read_bytes()[:MAX_BYTES])
    except OSError:
        return path.stem
    return found[1].decode() if found else path.stem


def load_suite(path: Path, limits: Limits) -> Suite:
    """One suite with its dataset; raises SuiteInvalid or TemplateInvalid that starts with file:line."""
    file = read_yaml(path, error=SuiteInvalid)
    spec = file.validate(SuiteSpec)
    dataset = dataset_path(spec.dataset, file=file, folder=path.parent)
    rows = read_rows(dataset, limit=spec.dataset.limit)
    _check_rows(rows, spec.dataset, file=file, path=dataset)
    marked = set(spec.must_pass)
    samples = tuple(
        dataclasses.replace(sample, must_pass=sample.must_pass or sample.id in marked)
        for sample in read_samples(rows.rows, spec.dataset)
    )
    suite = Suite(spec=spec, samples=samples, dataset_digest=rows.digest, path=path)
    check_suite(suite, file=file, rows=rows.rows, limits=limits)
    return suite


def dataset_path(dataset: Dataset, *, file: YamlFile, folder: Path) -> Path:
    """The dataset's file; raises SuiteInvalid unless it lies, symlinks followed, in the suite's folder."""
    path = folder / dataset.path
    try:
        inside = "\0" not in dataset.path and path.resolve().is_relative_to(folder.resolve())
        there = inside and path.is_file()
    except (OSError, RuntimeError) as reason:  # a name that is too long; links in a circle
        raise file.fault(("dataset", "path"), f"can't be looked up: {str(reason)[:200]}") from reason
    if not inside:
        what = f"{dataset.path!r} lies outside of the folder {str(folder)!r}; move the dataset into it"
        raise file.fault(("dataset", "path"), what)
    if not there:
        raise file.fault(("dataset", "path"), f"there is no file {str(path)!r}")
    return path


def _check_rows(rows: Rows, dataset: Dataset, *, file: YamlFile, path: Path) -> None:
    if dataset.sha256 not in (None, rows.digest):
        what = f"the pin does not match: {path} has sha256 {rows.digest}; review the change, then pin that"
        raise file.fault(("dataset", "sha256"), what)
    if not rows.rows:
        raise SuiteInvalid(f"{path}:1: the dataset is empty; it needs a line for each sample")
