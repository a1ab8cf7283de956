"""Prompt templates: a small, bounded part of Jinja2, for a pull request may bring its own.

Allowed are text, variables, `if`, `for`, comparisons and the filters below. Calls, assignments, multiplication and
concatenation are not: with them a template of one line could fill the memory or never end. What is left is counted
while it is done: characters and items that filters, comparisons and slices touch, and rounds by the size of their loop.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, UndefinedError, nodes, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from jinja2.visitor import NodeTransformer

from evalwindow.errors import TemplateInvalid, UnknownName

MAX_TEMPLATE = 20_000  # characters
MAX_OUTPUT = 200_000  # characters
MAX_DEPTH = 40
MAX_ROUNDS = 20_000  # of all loops of one rendering
MAX_WORK = 2_000_000  # characters and items touched in one rendering: half a second at the very most, and of a
LEAST_WORK, WORK_EACH = 200_000, 100  # sample so much, and so much for each of its characters: a suite has many samples

_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Getattr,
    nodes.Getitem,
    nodes.Slice,
    nodes.If,
    nodes.For,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Neg,
    nodes.CondExpr,
    nodes.Filter,
    nodes.Test,
    nodes.Tuple,
    nodes.List,
    nodes.Keyword,
)
_FILTERS = (
    *("capitalize", "default", "first", "int", "items", "last", "length", "list", "lower"),
    *("reverse", "sort", "string", "title", "trim", "unique", "upper"),
)
ALLOWED_FILTERS = (*_FILTERS, "join", "tojson")


def check_template(text: str) -> str:
    """The text itself; raises ValueError that says what in it is not allowed, with its line in the template."""
    try:
        _compiled(text)
    except TemplateInvalid as invalid:
        raise ValueError(str(invalid)) from None
    return text


def render(text: str, variables: Mapping[str, Any]) -> str:
    """The template's output; raises TemplateInvalid: not allowed, unknown variable (nearest name), or too large."""
    template = _compiled(text)
    try:
        return _gathered(template.generate({**variables, "__work": _Work(_weight(variables))}))
    except UndefinedError as reason:
        raise TemplateInvalid(_undefined(str(reason), variables)) from None
    except TemplateInvalid:
        raise
    except Exception as reason:  # noqa: BLE001 - a filter raises whatever Python does on a value it can't take
        raise TemplateInvalid(f"can't be rendered: {reason}") from None


def _undefined(message: str, variables: Mapping[str, Any]) -> str:
    name = re.fullmatch(r"'(\w+)' is undefined", message)
    if name and name.group(1) == "target":
        return "'target' is the answer; a prompt can't show it"
    return str(UnknownName("variable", name.group(1), variables)) if name else message


@lru_cache(maxsize=256)
def _compiled(text: str) -> Template:
    if len(text) > MAX_TEMPLATE:
        raise TemplateInvalid(f"has {len(text)} characters; the limit is {MAX_TEMPLATE}")
    environment = _environment()
    try:
        tree = environment.parse(text)
        _check(tree, depth=0)
        return environment.from_string(_Counting().visit(tree))
    except TemplateSyntaxError as reason:
        raise TemplateInvalid(f"line {reason.lineno}: {reason.message}") from None
    except (TemplateError, RecursionError, SyntaxError, MemoryError) as reason:
        raise TemplateInvalid(f"can't be compiled: {reason}") from None


@lru_cache(maxsize=1)
def _environment() -> SandboxedEnvironment:
    environment = SandboxedEnvironment(undefined=StrictUndefined, autoescape=False)
    environment.globals.clear()
    environment.filters = {name: _bounded(FILTERS[name]) for name in _FILTERS}
    environment.filters |= {"join": _join, "tojson": _tojson, "counted": _count, "weighed": _weigh}
    return environment


def _check(node: nodes.Node, *, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TemplateInvalid(f"line {node.lineno}: nested deeper than {MAX_DEPTH} levels")
    refusal = _refusal(node)
    if refusal:
        raise TemplateInvalid(f"line {node.lineno}: {refusal}")
    for child in node.iter_child_nodes():
        _check(child, depth=depth + 1)


def _refusal(node: nodes.Node) -> str | None:
    if isinstance(node, nodes.Filter) and node.name not in ALLOWED_FILTERS:
        return str(UnknownName("filter", node.name, ALLOWED_FILTERS))
    if isinstance(node, nodes.Name) and node.name.startswith("_"):
        return f"the name {node.name!r} starts with an underscore"
    if isinstance(node, nodes.For) and node.recursive:
        return "a loop can't be recursive"
    if isinstance(node, nodes.List) and not all(isinstance(item, nodes.Const) for item in node.items):
        return "a list can hold constants only"
    if not isinstance(node, _NODES):
        what = type(node).__name__.lower()
        return f"{what!r} is not allowed; templates have variables, if, for, comparisons and filters"
    return None


class _Counting(NodeTransformer):
    """Whatever takes time in proportion to a value gets it through a filter that counts."""

    def visit_For(self, loop: nodes.For) -> nodes.For:  # noqa: N802 - Jinja2's name
        body = [*loop.body, *([loop.test] if loop.test else [])]
        size = nodes.Const(1 + sum(1 for part in body for _ in part.find_all(nodes.Node)), lineno=loop.lineno)
        self.generic_visit(loop)
        loop.iter = nodes.Filter(loop.iter, "counted", [size], [], None, None, lineno=loop.lineno)
        return loop

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.node = _weighed(node.node)
        return _weighed(node)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            operand.expr = _weighed(operand.expr)
        return node

    def visit_Test(self, node: nodes.Test) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        node.node, node.args = _weighed(node.node), [_weighed(each) for each in node.args]
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:  # noqa: N802
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _weighed(node.node)
        return node


def _weighed(node: Any) -> nodes.Filter:
    return nodes.Filter(node, "weighed", [], [], None, None, lineno=node.lineno)


class _Work:
    """What one rendering has done so far."""

    def __init__(self, size: int) -> None:
        """`size`: characters and items of the variables."""
        self.rounds = self.done = 0
        self.most = min(MAX_WORK, LEAST_WORK + WORK_EACH * size)

    def loop(self, rounds: int, *, size: int) -> None:
        """Rounds of a loop with so many parts."""
        self.rounds += rounds
        if self.rounds > MAX_ROUNDS:
            raise TemplateInvalid(f"loops take more than {MAX_ROUNDS} rounds")
        self.take(rounds * size)

    def take(self, work: int) -> None:
        self.done += work
        if self.done > self.most:
            raise TemplateInvalid(
                f"its filters, comparisons and loops touch more than {self.most} characters and items; do less in loops"
            )


@pass_context
def _count(context: Context, items: Iterable[Any], size: int) -> list[Any]:
    rounds = list(items)
    context["__work"].loop(len(rounds), size=size)
    return rounds


@pass_context
def _weigh(context: Context, value: Any) -> Any:
    context["__work"].take(_weight(value))
    return value


def _weight(value: Any) -> int:
    """Characters and items, those inside too."""
    if isinstance(value, str):
        return 1 + len(value)
    if isinstance(value, Mapping):
        return 1 + sum(map(_weight, value)) + sum(map(_weight, value.values()))
    if isinstance(value, (list, tuple)):
        return 1 + sum(map(_weight, value))
    return 1


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja2 whose result can't be longer than any output may be."""

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        if isinstance(result, (str, list)) and len(result) > MAX_OUTPUT:
            raise TemplateInvalid(f"filter {function.__name__!r} gives more than {MAX_OUTPUT} characters or items")
        return result

    return bounded


def _join(items: Iterable[Any], separator: str = "") -> str:
    return _gathered(text for index, item in enumerate(items) for text in ((separator,) * bool(index) + (str(item),)))


def _tojson(value: Any) -> str:
    return _gathered(json.JSONEncoder(ensure_ascii=False).iterencode(value))


def _gathered(texts: Iterable[str]) -> str:
    """Texts as one; stops when it gets too long."""
    gathered: list[str] = []
    size = 0
    for text in texts:
        size += len(text)
        if size > MAX_OUTPUT:
            raise TemplateInvalid(f"gives more than {MAX_OUTPUT} characters")
        gathered.append(text)
    return "".join(gathered)
