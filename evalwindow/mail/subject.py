"""A night in one line: the verdict and the suite first, so that a phone's list of mails says it."""

from __future__ import annotations

from collections.abc import Sequence

from evalwindow.mail.phrases import date_of, fact, name_of, oneline, tally
from evalwindow.report.night import NightLine, NightView

MOST_CHARACTERS = 120
VOID = "the baseline lost against itself"


def subject(view: NightView, lines: Sequence[NightLine]) -> str:
    """The fullest form that fits; one line without control characters. `lines` are this reader's, the worst first."""
    tail = f" · {view.night.window} {date_of(view)}"
    forms = [f"{form}{tail}" for form in _forms(view, lines)]
    return oneline(next((form for form in forms if len(form) <= MOST_CHARACTERS), forms[-1]), MOST_CHARACTERS)


def _forms(view: NightView, lines: Sequence[NightLine]) -> list[str]:
    if not lines:
        return ["VOID" if view.night.void else "EMPTY"]
    if view.night.void:
        return [f"VOID {_suites(lines, shown)}: {VOID}" for shown in (3, 1)] + [f"VOID: {VOID}"]
    worst = [line for line in lines if line.word == lines[0].word]
    rest = tally(lines[len(worst) :])
    heads = _one(worst[0]) if len(worst) == 1 else _several(worst, of=len(lines))
    return [f"{head}; {rest}" if rest else head for head in heads]


def _one(line: NightLine) -> list[str]:
    named, told = f"{line.word} {name_of(line)}", fact(line)
    return [*([f"{named}: {told}"] if told else []), named, f"{line.word} {line.entry.suite}"]


def _several(lines: Sequence[NightLine], *, of: int) -> list[str]:
    counted = f"{lines[0].word} {len(lines)} of {of}" if len(lines) < of else f"{lines[0].word} all {of}"
    return [f"{counted}: {_suites(lines, shown)}" for shown in (3, 1)] + [counted]


def _suites(lines: Sequence[NightLine], shown: int) -> str:
    names = list(dict.fromkeys(line.entry.suite for line in lines))
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {more} more" if more > 0 else "")
