"""The words of a mail: foreign text in one line, moments on the reader's clock, outcomes counted."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from zoneinfo import ZoneInfo

from evalwindow.model import Answer, Check
from evalwindow.report import words
from evalwindow.report.night import NightLine, NightView

FACT_CHARACTERS, SLICE_CHARACTERS = 60, 40

_COUNTED = {
    "FAIL": "failed",
    "PASS": "passed",
    "ERROR": "broke down",
}


def oneline(text: str, limit: int) -> str:
    """Foreign text in one line of at most `limit` characters; what could hide a part of it is spelled out."""
    flat = " ".join(text.split())
    shown = words.visible(flat[: limit + 1])  # an answer may be long, and to spell it out is slow
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def zone_of(view: NightView) -> dt.tzinfo:
    """The clock of the window; UTC where evalwindow.yaml doesn't know the window any more."""
    return ZoneInfo(view.timezone)


def moment(value: dt.datetime, zone: dt.tzinfo) -> str:
    """2026-11-21 22:00 CET."""
    return value.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z")


def span(start: dt.datetime, end: dt.datetime, zone: dt.tzinfo) -> str:
    """2026-11-21 22:00 – 06:00 CET; what differs between the two is said twice."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    same_night = last - first < dt.timedelta(days=1)
    left = first.strftime("%Y-%m-%d %H:%M" if first.tzname() == last.tzname() else "%Y-%m-%d %H:%M %Z")
    return f"{left} – {last.strftime('%H:%M %Z' if same_night else '%Y-%m-%d %H:%M %Z')}"


def date_of(view: NightView) -> str:
    """The date on which the night began, on the window's clock."""
    return view.night.starts_at.astimezone(zone_of(view)).strftime("%Y-%m-%d")


def gpu_time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} GPU-seconds"
    return f"{seconds / 60:.1f}".removesuffix(".0") + " GPU-minutes"


def share(part: float, whole: float) -> str:
    """Part of a positive whole in percent."""
    percent = 100 * part / whole
    return "less than 1 %" if 0 < percent < 1 else f"{percent:.0f} %"


def name_of(line: NightLine) -> str:
    return f"{line.entry.suite} ({line.entry.model})"


def tally(lines: Sequence[NightLine]) -> str:
    """1 failed, 2 passed; in the order of the lines."""
    counts = Counter(line.word for line in lines)
    return ", ".join(f"{count} {_COUNTED.get(word, word.lower())}" for word, count in counts.items())


def fact(line: NightLine) -> str:
    """What a subject has room for: the comparison that decided, or the first words of the reason."""
    check = deciding(line)
    if check is None:
        return oneline(line.title, FACT_CHARACTERS)
    if check.delta is None:
        told = oneline(words.without_answer(check.text), FACT_CHARACTERS)
    else:
        told = f"{oneline(check.slice, SLICE_CHARACTERS)} {words.points(check.delta)} points"
    return f"was {check.answer.upper()}, {told}" if line.word == "VOID" else told


def deciding(line: NightLine) -> Check | None:
    """The blocking check with the gate's answer that fell deepest; of a pass the comparison of all samples."""
    verdict = line.run.verdict if line.run is not None else None
    if verdict is None:
        return None
    checks = [check for check in verdict.checks if check.blocking and check.answer is verdict.answer]
    if verdict.answer is Answer.PASS:
        return next((check for check in checks if check.kind == "paired" and check.slice == "all"), None)
    return min(checks, key=lambda check: check.delta or 0.0, default=None)
