"""A candidate's own decoding parameters over the suite's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from evalwindow.errors import CandidateInvalid
from evalwindow.faults import faults_of, key_path
from evalwindow.suites.spec import SamplingSpec


def overridden(base: SamplingSpec, overrides: Mapping[str, Any]) -> SamplingSpec:
    """The base with the overrides; raises CandidateInvalid that names the key, with the nearest one if unknown."""
    data = {**base.model_dump(mode="json"), **overrides}
    try:
        return SamplingSpec.model_validate(data)
    except ValidationError as invalid:
        first = faults_of(invalid, SamplingSpec, data)[0]
        raise CandidateInvalid(f"candidate.sampling.{key_path(first.path)}: {first.what}") from None
