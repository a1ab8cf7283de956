"""JSON targets against the schemas that answers must follow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from evalwindow.scorers.exact import Exact
from evalwindow.scorers.json_field import JsonField
from evalwindow.scorers.json_schema import JsonSchema
from evalwindow.suites import SuiteSpec


@dataclass(frozen=True, kw_only=True)
class TargetSchemas:
    """The schemas of one suite."""

    validators: Sequence[Draft202012Validator]
    whole: bool  # a scorer takes the target for all of the answer, so that even a text must be JSON

    @classmethod
    def of(cls, spec: SuiteSpec) -> TargetSchemas:
        schemas = [scorer.schema_ for scorer in spec.scorers if isinstance(scorer, JsonSchema)]
        if spec.prompt.output_schema is not None:
            schemas.insert(0, spec.prompt.output_schema)
        # an empty registry: a reference to the network is an error and never a download
        validators = [Draft202012Validator(schema, registry=Registry()) for schema in schemas]
        return cls(validators=validators, whole=any(isinstance(each, (Exact, JsonField)) for each in spec.scorers))

    def objection(self, target: Any) -> str | None:
        """What is wrong with a target, in a phrase; None: nothing, or it is no JSON and needn't be.

        A list is one value that follows the schema, or several acceptable answers that each do.
        """
        if not self.validators or target is None:
            return None
        wrong = self._wrong(target)
        if wrong and isinstance(target, list):
            return next(filter(None, map(self._wrong, target)), None)
        return wrong

    def _wrong(self, target: Any) -> str | None:
        value = target
        if isinstance(target, str):
            try:
                value = json.loads(target)
            except (ValueError, RecursionError):
                return "the target is no JSON" if self.whole else None
            if not self.whole and not isinstance(value, (dict, list)):
                return None  # "42" is a text that happens to be JSON
        return next(filter(None, (_complaint(validator, value) for validator in self.validators)), None)


def _complaint(validator: Draft202012Validator, value: Any) -> str | None:
    try:
        wrong = best_match(validator.iter_errors(value))
    except Unresolvable as reason:
        return f"the schema refers to {reason.ref!r}, which is not in it"
    return f"{wrong.json_path}: {wrong.message}" if wrong else None
