"""What a suite's YAML may say. What needs the dataset to be judged is in checks.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PositiveInt, StringConstraints, field_validator

from evalwindow.document import Document
from evalwindow.model import Sampling, Tier
from evalwindow.policy import Policy
from evalwindow.scorers import AnyScorer
from evalwindow.scorers.json_schema import check_schema
from evalwindow.scorers.patterns import Pattern
from evalwindow.templates import check_template

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Template = Annotated[str, StringConstraints(min_length=1), AfterValidator(check_template)]


class Fields(Document):
    """Which column of the dataset is what."""

    id: str = "id"
    input: str = "input"
    target: str = "target"
    choices: str = "choices"
    slices: str = "slices"
    must_pass: str = "must_pass"  # noqa: S105 - a column
    cluster: str = "cluster"


class Dataset(Document):
    """Where the samples come from."""

    path: str = Field(min_length=1, description="JSONL file, from the suite's own folder; it can't lie outside of it")
    sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="pin: digest of the file's bytes")
    fields: Fields = Field(Fields(), description="names of the columns, where they differ")
    target_pattern: Pattern | None = Field(None, description="the target is the first group of this in its column")
    limit: PositiveInt | None = Field(None, description="take only so many samples from the top")


class FewShot(Document):
    """A worked example: a user turn by the suite's template, and the assistant's answer."""

    input: str = Field(min_length=1)
    target: str | int | float | bool | dict[str, Any] | list[Any] = Field(
        description="what is no text is given as JSON"
    )
    fields: dict[str, Any] = Field({}, description="further columns that the template uses")


class Prompt(Document):
    """How a sample becomes chat turns."""

    system: str | None = None
    template: Template = Field(
        "{{ input }}", description="user turn; Jinja2 with input, choices and every column but the target"
    )
    few_shots: tuple[FewShot, ...] = Field((), max_length=64)
    output_schema: dict[str, Any] | None = Field(None, description="JSON schema that the engine forces on the answer")

    @field_validator("output_schema")
    @classmethod
    def _is_a_schema(cls, schema: dict[str, Any] | None) -> dict[str, Any] | None:
        return schema if schema is None else dict(check_schema(schema))


class SamplingSpec(Document):
    """Decoding parameters, in the words of the OpenAI API."""

    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(64, ge=1, le=32_768)
    seed: int = Field(0, ge=0, lt=2**31, description="epoch e of a sample uses seed + e")
    stop: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field((), max_length=8)

    def at(self, epoch: int) -> Sampling:
        values = self.model_dump()
        return Sampling(**{**values, "seed": self.seed + epoch})


class SuiteSpec(Document):
    """A suite's YAML."""

    suite: Name = Field(description="its name: lower case, digits, . _ -")
    tier: Tier = Field(description="smoke: a tripwire; regression: a measurement")
    description: str = ""
    dataset: Dataset
    prompt: Prompt = Prompt()
    sampling: SamplingSpec = SamplingSpec()
    epochs: int = Field(1, ge=1, le=100, description="how often each sample is run, for pass@k and noise")
    scorers: tuple[AnyScorer, ...] = Field(min_length=1, description="the first is judged unless policy.scorer says so")
    must_pass: tuple[str, ...] = Field(
        (), description="ids of samples that are tripwires, beside those marked in the data"
    )
    policy: Policy = Policy()

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(scorer.label for scorer in self.scorers)

    def canonical(self) -> Mapping[str, Any]:
        """Plain data for digests and for keeping; SuiteSpec.model_validate takes it back."""
        return self.model_dump(mode="json", by_alias=True)
