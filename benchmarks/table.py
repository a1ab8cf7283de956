"""Plain tables for a terminal and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import quantiles


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table under its title."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join(["", title, "", lines[0], rule, *lines[1:]])


def p50_p95(values: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile; both are the value itself where there is one."""
    if len(values) < 2:
        return values[0], values[0]
    cuts = quantiles(values, n=20, method="inclusive")
    return cuts[9], cuts[18]


def ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms"


def seconds(value: float) -> str:
    return f"{value:.2f} s"


def ratio(value: float) -> str:
    return f"{value:.2f}"
