"""What the tour says."""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

WIDE = 140  # columns where the output goes into a file
WIDEST = 118  # columns of text
INDENT = " " * 6

console = Console(markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() else WIDE)

#: moved(answers so far, answers in all)
Moved = Callable[[int, int], None]


@contextmanager
def step(number: int, title: str) -> Iterator[None]:
    """A numbered part of the tour; its seconds are said at its end."""
    begun = time.monotonic()
    console.print()
    console.print(f"[{number}/6] {title}", style="bold cyan")
    yield
    console.print(f"      ({time.monotonic() - begun:.1f} s)", style="dim")


def say(text: str, *, style: str | None = None) -> None:
    """Lines under the step's title; long ones are wrapped, paths stay whole."""
    wrapper = textwrap.TextWrapper(
        width=min(console.width, WIDEST), initial_indent=INDENT, break_long_words=False, break_on_hyphens=False
    )
    for line in text.splitlines():
        wrapper.subsequent_indent = INDENT + " " * (len(line) - len(line.lstrip()))
        for piece in wrapper.wrap(line):
            console.print(piece, style=style, soft_wrap=True)


@contextmanager
def bar(text: str) -> Iterator[Moved]:
    """A progress bar in a terminal; in a file the text alone."""
    if not console.is_terminal:
        say(text)
        yield lambda done, total: None
        return
    columns = (TextColumn("      {task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(text, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def table(heads: list[str], rows: list[list[str]], *, right: tuple[str, ...] = ()) -> None:
    """The columns in `right` hold numbers."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in heads:
        shown.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
