"""The answer is JSON that follows a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from pydantic import Field, field_validator
from referencing import Registry
from referencing.exceptions import Unresolvable

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.jsontext import read_json


def check_schema(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema itself; raises ValueError if it is none (JSON Schema 2020-12)."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as reason:
        raise ValueError(f"not a JSON schema: {reason.message}") from None
    return schema


class JsonSchema(Scorer):
    """1 if the answer is valid JSON and follows the schema; else 0."""

    needs_target: ClassVar[bool] = False

    type: Literal["json_schema"] = "json_schema"
    schema_: dict[str, Any] = Field(alias="schema", description="JSON Schema 2020-12; references stay inside it")

    @field_validator("schema_")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any]) -> dict[str, Any]:
        check_schema(schema)
        return schema

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        try:
            value = read_json(completion.text)
        except ValueError as reason:
            return Score(value=0.0, reason=f"not JSON: {reason}")
        # An empty registry: a reference to the network is an error and never a download.
        validator = Draft202012Validator(self.schema_, registry=Registry())
        try:
            wrong = best_match(validator.iter_errors(value))
        except Unresolvable as reason:
            return Score.unscored(f"the schema refers to {reason.ref!r}, which is not in it")
        return Score(value=float(wrong is None), reason=f"{wrong.json_path}: {wrong.message}" if wrong else "")
