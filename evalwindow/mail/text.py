"""The mail as plain text, as complete as its HTML, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from evalwindow.mail.content import Content, Row, Section
from evalwindow.mail.details import Comparison, Lost
from evalwindow.mail.html import FORMS
from evalwindow.report import words

WIDTH = 76
FIRST_COLUMN = 22  # a longer name has a line of its own
HEADS = ("slice", "baseline → now", "points", "interval", "margin", "verdict")
NUMBERS = range(1, 5)  # columns that are set to the right


def text(content: Content) -> str:
    """Lines of at most WIDTH columns where nothing unbreakable is longer; the answer is in the first two."""
    shown = FORMS[0]
    parts = [
        [*_wrapped(f"{content.word}  {content.headline}"), *_wrapped(content.summary)],
        [f"{content.window} · {content.date}"],
        _overview(content.rows[: shown.overview], content.rows[shown.overview :]) if len(content.rows) > 1 else [],
        *(part for section in content.sections[: shown.sections] for part in _section(section)),
        ["-" * WIDTH, "The night", *_pairs((fact.name, fact.text) for fact in content.facts)],
        [f"{what}: {url}" for what, url in content.links],
        ["-- ", *_wrapped(content.why)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def paragraphs(head: Sequence[str], facts: Iterable[tuple[str, str]], links: Sequence[str], why: str) -> str:
    """A short mail: what it says, facts under their names, links, why it was sent."""
    said = [line for told in head for line in _wrapped(told)]
    parts = [said, _pairs(facts, indent=""), list(links), ["-- ", *_wrapped(why)]]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _overview(rows: Sequence[Row], more: Sequence[Row]) -> list[str]:
    width = max(len(row.word) for row in rows)
    lines = [line for row in rows for line in _hanging(f"{row.word:<{width}}  ", _told(row))]
    return [*lines, f"… and {len(more)} more, none of them worse"] if more else lines


def _told(row: Row) -> str:
    return f"{row.suite} ({row.model})" + (f": {row.fact}" if row.fact else "")


def _section(section: Section) -> Iterator[list[str]]:
    """Its paragraphs."""
    shown, row = FORMS[0], section.row
    yield ["-" * WIDTH, f"{row.word}  {row.suite} · {row.model}", *_wrapped(section.sentence)]
    yield [line for note in section.notes for line in _wrapped(note)]
    if section.comparisons:
        yield _table(section.comparisons, most=shown.rows)
    yield [line for remark in section.remarks for line in _hanging(f"{remark.word}  ", remark.text)]
    yield [*_wrapped(section.power), *(_wrapped(section.trend.alt) if section.trend else [])]
    if section.lost:
        yield [f"Right in the baseline, wrong now: {words.counted(section.lost_in_all, 'prompt')}"]
        yield from map(_lost, section.lost[: shown.lost])
    yield [f"Every prompt and answer of this run: {row.url}"] if row.url else []


def _table(comparisons: Sequence[Comparison], *, most: int) -> list[str]:
    """Aligned columns."""
    cells = [HEADS, *map(_cells, comparisons[:most])]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADS))]
    widths[0] = min(widths[0], FIRST_COLUMN)
    more = len(comparisons) - most
    rest = [f"… and {words.counted(more, 'more slice')}"] if more > 0 else []
    return [*(line for row in cells for line in _aligned(row, widths)), *rest]


def _cells(row: Comparison) -> tuple[str, ...]:
    verdict = " ".join(filter(None, (row.word, f"({row.note})" if row.note else "")))
    return row.slice, f"{row.baseline} → {row.here}", row.delta, row.interval, row.margin, verdict


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    name, *others = cells
    above = [name] if len(name) > widths[0] else []
    shown = ["" if above else name, *others]
    columns = [
        f"{cell:>{width}}" if column in NUMBERS else f"{cell:<{width}}"
        for column, (cell, width) in enumerate(zip(shown, widths, strict=True))
    ]
    return [*above, "  ".join(columns).rstrip()]


def _lost(one: Lost) -> list[str]:
    head = f"  {one.id}" + (f" ({one.slices})" if one.slices else "")
    said = (("asked", one.asked), ("wanted", one.wanted), ("baseline", one.baseline), ("now", one.got))
    return [head, *_pairs(said, indent="    ")]


def _pairs(pairs: Iterable[tuple[str, str]], indent: str = "  ") -> list[str]:
    known = list(pairs)
    width = max((len(name) for name, _ in known), default=0)
    return [line for name, value in known for line in _hanging(f"{indent}{name:<{width}}  ", value)]


def _hanging(head: str, value: str) -> list[str]:
    return _lines(value, head, " " * len(head)) or [head.rstrip()]


def _wrapped(line: str) -> list[str]:
    return _lines(line, "", "")


def _lines(line: str, first: str, others: str) -> list[str]:
    """A number stays with its percent sign, a URL in one piece."""
    wrapped = textwrap.wrap(
        line.replace(" %", "\xa0%"),
        WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [each.replace("\xa0%", " %") for each in wrapped]
