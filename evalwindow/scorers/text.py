"""Comparing texts: normalisation and tokens, shared by scorers and by the search for leaked few-shots."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_EDGES = " .,;:!?\"'`*“”‘’"
_WORD = re.compile(r"\w+")


def drop_punctuation(text: str) -> str:
    """Without the characters of Unicode's punctuation and symbol classes."""
    return "".join(char for char in text if unicodedata.category(char)[0] not in "PS")


def collapse(text: str) -> str:
    """Runs of whitespace to one space, none at the ends."""
    return " ".join(text.split())


def same_text_key(text: str) -> str:
    """Equal for texts that a person would call the same: case, whitespace, quotes and the final full stop aside.

    What stands inside stays: "1 + 1" is not "1 - 1". A text of nothing but punctuation keeps it.
    """
    folded = collapse(unicodedata.normalize("NFKC", text).casefold())
    return folded.strip(_EDGES).strip() or folded


def squad_tokens(text: str) -> list[str]:
    """Words after SQuAD's normalisation: lower case, no punctuation, no articles (Rajpurkar et al., 2016)."""
    return _ARTICLES.sub(" ", drop_punctuation(unicodedata.normalize("NFC", text).lower())).split()


def words(text: str) -> list[str]:
    """Lower-case words, for ROUGE."""
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def targets(target: Any) -> tuple[str, ...]:
    """A sample's acceptable answers as texts: a list names several."""
    return tuple(as_text(item) for item in target) if isinstance(target, list) else (as_text(target),)


def as_text(value: Any) -> str:
    """A target as a model would write it: numbers and truth values as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
