"""A team's own scorer, installed beside evalwindow."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal

from pydantic import Field

from evalwindow.errors import UnknownName
from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer

GROUP = "evalwindow.scorers"


class EntryPointScorer(Scorer):
    """What an installed function returns: a number in 0..1, a truth value or a Score.

    Called as function(sample, completion, **options); it may be async. Only functions that an installed package
    declares under the entry point group "evalwindow.scorers" can be named, so that a suite can't run anything else.
    """

    needs_target: ClassVar[bool] = False

    type: Literal["python"] = "python"
    function: str = Field(description="package.module:function, or the entry point's name")
    options: dict[str, Any] = Field({}, description="passed as keyword arguments")

    def objection(self, sample: Sample) -> str | None:
        try:
            resolve(self.function)
        except UnknownName as unknown:
            return f"can't be scored: {unknown}"
        return None

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        function = loaded(self.function)
        if inspect.iscoroutinefunction(function):
            value = await function(sample, completion, **self.options)
        else:
            value = await asyncio.to_thread(function, sample, completion, **self.options)
        return _as_score(value)


def resolve(name: str) -> EntryPoint:
    """The declared entry point of this name or value; raises UnknownName with the nearest one."""
    declared = entry_points(group=GROUP)
    for point in declared:
        if name in (point.name, point.value):
            return point
    raise UnknownName("entry point", name, {point.value for point in declared}, where=f"group {GROUP!r}")


@lru_cache(maxsize=64)
def loaded(name: str) -> Callable[..., Any]:
    function = resolve(name).load()
    if not callable(function):
        raise TypeError(f"{name} is not a function")
    return function  # type: ignore[no-any-return]


def _as_score(value: Any) -> Score:
    if isinstance(value, Score):
        return value
    if isinstance(value, (bool, int, float)):
        return Score(value=float(value))
    return Score.unscored(f"the function returned {type(value).__name__}, not a number, a truth value or a Score")
