"""How the commands print: text for people, JSON for programs, progress on stderr where somebody watches."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from evalwindow.model import Answer
from evalwindow.report.words import visible

WIDE = 160  # columns where nobody watches: a file or a pipe has no edge

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs; no colours, no progress.")]

ANSWER_STYLES = {Answer.PASS: "green", Answer.FAIL: "red", Answer.INCONCLUSIVE: "yellow"}


def console() -> Console:
    """Standard output; nothing in a model's answer is taken for markup."""
    width = None if sys.stdout.isatty() else WIDE
    return Console(markup=False, emoji=False, highlight=False, width=width)


def say(text: str = "", *, style: str | None = None) -> None:
    """A line, never wrapped: a terminal does that itself, and a program wants it whole."""
    console().print(visible(text), style=style, soft_wrap=True)


def say_json(value: BaseModel | Sequence[BaseModel] | dict[str, Any] | list[Any]) -> None:
    typer.echo(json.dumps(_plain(value), indent=2, ensure_ascii=False))


def say_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """A table; the columns named in `right` hold numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for head in heads:
        table.add_column(head, justify="right" if head in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(visible, row))
    console().print(table)


class Bar:
    """A progress bar, or nothing where nobody watches."""

    def __init__(self, progress: Progress | None, task: TaskID | None) -> None:
        self._progress, self._task = progress, task

    @property
    def watched(self) -> bool:
        return self._progress is not None

    def update(self, *, done: int, total: int | None, text: str) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, description=text)


@contextmanager
def progress_bar(text: str, *, quiet: bool) -> Iterator[Bar]:
    """A bar on stderr inside the block; none with `quiet` (--json) or where stderr is no terminal."""
    if quiet or not sys.stderr.isatty():
        yield Bar(None, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bar(progress, progress.add_task(text, total=None))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value
