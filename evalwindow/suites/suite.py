"""A suite: its YAML and its samples, and how a sample becomes a request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from evalwindow.errors import NotFound, TemplateInvalid
from evalwindow.model import Candidate, Message, Sample, Sampling, Tier
from evalwindow.scorers.model_graded import ModelGraded
from evalwindow.suites.overrides import overridden
from evalwindow.suites.spec import FewShot, SuiteSpec
from evalwindow.templates import render


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A loaded suite. Equal suites have equal digests; where it was loaded from doesn't count."""

    spec: SuiteSpec
    samples: tuple[Sample, ...]
    dataset_digest: str  # sha256 of the dataset's bytes, hex
    path: Path | None = field(default=None, compare=False)  # of the YAML; None: from the store

    @property
    def name(self) -> str:
        return self.spec.suite

    @property
    def tier(self) -> Tier:
        return self.spec.tier

    @property
    def primary(self) -> str:
        """Label of the scorer that the gate judges."""
        return self.spec.policy.scorer or self.spec.labels[0]

    @property
    def scores_choices(self) -> bool:
        """The engine scores each sample's choices instead of generating text."""
        return any(scorer.needs_choices for scorer in self.spec.scorers)

    @property
    def judges(self) -> frozenset[str]:
        """Names of the models that its scorers ask."""
        return frozenset(scorer.judge for scorer in self.spec.scorers if isinstance(scorer, ModelGraded))

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical JSON of YAML and dataset digest, hex: what a run was asked."""
        content = {"spec": self.spec.canonical(), "dataset": self.dataset_digest}
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def _by_id(self) -> Mapping[str, Sample]:
        return {sample.id: sample for sample in self.samples}

    def sample(self, sample_id: str) -> Sample:
        """Raises NotFound."""
        if sample_id not in self._by_id:
            raise NotFound(kind=f"sample of suite {self.name!r}", name=sample_id)
        return self._by_id[sample_id]

    def sampling(self, candidate: Candidate, epoch: int) -> Sampling:
        """Decoding parameters of one epoch; raises CandidateInvalid for an override that can't be."""
        return overridden(self.spec.sampling, candidate.sampling).at(epoch)

    def render(self, sample: Sample, candidate: Candidate) -> tuple[Message, ...]:
        """System turn, few-shots, user turn; raises TemplateInvalid that names suite and sample."""
        system = self.spec.prompt.system if candidate.system is None else candidate.system
        turns = [Message(role="system", content=system)] if system else []
        asked = self._user(self._variables(sample), candidate, what=f"sample {sample.id!r}")
        for index, shot in enumerate(self.spec.prompt.few_shots):
            user = self._user(_shot_variables(shot), candidate, what=f"few_shots[{index}]")
            turns += [Message(role="user", content=user), Message(role="assistant", content=_answer(shot))]
        return (*turns, Message(role="user", content=asked))

    def _user(self, variables: Mapping[str, Any], candidate: Candidate, *, what: str) -> str:
        template = self.spec.prompt.template if candidate.template is None else candidate.template
        whose = "template: " if candidate.template is None else "candidate.template: "
        try:
            text = render(template, variables)
        except TemplateInvalid as invalid:
            raise TemplateInvalid(f"suite {self.name!r}, {what}: {whose}{invalid}") from None
        if not text.strip():
            raise TemplateInvalid(f"suite {self.name!r}, {what}: {whose}gives an empty prompt")
        return text

    def _variables(self, sample: Sample) -> dict[str, Any]:
        """Every column but the answer, which would leak into the prompt."""
        hidden = {"target", self.spec.dataset.fields.target}
        columns = {name: value for name, value in sample.fields.items() if name not in hidden}
        return {**columns, "input": sample.input, "choices": list(sample.choices)}


def _shot_variables(shot: FewShot) -> dict[str, Any]:
    return {"choices": [], **shot.fields, "input": shot.input}


def _answer(shot: FewShot) -> str:
    return shot.target if isinstance(shot.target, str) else json.dumps(shot.target, ensure_ascii=False)
