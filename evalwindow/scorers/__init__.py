"""Scorers: `AnyScorer` is one entry of a suite's `scorers`, told apart by `type`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.entry_point import EntryPointScorer
from evalwindow.scorers.exact import Exact
from evalwindow.scorers.extract import Extract
from evalwindow.scorers.f1 import F1
from evalwindow.scorers.includes import Includes
from evalwindow.scorers.json_field import JsonField
from evalwindow.scorers.json_schema import JsonSchema
from evalwindow.scorers.model_graded import ModelGraded
from evalwindow.scorers.multiple_choice import MultipleChoice
from evalwindow.scorers.numeric import Numeric
from evalwindow.scorers.regex import Regex
from evalwindow.scorers.rouge_l import RougeL
from evalwindow.scorers.run import score_all

#: Scorers that need no option, so that their name alone will do.
Bare = Literal["exact", "includes", "numeric", "json_field", "f1", "rouge_l", "multiple_choice"]

_Mapping = Annotated[
    Exact
    | Includes
    | Regex
    | Extract
    | Numeric
    | JsonSchema
    | JsonField
    | F1
    | RougeL
    | MultipleChoice
    | ModelGraded
    | EntryPointScorer,
    Field(discriminator="type"),
]


def _spelled_out(value: Any) -> Any:
    """A bare name is {type: name}."""
    return {"type": value} if isinstance(value, str) else value


AnyScorer = Annotated[_Mapping, BeforeValidator(_spelled_out, json_schema_input_type=Bare | _Mapping)]

__all__ = ["AnyScorer", "Ask", "Scorer", "score_all"]
