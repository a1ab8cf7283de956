"""The page and the JSON of a run as files, for whoever reads reports without the web app."""

from __future__ import annotations

import uuid
from pathlib import Path

from evalwindow.report.document import report_document
from evalwindow.report.page import page
from evalwindow.report.view import RunView


def report_folder(home: Path) -> Path:
    return home / "reports"


def write_report(view: RunView, folder: Path) -> Path:
    """Write <run>.html and <run>.json into the folder, each whole or not at all; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / f"{view.run.id}.json", report_document(view).model_dump_json(indent=2))
    path = folder / f"{view.run.id}.html"
    _replace(path, page(view))
    return path


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
