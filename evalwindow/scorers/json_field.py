"""Fields of a JSON answer equal those of the target."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from evalwindow.model import Completion, Sample, Score
from evalwindow.scorers.base import Ask, Scorer
from evalwindow.scorers.jsontext import read_json, same

_ABSENT = object()


class JsonField(Scorer):
    """1 if every compared field of the answer equals the target's; `partial` gives the share that does."""

    type: Literal["json_field"] = "json_field"
    fields: tuple[str, ...] = Field((), description="fields to compare, nested ones as a.b; default: all of the target")
    partial: bool = Field(False, description="the share of right fields instead of all or nothing")

    def objection(self, sample: Sample) -> str | None:
        missing = super().objection(sample)
        if missing:
            return missing
        target = _target(sample)
        if not isinstance(target, dict) or not target:
            return f"has a target that is not a JSON object with fields, which scorer {self.label!r} needs"
        absent = [name for name in self.fields if _get(target, name) is _ABSENT]
        return f"has no field {absent[0]!r} in its target" if absent else None

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        try:
            answer = read_json(completion.text)
        except ValueError as reason:
            return Score(value=0.0, reason=f"not JSON: {reason}")
        target = _target(sample)
        names = self.fields or tuple(target)
        wrong = [name for name in names if not same(self._of(answer, name), self._of(target, name))]
        value = 1 - len(wrong) / len(names) if self.partial else float(not wrong)
        return Score(value=value, reason=f"wrong: {', '.join(wrong)}" if wrong else "")

    def _of(self, value: Any, name: str) -> Any:
        """A listed name is a path; the target's own keys are taken as they are."""
        if self.fields:
            return _get(value, name)
        return value.get(name, _ABSENT) if isinstance(value, dict) else _ABSENT


def _target(sample: Sample) -> Any:
    """The target as an object; a text is read as JSON."""
    if not isinstance(sample.target, str):
        return sample.target
    try:
        return json.loads(sample.target)
    except ValueError:
        return None


def _get(value: Any, name: str) -> Any:
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return _ABSENT
        value = value[part]
    return value
