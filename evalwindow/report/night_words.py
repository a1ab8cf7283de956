"""A night in a word and a sentence."""

from __future__ import annotations

from evalwindow.report import words
from evalwindow.report.night import NightView

_HEADLINES = {"PASS": "Passed", "FAIL": "Failed", "EMPTY": "Nothing planned"}
_SAID = {  # of one, of several
    "PASS": ("passed", "passed"),
    "FAIL": ("failed", "failed"),
    "INVALID DATASET": ("has an invalid dataset", "have an invalid dataset"),
    "NOT STARTED": ("never started", "never started"),
    "REFUSED": ("was refused", "were refused"),
    "CANCELLED": ("was cancelled", "were cancelled"),
    "SUPERSEDED": ("was superseded", "were superseded"),
    "ERROR": ("ended in an error", "ended in an error"),
}


def headline(view: NightView) -> str:
    """'Failed', 'Void', 'Invalid dataset'."""
    if view.night.dry_run:
        return "Dry run"
    if not view.over and view.word not in ("VOID", "EMPTY"):
        return "Under way"
    return _HEADLINES.get(view.word, view.word.capitalize())


def sentence(view: NightView) -> str:
    """Why it is void, how far it got, or how many candidates went the way of the worst one, and what that one says."""
    if view.night.void:
        return view.night.void
    if view.worst is None:
        return "No suite and model was chosen."
    if view.night.dry_run:
        return f"{_things(len(view.lines))} would be evaluated; nothing was run."
    told = _counted(view)
    if not view.over:
        return f"{_progress(view)} {told}" if view.worst.answer is not None else _progress(view)
    return told


def _counted(view: NightView) -> str:
    worst = view.lines[0]
    alike = sum(line.word == worst.word for line in view.lines)
    share = f"All {len(view.lines)}" if alike == len(view.lines) > 1 else f"{alike} of {_things(len(view.lines))}"
    said = f"{share} {_said(worst.word, alike)}"
    if worst.word == "PASS" or not worst.title:
        return f"{said}."
    return f"{said}. {worst.entry.suite} × {worst.entry.model}: {worst.title}"


def _said(word: str, number: int) -> str:
    one, several = _SAID.get(word, (f"is {word.lower()}", f"are {word.lower()}"))
    return one if number == 1 else several


def _progress(view: NightView) -> str:
    begun = [line for line in (*view.lines, *view.aa) if line.run is not None]
    samples, left = sum(line.samples for line in begun), sum(line.samples_left for line in begun)
    waiting = sum(line.word == "PLANNED" for line in (*view.lines, *view.aa))
    also = f", {words.counted(waiting, 'run')} still to begin" if waiting else ""
    return f"{samples - left} of {words.counted(samples, 'sample')} done{also}."


def _things(number: int) -> str:
    return words.counted(number, "candidate")
