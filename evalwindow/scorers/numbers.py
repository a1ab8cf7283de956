"""Numbers as people and models write them: 1,234.5, $18, 40%, 3/4, 1 1/2, 6.02e23, 3 x 10^8."""

from __future__ import annotations

import re
from fractions import Fraction

_PLAIN = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(
    rf"""
    (?<![\w.])                                         # "16-3" holds 16 and 3, "v2" and "1.2.3" no second number
    (?: (?P<sign>[-+])[$€£]? | [$€£](?P<inner_sign>[-+])? )?
    (?:
        (?:(?P<whole>\d{{1,9}})\ )? (?P<over>\d{{1,18}}) \s?/\s? (?P<under>\d{{1,18}}) (?![\d/])
      | (?P<plain>{_PLAIN})
        (?: [eE](?P<exp>[-+]?\d{{1,4}}) (?!\w) | \s?[x×*]\s?10\s?(?:\^|\*\*)\s?\{{?(?P<power>[-+]?\d{{1,4}})\}}? )?
    )
    """,
    re.VERBOSE | re.ASCII,
)
_MAX_DIGITS = 400
_MAX_EXPONENT = 400


def last_number(text: str) -> tuple[str, Fraction] | None:
    """The last number in a text, as written and as a value; None if there is none.

    Currency and percent signs are units and are dropped: "20%" is 20.
    """
    found = None
    for match in _NUMBER.finditer(text.replace("\u2212", "-")):
        value = _value(match)
        if value is not None:
            found = (match.group(0).strip(), value)
    return found


def parse_number(text: str) -> Fraction | None:
    """The value of a text that is one number and at most a unit; None if it isn't."""
    cleaned = text.replace("\u2212", "-").strip()
    match = _NUMBER.match(cleaned)
    if match is None or cleaned[match.end() :].strip() not in ("", "%", "$", "€", "£"):
        return None
    return _value(match)


def _value(match: re.Match[str]) -> Fraction | None:
    """None for more digits or a larger exponent than any float has, and for a division by zero."""
    size = _size(match)
    negative = "-" in (match["sign"], match["inner_sign"])
    return -size if size is not None and negative else size


def _size(match: re.Match[str]) -> Fraction | None:
    if match["over"]:
        under = int(match["under"])
        return Fraction(int(match["over"]), under) + int(match["whole"] or 0) if under else None
    exponent = int(match["exp"] or match["power"] or 0)
    if len(match["plain"]) > _MAX_DIGITS or abs(exponent) > _MAX_EXPONENT:
        return None
    return Fraction(match["plain"].replace(",", "")) * Fraction(10) ** exponent
