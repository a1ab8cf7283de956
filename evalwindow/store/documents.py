"""The shared types as JSON documents and back."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import TypeAdapter

T = TypeVar("T")


def to_document(value: Any) -> Any:
    """A dataclass as plain dicts and lists; text is left for the column's type to clean."""
    return _adapter(type(value)).dump_python(value)


def from_document(kind: type[T], document: Any) -> T:
    """The dataclass that `to_document` took apart; keys of a newer version are ignored."""
    value: T = _adapter(kind).validate_python(document)
    return value


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
