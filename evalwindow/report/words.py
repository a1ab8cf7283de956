"""Numbers and dates in the words of a report."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from zoneinfo import ZoneInfo

from evalwindow.model import Check, Score

NOTHING = "–"
_ANSWER = re.compile(r": (?:PASS|FAIL|INCONCLUSIVE)\b")


def percent(value: float | None) -> str:
    """0.934 -> '93.4 %'."""
    return NOTHING if value is None else f"{value * 100:.1f} %"


def points(value: float | None) -> str:
    """A difference of shares in percentage points: -0.031 -> '−3.1'."""
    return NOTHING if value is None else f"{value * 100:+.1f}".replace("-", "−")


def interval(check: Check) -> str:
    """Both one-sided bounds of the difference, in points."""
    if check.low is None and check.high is None:
        return NOTHING
    return f"{points(check.low)} … {points(check.high)}"


def seconds(value: float | None) -> str:
    """0.0123 -> '12 ms'; 3.21 -> '3.2 s'; 200 -> '3 min 20 s'."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def roughly(value: dt.timedelta) -> str:
    """How long, to its first unit or two: '26 s', '12 min', '1 h 47 min', '3 d 2 h'; never less than '0 s'."""
    minutes, seconds = divmod(max(0, round(value.total_seconds())), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if not (days or hours):
        return f"{minutes} min" if minutes else f"{seconds} s"
    parts = (f"{days} d", f"{hours} h") if days else (f"{hours} h", f"{minutes} min")
    return " ".join(part for part in parts if not part.startswith("0 "))


def short_seconds(value: float) -> str:
    """For an axis: 0.04 -> '40 ms'; 20 -> '20 s'; 300 -> '5 min'."""
    if value < 1:
        return f"{value * 1000:g} ms" if value else "0"
    return f"{value:g} s" if value < 120 else f"{value / 60:g} min"


def short_percent(value: float) -> str:
    """For an axis: 0.925 -> '92.5 %'; 0.9 -> '90 %'."""
    return f"{value * 100:.4g} %"


def rate(value: float | None) -> str:
    """Of tokens a second: 0.42 -> '0.4'; 1234.6 -> '1235'."""
    if value is None:
        return NOTHING
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def money(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}" if 0 < value < 0.01 else f"{value:.2f}"


def moment(value: dt.datetime | None) -> str:
    return NOTHING if value is None else value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def local(value: dt.datetime | None, timezone: str) -> str:
    """'Mon 2 Mar 2026, 22:00 CET'."""
    if value is None:
        return NOTHING
    return f"{day(value, timezone)}, {clock(value, timezone)}"


def clock(value: dt.datetime, timezone: str) -> str:
    """'22:00 CET'."""
    return f"{value.astimezone(ZoneInfo(timezone)):%H:%M} {_zone(value, timezone)}"


def day(value: dt.datetime, timezone: str) -> str:
    """'Mon 2 Mar 2026'."""
    there = value.astimezone(ZoneInfo(timezone))
    return f"{there:%a} {there.day} {there:%b %Y}"


def hours(start: dt.datetime, end: dt.datetime, timezone: str) -> str:
    """'22:00–06:00 CET', with both zones where the clock changes between them, and with the day where a day is over."""
    first, last = (_zone(moment, timezone) for moment in (start, end))
    begin, finish = (moment.astimezone(ZoneInfo(timezone)) for moment in (start, end))
    until = f"{finish:%H:%M}" if end - start < dt.timedelta(days=1) else f"{day(end, timezone)}, {finish:%H:%M}"
    return f"{begin:%H:%M}–{until} {last}" if first == last else f"{begin:%H:%M} {first} – {until} {last}"


def _zone(value: dt.datetime, timezone: str) -> str:
    """CET, or the zone's name where it has no letters."""
    name = value.astimezone(ZoneInfo(timezone)).tzname() or timezone
    return name if name.isalpha() else timezone


def score(value: Score | None) -> str:
    if value is None:
        return NOTHING
    return "unscored" if value.value is None else f"{value.value:g}"


def without_answer(text: str) -> str:
    """A check's sentence where its answer stands beside it anyway."""
    return _ANSWER.sub("", text)


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def visible(text: str) -> str:
    """Control characters and direction overrides spelled out: they could hide what a model said."""
    return "".join(_spelled(character) for character in text.replace("\r\n", "\n"))


def _spelled(character: str) -> str:
    hidden = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") and character not in "\n\t\u200d"
    return f"\\u{ord(character):04x}" if hidden else character
