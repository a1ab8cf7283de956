"""What two texts have in common, word by word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rapidfuzz.distance import Indel

_WORDS = re.compile(r"\w+|\s|[^\w\s]")
LONGEST = 20_000  # words of both texts; beyond, everything is marked


@dataclass(frozen=True)
class Part:
    """A piece of a text."""

    text: str
    changed: bool  # the other text has something else here


def word_diff(here: str, there: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Both texts in parts; put together they are the texts again.

    The longest common subsequence of words stays unmarked; white space alone between two changes counts as changed.
    """
    if here == there:
        return _whole(here, changed=False), _whole(there, changed=False)
    words, others = _WORDS.findall(here), _WORDS.findall(there)
    if len(words) + len(others) > LONGEST:
        return _whole(here, changed=True), _whole(there, changed=True)
    kept_here, kept_there = _kept(words, others)
    return _parts(words, kept_here), _parts(others, kept_there)


def _whole(text: str, *, changed: bool) -> tuple[Part, ...]:
    return (Part(text, changed),) if text else ()


def _kept(words: Sequence[str], others: Sequence[str]) -> tuple[set[int], set[int]]:
    """Indices of the common words on both sides."""
    here: set[int] = set()
    there: set[int] = set()
    for step in Indel.opcodes(words, others):
        if step.tag == "equal":
            here.update(range(step.src_start, step.src_end))
            there.update(range(step.dest_start, step.dest_end))
    return here, there


def _parts(words: Sequence[str], kept: set[int]) -> tuple[Part, ...]:
    changed = _joined([index not in kept for index in range(len(words))], words)
    marked = zip(words, changed, strict=True)
    return tuple(Part(_text(group), key) for key, group in groupby(marked, key=lambda pair: pair[1]))


def _joined(changed: list[bool], words: Sequence[str]) -> list[bool]:
    """Two changes with nothing but white space between them become one."""
    last = None
    for index, is_changed in enumerate(changed):
        if is_changed:
            if last is not None and all(word.isspace() for word in words[last + 1 : index]):
                changed[last + 1 : index] = [True] * (index - last - 1)
            last = index
    return changed


def _text(pairs: Iterable[tuple[str, bool]]) -> str:
    return "".join(word for word, _ in pairs)
