"""Numbers and dates in the words of a report."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata

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


def money(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}" if 0 < value < 0.01 else f"{value:.2f}"


def moment(value: dt.datetime | None) -> str:
    return NOTHING if value is None else value.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


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
