"""Finding the final answer in a text that reasons first."""

from __future__ import annotations

import re
from typing import Literal

from evalwindow.scorers.numbers import last_number

Take = Literal["last_number", "choice_letter", "boxed", "after"]

_LETTER_STATED = re.compile(r"\b(?i:answer|choice|option)\b\W{0,3}(?:is\b)?\W{0,6}\b([A-Z])\b(?!['’])")
_LETTER_ALONE = re.compile(r"\(([A-Z])\)|^\W{0,3}([A-Z])(?:[).:]|\W{0,3}$)", re.MULTILINE)


def take_answer(text: str, *, take: Take, marker: str = "") -> str | None:
    """The answer in a text, or None: there is none where it should be."""
    if take == "last_number":
        number = last_number(text)
        return number[0] if number else None
    if take == "choice_letter":
        return choice_letter(text)
    if take == "boxed":
        return boxed(text)
    return after(text, marker)


def choice_letter(text: str) -> str | None:
    """A to Z: the last one stated ("the answer is (B)"), else the last in brackets or at a line's start."""
    stated = _LETTER_STATED.findall(text)
    alone = ["".join(groups) for groups in _LETTER_ALONE.findall(text)]
    letters = stated or alone
    return letters[-1] if letters else None


def boxed(text: str) -> str | None:
    """What stands in the last \\boxed{...}; braces may nest."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth = 0
    for index in range(start + len("\\boxed"), len(text)):
        depth += {"{": 1, "}": -1}.get(text[index], 0)
        if depth == 0:
            return text[start + len("\\boxed{") : index].strip()
    return None


def after(text: str, marker: str) -> str | None:
    """The rest of the line after the last marker."""
    _, found, rest = text.rpartition(marker)
    line = rest.strip().splitlines()[0].strip() if found and rest.strip() else ""
    return line or None
