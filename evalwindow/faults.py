"""pydantic's complaints in a user's words: which key, what is wrong with it, what would be right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from evalwindow.errors import UnknownName

Key = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong in a user's document."""

    path: Key  # keys and indices from the root
    what: str


def key_path(path: Key) -> str:
    """("scorers", 0, "tolerance") -> "scorers[0].tolerance"."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def faults_of(invalid: ValidationError, document: type[BaseModel], data: object) -> list[Fault]:
    """Every complaint of a validation of `data`, with the path as the user wrote it."""
    errors = invalid.errors(include_url=False)
    return [_fault(error, document, data) for error in errors if not _echo(error, errors)]


def _echo(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """A list that is too short only because its items are wrong, which is said of each of them."""
    loc = error["loc"]
    return error["type"] == "too_short" and any(other["loc"][: len(loc)] == loc for other in errors if other != error)


def _fault(error: ErrorDetails, document: type[BaseModel], data: object) -> Fault:
    path = _written_path(error["loc"], data)
    name = str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        known = _known_keys(document, error["loc"][:-1])
        return Fault(path=path, what=str(UnknownName("key", name, known)))
    if error["type"] == "missing":
        return Fault(path=path, what=f"key {name!r} is missing")
    return Fault(path=path, what=_what(error))


def _what(error: ErrorDetails) -> str:
    context: Mapping[str, Any] = error.get("ctx", {})
    if error["type"] == "union_tag_invalid":
        kind, known = context["discriminator"].strip("'"), _quoted(context["expected_tags"])
        return str(UnknownName(kind, str(context["tag"]), known))
    if error["type"] == "union_tag_not_found":
        return f"key {context['discriminator']} is missing"
    if error["type"] in ("enum", "literal_error") and isinstance(error["input"], str):
        return str(UnknownName("value", error["input"], _quoted(context["expected"])))
    if error["type"] == "model_type":
        return "must be a mapping of keys to values" + ("; it is empty" if error["input"] is None else "")
    if error["type"] == "value_error":
        return str(context["error"])
    return f"{error['msg'][0].lower()}{error['msg'][1:]}, not {_short(error['input'])}"


def _quoted(text: str) -> list[str]:
    """Names out of pydantic's "'a', 'b' or 'c'"."""
    return text.split("'")[1::2]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _written_path(loc: Sequence[str | int], data: object) -> Key:
    """pydantic's location without the tags of unions that it puts in and the user never wrote."""
    path: list[str | int] = []
    for part in loc:
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if inside:
            path.append(part)
            data = data[part]  # type: ignore[index]
    return tuple(path)


def _known_keys(document: type[BaseModel], loc: Sequence[str | int]) -> set[str]:
    """Keys that a mapping at this location may have."""
    models = {document}
    for part in loc:
        models = _step(models, part)
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _step(models: set[type[BaseModel]], part: str | int) -> set[type[BaseModel]]:
    """The models behind a field, or the one of a union that has this tag; an index or a free key changes nothing."""
    inside = [field.annotation for m in models for name, field in m.model_fields.items() if part in (name, field.alias)]
    if inside:
        return set(_models_in(inside))
    return {model for model in models if _has_tag(model, part)} or models


def _has_tag(model: type[BaseModel], tag: str | int) -> bool:
    annotations = [field.annotation for field in model.model_fields.values()]
    return any(get_origin(each) is Literal and tag in get_args(each) for each in annotations)


def _models_in(annotations: Iterable[Any]) -> Iterable[type[BaseModel]]:
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
        else:
            yield from _models_in(get_args(annotation))
