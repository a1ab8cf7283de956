"""Datasets: every line checked, with pages to look at. See docs/suites.md.

Importing this loads neither polars nor Great Expectations; validate_all runs them in a process of its own.
"""

from __future__ import annotations

from evalwindow.datasets.asked import Asked, asked
from evalwindow.datasets.batch import suite_paths, validate_all
from evalwindow.datasets.report import (
    BadRow,
    DatasetReport,
    Drift,
    Finding,
    Lengths,
    Severity,
    TokenLengths,
    from_document,
    to_document,
)

__all__ = [
    "Asked",
    "BadRow",
    "DatasetReport",
    "Drift",
    "Finding",
    "Lengths",
    "Severity",
    "TokenLengths",
    "asked",
    "from_document",
    "suite_paths",
    "to_document",
    "validate_all",
]
