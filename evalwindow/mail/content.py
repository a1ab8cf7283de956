"""A night's mail for one reader, worked out once: what both of its forms, text and HTML, show. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evalwindow.mail import facts
from evalwindow.mail.details import SENTENCE_CHARACTERS, Comparison, Lost, Remark, comparisons, lost, remarks
from evalwindow.mail.facts import Fact
from evalwindow.mail.phrases import date_of, fact, moment, name_of, oneline, tally, zone_of
from evalwindow.mail.plot import Trend
from evalwindow.mail.subject import VOID, subject
from evalwindow.report import words
from evalwindow.report.headline import Tone
from evalwindow.report.night import NightLine, NightView

NOTES, NOTE_CHARACTERS, NAMES = 12, 200, 3


@dataclass(frozen=True, kw_only=True)
class Row:
    """One entry of the night in a line."""

    word: str
    tone: Tone
    suite: str
    model: str
    fact: str
    url: str  # of the run's page; empty: there is no run


@dataclass(frozen=True, kw_only=True)
class Section:
    """One entry of the night in full."""

    row: Row
    sentence: str
    notes: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    remarks: tuple[Remark, ...]
    lost: tuple[Lost, ...]  # the worst few
    lost_in_all: int
    power: str  # what the comparison could have seen, where it decided nothing
    trend: Trend | None


@dataclass(frozen=True, kw_only=True)
class Content:
    """All of a mail."""

    subject: str
    word: str
    tone: Tone
    headline: str
    summary: str  # how many of what
    window: str
    date: str
    rows: tuple[Row, ...]
    sections: tuple[Section, ...]
    facts: tuple[Fact, ...]
    links: tuple[tuple[str, str], ...]  # what, URL
    why: str  # the reader gets it


def content_of(view: NightView, lines: Sequence[NightLine], *, address: str) -> Content:
    """`lines` are what this address is told of, the worst first."""
    void = view.night.void
    sections = tuple(_section(view, line) for line in lines)
    return Content(
        subject=subject(view, lines),
        word="VOID" if void else lines[0].word if lines else "EMPTY",
        tone=view.tone if void or not lines else lines[0].tone,
        headline=f"No verdict of this night counts: {VOID}" if void else _headline(lines),
        summary=oneline(void, SENTENCE_CHARACTERS) if void else _summary(lines),
        window=view.night.window,
        date=date_of(view),
        rows=tuple(section.row for section in sections),
        sections=sections,
        facts=facts.facts_of(view),
        links=facts.links_of(view),
        why=facts.why(view, lines, address=address),
    )


def _headline(lines: Sequence[NightLine]) -> str:
    """What is worst, and of what."""
    worst = [line for line in lines if line.word == lines[0].word]
    if not worst:
        return "Nothing was to be judged"
    if len(worst) == 1:
        told = fact(worst[0])
        return f"{name_of(worst[0])}: {told}" if told else name_of(worst[0])
    counted = f"All {tally(worst)}" if len(worst) == len(lines) else f"{tally(worst)} of {len(lines)}"
    more = len(worst) - NAMES
    return f"{counted}: {', '.join(map(name_of, worst[:NAMES]))}{f' and {more} more' if more > 0 else ''}"


def _summary(lines: Sequence[NightLine]) -> str:
    return tally(lines) if len(lines) > 1 else ""


def _section(view: NightView, line: NightLine) -> Section:
    run_view, sentence = line.view, oneline(_sentence(view, line), SENTENCE_CHARACTERS)
    said = remarks(run_view) if run_view else []
    lost_in_all, worst = lost(run_view) if run_view and line.word in ("FAIL", "INCONCLUSIVE") else (0, [])
    return Section(
        row=_row(view, line),
        sentence=sentence,
        notes=tuple(oneline(note, NOTE_CHARACTERS) for note in _notes(line)),
        comparisons=tuple(comparisons(run_view)) if run_view else (),
        remarks=tuple(remark for remark in said if not sentence.startswith(remark.text)),
        lost=tuple(worst),
        lost_in_all=lost_in_all,
        power=run_view.verdict.power if run_view and run_view.verdict and line.word == "INCONCLUSIVE" else "",
        trend=_trend(view, line),
    )


def _row(view: NightView, line: NightLine) -> Row:
    return Row(
        word=line.word,
        tone=line.tone,
        suite=line.entry.suite,
        model=line.entry.model,
        fact=fact(line),
        url=f"{view.url}/{line.run.id}" if line.run else "",
    )


def _sentence(view: NightView, line: NightLine) -> str:
    """The verdict, or why there is none and how it goes on."""
    verdict = line.run.verdict if line.run else None
    if line.word == "VOID" and verdict is not None:
        return f"Void. The gate had said {verdict.answer.upper()}: {words.without_answer(verdict.title)}"
    if line.word not in ("UNFINISHED", "NOT STARTED"):
        return line.title
    then = "goes on" if line.word == "UNFINISHED" else "it starts"
    when = moment(view.next_start, zone_of(view)) if view.next_start else "whenever that opens"
    return f"{line.title or 'the window was over before it could start'}; {then} in the next window, {when}"


def _notes(line: NightLine) -> list[str]:
    """What else is known of it: the night before, where it comes from, the rows that are wrong."""
    if line.before is None:
        notes = ["The first night of this suite and model."]
    else:
        notes = [f"The night before: {line.before}." if line.changed else f"As in the night before: {line.before}."]
    told = (line.entry.note or "").strip().splitlines()
    if line.run is None and told:
        told = told[1:]  # the first is its sentence
    more = len(told) - NOTES
    notes += [note for note in told[:NOTES] if note.strip()]
    if more > 0:
        notes.append(f"… and {more} more")
    return notes


def _trend(view: NightView, line: NightLine) -> Trend | None:
    """The nights up to this one; nothing without a verdict of this night."""
    if line.run is None or line.run.concluded_at is None or line.run.verdict is None:
        return None
    points = tuple(point for point in line.trend if point.at <= line.run.concluded_at)
    if not points:
        return None
    whole = next((check for check in line.run.verdict.checks if check.kind == "paired" and check.slice == "all"), None)
    return Trend(
        points=points,
        baseline=whole.baseline if whole else None,
        margin=whole.margin if whole else None,
        zone=zone_of(view),
    )
