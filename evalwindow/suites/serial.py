"""A suite as JSON and back, exactly: the store keeps suites by digest, so that an old run can be read for ever."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from evalwindow.errors import SuiteInvalid
from evalwindow.model import Sample
from evalwindow.suites.spec import SuiteSpec
from evalwindow.suites.suite import Suite


def to_json(suite: Suite) -> dict[str, Any]:
    """Plain data: spec, samples, dataset_digest."""
    return {
        "spec": suite.spec.canonical(),
        "dataset_digest": suite.dataset_digest,
        "samples": [_plain(sample) for sample in suite.samples],
    }


def from_json(data: Mapping[str, Any]) -> Suite:
    """The suite that gave this data; raises SuiteInvalid for anything else."""
    try:
        return Suite(
            spec=SuiteSpec.model_validate(data["spec"]),
            dataset_digest=data["dataset_digest"],
            samples=tuple(_sample(each) for each in data["samples"]),
        )
    except (ValidationError, KeyError, TypeError) as reason:
        raise SuiteInvalid(f"a kept suite can't be read: {reason}") from reason


def _plain(sample: Sample) -> dict[str, Any]:
    plain = {field.name: getattr(sample, field.name) for field in dataclasses.fields(sample)}
    return {**plain, "choices": list(sample.choices), "slices": list(sample.slices), "fields": dict(sample.fields)}


def _sample(data: Mapping[str, Any]) -> Sample:
    return Sample(**{**data, "choices": tuple(data["choices"]), "slices": tuple(data["slices"])})
