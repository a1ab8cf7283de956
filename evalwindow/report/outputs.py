"""What is shown of an answer: what the model said or, in brackets, why that can't be shown."""

from __future__ import annotations

from evalwindow.model import SampleResult
from evalwindow.report.words import counted


def shown(result: SampleResult) -> str:
    """One text, never empty."""
    if result.completion is None:
        return f"(no answer: {result.error or 'unknown error'})"
    if result.removed_after_days is not None:
        return removed(result.removed_after_days)
    return result.completion.text or "(empty answer)"


def removed(after_days: int) -> str:
    """Instead of an output that is kept no longer."""
    return f"(output removed after {counted(after_days, 'day')})"
