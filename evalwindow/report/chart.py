"""A line over time as numbers for an SVG: where its marks, ticks and level stand."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

WIDTH, HEIGHT = 360, 168
LEFT, RIGHT, TOP, BOTTOM = 48, 20, 12, 24  # room for labels
TICKS = 4
ROOM = 0.08  # of the span, left free above and below


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One value at a moment."""

    at: dt.datetime
    value: float | None  # None: not measured
    kind: str  # pass, fail, inconclusive, void or none: how it is marked
    label: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A reading at its place."""

    x: float
    y: float
    kind: str
    label: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Everything in pixels of a WIDTH x HEIGHT box."""

    title: str
    lines: tuple[str, ...]  # points of polylines
    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    level: Tick | None  # a value to compare with
    summary: str  # for who can't see it


@dataclass(frozen=True, kw_only=True)
class Axis:
    """Numbers start..end -> pixels first..last."""

    start: float
    end: float
    first: float
    last: float

    def at(self, value: float) -> float:
        share = (value - self.start) / (self.end - self.start) if self.end > self.start else 0.5
        return round(self.first + (self.last - self.first) * share, 1)


def chart(
    title: str,
    readings: Sequence[Reading],
    *,
    times: tuple[dt.datetime, dt.datetime],
    show: Callable[[float], str],
    level: tuple[str, float] | None = None,
    from_zero: bool = False,
    ceiling: float = math.inf,
) -> Chart | None:
    """The chart of these readings (oldest first) between two times; None where nothing was measured.

    `show` writes a value of the axis; `level` is a name and a value to compare with; no axis goes over `ceiling`.
    """
    known = [reading for reading in readings if reading.value is not None]
    values = [reading.value for reading in known if reading.value is not None]
    if not values:
        return None
    ticks = _ticks(values + ([level[1]] if level else []), from_zero=from_zero, ceiling=ceiling)
    y = Axis(start=ticks[0], end=ticks[-1], first=HEIGHT - BOTTOM, last=TOP)
    x = Axis(start=times[0].timestamp(), end=times[1].timestamp(), first=LEFT + 8, last=WIDTH - RIGHT)
    marks = tuple(_mark(reading, reading.value, x=x, y=y) for reading in known if reading.value is not None)
    return Chart(
        title=title,
        lines=_lines(marks),
        marks=marks,
        x_ticks=_days(times, x),
        y_ticks=tuple(Tick(at=y.at(value), label=show(value)) for value in ticks),
        level=Tick(at=y.at(level[1]), label=f"{level[0]} {show(level[1])}") if level else None,
        summary=f"{title}: {show(values[0])} at first, {show(values[-1])} at last, "
        f"between {show(min(values))} and {show(max(values))}",
    )


def _mark(reading: Reading, value: float, *, x: Axis, y: Axis) -> Mark:
    at = x.at(reading.at.timestamp())
    return Mark(x=at, y=y.at(value), kind=reading.kind, label=reading.label, url=reading.url)


def _lines(marks: Iterable[Mark]) -> tuple[str, ...]:
    """One line through all that counts; what is void breaks it."""
    runs = (list(group) for void, group in groupby(marks, key=lambda mark: mark.kind == "void") if not void)
    return tuple(" ".join(f"{mark.x},{mark.y}" for mark in run) for run in runs if len(run) > 1)


def _ticks(values: Sequence[float], *, from_zero: bool, ceiling: float) -> list[float]:
    """Round numbers, two to six of them, with all values between the first and the last."""
    low, high = (0.0 if from_zero else min(values)), max(values)
    room = (high - low or abs(high) * 0.1 or 1.0) * ROOM
    low, high = (low if from_zero else max(low - room, 0.0)), min(high + room, ceiling)
    step = _round_step((high - low) / (TICKS - 1))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 10) for number in range(first, last + 1)]


def _round_step(step: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)


def _days(times: tuple[dt.datetime, dt.datetime], x: Axis) -> tuple[Tick, ...]:
    """The first and last day and some between."""
    start, end = times
    days = max((end - start).days, 1)
    count = min(days + 1, 4) if end > start else 1
    moments = [start + (end - start) * number / max(count - 1, 1) for number in range(count)]
    return tuple(Tick(at=x.at(moment.timestamp()), label=f"{moment.day} {moment:%b}") for moment in moments)
