"""How a check speaks: scores in points, one sentence, the answer at its end."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from evalwindow.model import Answer

SHOWN = 5  # names in a sentence


def points(score: float) -> str:
    """A share of 0..1 in points, to a tenth."""
    return f"{100 * score:.1f}"


def signed(score: float) -> str:
    return f"{100 * score + 0.0:+.1f}"


def bare(score: float) -> str:
    """A setting in points, as it was written."""
    return f"{100 * score:g}"


def verdict(text: str, answer: Answer, *, then: str = "") -> str:
    """The sentence with its answer."""
    return f"{text}: {answer.value.upper()}{f', {then}' if then else ''}"


def listed(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the name that was meant, or nothing."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
