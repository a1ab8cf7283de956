"""YAML with line numbers: plain data only, bounded, and every complaint says file, line and key."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from evalwindow.document import Document
from evalwindow.errors import BadInput
from evalwindow.faults import Fault, faults_of, key_path
from evalwindow.plaintext import unkeepable

MAX_BYTES = 1_000_000
MAX_NODES = 50_000  # after aliases are followed
MAX_DEPTH = 40
MAX_FAULTS = 10  # in one message

Key = tuple[str | int, ...]
D = TypeVar("D", bound=Document)


class _Loader(yaml.SafeLoader):
    """JSON's scalars and nothing else: `no` and `2024-01-01` stay text, `1e5` is a number, `<<` is a key."""

    yaml_implicit_resolvers = {}


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^-?(?:0|[1-9][0-9]*)?(?:\.[0-9]+)?(?<=[0-9])(?:[eE][-+]?[0-9]+)?$"),
    list("-.0123456789"),
)


@dataclass(frozen=True, kw_only=True)
class YamlFile:
    """Plain data with the line of every key."""

    name: str  # how messages call the file
    data: Any
    lines: Mapping[Key, int]  # path of keys and indices -> line, from 1
    error: type[BadInput]  # what complaints are raised as

    def validate(self, document: type[D]) -> D:
        """The data as a document; raises `error` with up to MAX_FAULTS complaints, in the file's order."""
        try:
            return document.model_validate(self.data)
        except ValidationError as invalid:
            raise self.refuse(faults_of(invalid, document, self.data)) from None

    def line(self, path: Key) -> int:
        """Line of a key, or of the nearest one around it that the file has."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)

    def fault(self, path: Key, what: str) -> BadInput:
        """One complaint about one key, as the error to raise."""
        return self.refuse([Fault(path=path, what=what)])

    def refuse(self, faults: Iterable[Fault]) -> BadInput:
        """All complaints in one error, a line each, the first one first."""
        ordered = sorted(faults, key=lambda fault: self.line(fault.path))
        texts = [self._text(fault) for fault in ordered[:MAX_FAULTS]]
        if len(ordered) > MAX_FAULTS:
            texts.append(f"... and {len(ordered) - MAX_FAULTS} more")
        return self.error("\n".join(texts))

    def _text(self, fault: Fault) -> str:
        key = key_path(fault.path)
        return f"{self.name}:{self.line(fault.path)}: " + (f"{key}: " if key else "") + fault.what


def read_yaml(path: Path, *, error: type[BadInput]) -> YamlFile:
    """A file's data; raises `error` if it can't be read or is not plain YAML."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as reason:
        raise error(f"{path}:1: can't be read: {reason.strerror}") from reason
    return parse_yaml(raw, name=str(path), error=error)


def parse_yaml(raw: bytes, *, name: str, error: type[BadInput]) -> YamlFile:
    """Bytes of one YAML document; raises `error` that starts with name:line."""
    if len(raw) > MAX_BYTES:
        raise error(f"{name}:1: is larger than {MAX_BYTES} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as reason:
        line = raw.count(b"\n", 0, reason.start) + 1
        raise error(f"{name}:{line}: byte 0x{raw[reason.start]:02x} is not UTF-8; save the file as UTF-8") from None
    builder = _Builder(name=name, error=error)
    data = builder.build(_compose(text, name=name, error=error), ())
    return YamlFile(name=name, data=data, lines=builder.lines, error=error)


def _compose(text: str, *, name: str, error: type[BadInput]) -> Node | None:
    try:
        _check_events(yaml.parse(text, _Loader), name=name, error=error)
        node: Node | None = yaml.compose(text, _Loader)
        return node
    except yaml.reader.ReaderError as reason:
        line = text.count("\n", 0, reason.position) + 1
        raise error(f"{name}:{line}: character U+{ord(text[reason.position]):04X} is not allowed in YAML") from None
    except yaml.MarkedYAMLError as reason:
        mark = reason.problem_mark or reason.context_mark
        raise error(f"{name}:{mark.line + 1 if mark else 1}: not valid YAML: {reason.problem}") from None


def _check_events(events: Iterator[yaml.Event], *, name: str, error: type[BadInput]) -> None:
    """Refuse what the recursive composer can't take, and every tag but !!str."""
    depth = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise error(f"{name}:{line}: nested deeper than {MAX_DEPTH} levels")
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise error(f"{name}:{line}: tag {tag!r} is not allowed; write plain text, numbers, lists and mappings")


@dataclass(kw_only=True)
class _Builder:
    """Nodes -> plain data; follows aliases, so that the size after expansion is what is counted."""

    name: str
    error: type[BadInput]
    lines: dict[Key, int] = field(default_factory=dict)

    def build(self, node: Node | None, path: Key) -> Any:
        if node is None:
            return None
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(self.lines) > MAX_NODES or len(path) > MAX_DEPTH:
            raise self._error(node, f"aliases expand to more than {MAX_NODES} values or {MAX_DEPTH} levels")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: MappingNode, path: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode):
                raise self._error(key_node, "a key must be plain text")
            key, line = self._text(key_node), key_node.start_mark.line + 1
            if key in first:
                raise self._error(key_node, f"key {key!r} is given twice; it is first on line {first[key]}")
            first[key] = self.lines[(*path, key)] = line
            data[key] = self.build(value_node, (*path, key))
        return data

    def _scalar(self, node: Node) -> Any:
        value, kind = self._text(node), node.tag.rpartition(":")[2]
        if kind == "null":
            return None
        if kind == "bool":
            return value == "true"
        if kind in ("int", "float"):
            return self._number(node, value, kind)
        return value

    def _text(self, node: Node) -> str:
        what = unkeepable(node.value)
        if what:
            raise self._error(node, f"a text {what}")
        return str(node.value)

    def _number(self, node: Node, value: str, kind: str) -> int | float:
        if len(value) > 300:
            raise self._error(node, f"a number of {len(value)} digits; put it in quotes if it is text")
        number = int(value) if kind == "int" else float(value)
        if not math.isfinite(number):
            raise self._error(node, f"{value} is too large for a number")
        return number

    def _error(self, node: Node, what: str) -> BadInput:
        return self.error(f"{self.name}:{node.start_mark.line + 1}: {what}")
