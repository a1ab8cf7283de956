"""The store's border: what PostgreSQL refuses in text and JSON is replaced on the way in.

Models emit anything. PostgreSQL's text and jsonb take neither NUL nor lone surrogates, and no JSON takes NaN or
infinities. So in every text column and jsonb document
    NUL             becomes "␀" (U+2400, its visible symbol),
    lone surrogate  becomes U+FFFD,
    NaN, ±Infinity  become the strings "NaN", "Infinity", "-Infinity", which float() reads back.
The first two can't be told from the real symbols afterwards. Where they must be (suites, whose digest covers every
character, and cached completions, which are scored again) the document is an `Exact` one: plain JSON with escapes,
opaque to PostgreSQL, given back as it was.
"""

from __future__ import annotations

import math
import re
from typing import Any

from sqlalchemy import JSON, Dialect, Text, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB

_REFUSED = re.compile("[\x00\ud800-\udfff]")
_NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def clean_text(text: str) -> str:
    """`text` as PostgreSQL takes it."""
    return _REFUSED.sub(lambda found: "␀" if found[0] == "\x00" else "�", text)


def clean_document(value: Any) -> Any:
    """A JSON-like value as jsonb takes it; tuples become lists."""
    if isinstance(value, str):
        return clean_text(value)
    return _rebuild(value, clean_document)


def finite_document(value: Any) -> Any:
    """A JSON-like value with strings for the floats that JSON lacks; text stays as it is."""
    return _rebuild(value, finite_document)


def _rebuild(value: Any, change: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return _NOT_FINITE.get(value, "NaN")
    if isinstance(value, dict):
        return {change(str(key)): change(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [change(each) for each in value]
    return value


class String(TypeDecorator[str]):
    """text, cleaned."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else clean_text(value)


class Document(TypeDecorator[Any]):
    """jsonb, cleaned: for documents that people query."""

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else clean_document(value)


class Exact(TypeDecorator[Any]):
    """json, every character kept: for documents that come back as they were."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else finite_document(value)
