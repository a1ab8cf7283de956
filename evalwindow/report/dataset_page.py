"""What was found in a suite's dataset; and Great Expectations' own pages about it, made readable without scripts."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from evalwindow.datasets import DatasetReport, from_document
from evalwindow.errors import NotFound
from evalwindow.report import words
from evalwindow.report.links import Links
from evalwindow.report.page import render
from evalwindow.store import Store

FOLDER = "datadocs"  # of the home folder


@dataclass(frozen=True, kw_only=True)
class DocsPage:
    """One of Great Expectations' pages."""

    title: str
    path: str  # below <home>/datadocs


def dataset_page(store: Store, key: str, *, home: Path, links: Links) -> str:
    """The outcome that was kept under the key; raises NotFound."""
    document = store.dataset_report(key)
    if document is None:
        raise NotFound(kind="dataset report", name=key)
    report = from_document(document)
    return render(
        "dataset.html", report=report, pages=_pages(home / FOLDER, key), verdict=_verdict(report), links=links
    )


def readable(html: str) -> str:
    """One of Great Expectations' pages with a style sheet of ours: its own come from hosts that are not asked."""
    return html.replace("</head>", f"<style>{_style()}</style></head>", 1)


def _verdict(report: DatasetReport) -> str:
    errors, warnings = len(report.errors), len(report.warnings)
    if errors:
        return f"{words.counted(errors, 'check')} failed: the suite does not run until that is mended"
    also = f", {warnings} worth a look" if warnings else ""
    return f"{report.samples} samples, nothing that stops a run{also}"


def _pages(root: Path, key: str) -> tuple[DocsPage, ...]:
    """What was validated comes before what was expected."""
    folder = root / key
    found = [path for part in ("validations", "expectations") for path in sorted((folder / part).rglob("*.html"))]
    return tuple(DocsPage(title=_title(path.relative_to(folder)), path=str(path.relative_to(root))) for path in found)


def _title(path: Path) -> str:
    """'what was found: demo-regression-lines'."""
    return f"{'what was found' if path.parts[0] == 'validations' else 'what was expected'}: {path.stem}"


@functools.cache
def _style() -> str:
    return (files("evalwindow.report") / "templates" / "datadocs.css").read_text(encoding="utf-8")
