"""`.evalwindow.yaml` of a pull request's repository: which suites, and what the candidate is.

All of it is data, and nothing in it names a file outside of that repository.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from evalwindow.document import Document
from evalwindow.errors import CandidateInvalid, ConfigInvalid
from evalwindow.model import Candidate
from evalwindow.suites.overrides import overridden
from evalwindow.suites.spec import SamplingSpec
from evalwindow.templates import MAX_TEMPLATE, check_template
from evalwindow.yamlfile import YamlFile, parse_yaml

FILE = ".evalwindow.yaml"
MAX_PATH = 300  # characters
MAX_SYSTEM = 20_000  # characters

_PATH = re.compile(r"[^\x00-\x1f\x7f\\:%?#*\"<>|]+")
_Text = Annotated[str, StringConstraints(min_length=1, max_length=MAX_SYSTEM)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class PrCandidate(Document):
    """What the pull request proposes; what is left out stays as the suite has it."""

    model: _Name = Field(description="a name in the service's evalwindow.yaml")
    adapter: str | None = Field(None, description="folder of a LoRA adapter in this repository")
    system: _Text | None = Field(None, description="system prompt")
    template: Annotated[str, AfterValidator(check_template)] | None = Field(
        None, min_length=1, max_length=MAX_TEMPLATE, description="user template, Jinja2"
    )
    template_file: str | None = Field(None, description="file of this repository that holds the user template")
    sampling: dict[str, Any] = Field({}, description="temperature, top_p, max_tokens, seed, stop")

    @model_validator(mode="after")
    def _one_template(self) -> Self:
        if self.template is not None and self.template_file is not None:
            raise ValueError("give `template` or `template_file`, not both")
        return self

    def candidate(self, *, adapter: str | None, template: str | None) -> Candidate:
        """The candidate, once its files were fetched: the stored adapter's sha256, and template_file's text."""
        return Candidate(
            model=self.model,
            adapter=adapter,
            system=self.system,
            template=self.template if template is None else template,
            sampling=self.sampling,
        )


class PrConfig(Document):
    """The document."""

    suites: tuple[_Name, ...] = Field(min_length=1, max_length=20, description="names of suites to run")
    candidate: PrCandidate


def parse_pr_config(raw: bytes, *, name: str = FILE) -> PrConfig:
    """The document in a file's bytes; raises ConfigInvalid, or CandidateInvalid for what it may not ask for."""
    file = parse_yaml(raw, name=name, error=ConfigInvalid)
    config = file.validate(PrConfig)
    doubles = [index for index, suite in enumerate(config.suites) if suite in config.suites[:index]]
    if doubles:
        raise file.fault(("suites", doubles[0]), f"{config.suites[doubles[0]]!r} is listed twice")
    _check_candidate(config.candidate, file=file)
    return config


def _check_candidate(candidate: PrCandidate, *, file: YamlFile) -> None:
    """Raises CandidateInvalid at the key's line."""
    for key in ("adapter", "template_file"):
        path = getattr(candidate, key)
        if path is not None:
            try:
                repo_path(path)
            except CandidateInvalid as invalid:
                raise _located(file, invalid, key=key) from None
    try:
        overridden(SamplingSpec(), candidate.sampling)
    except CandidateInvalid as invalid:
        raise CandidateInvalid(f"{file.name}:{file.line(('candidate', 'sampling'))}: {invalid}") from None


def _located(file: YamlFile, invalid: CandidateInvalid, *, key: str) -> CandidateInvalid:
    return CandidateInvalid(str(file.fault(("candidate", key), str(invalid))))


def repo_path(path: str) -> str:
    """The path itself; raises CandidateInvalid unless it is relative and stays in its repository.

    Refused are absolute paths, `..`, backslashes, URLs, percent escapes, control characters and `.git`, so that it
    means the same to a file system and in a URL.
    """
    parts = PurePosixPath(path).parts
    if (
        not _PATH.fullmatch(path)
        or len(path) > MAX_PATH
        or path.startswith(("/", "~"))
        or path.rstrip("/") != "/".join(parts)
        or any(part == ".." or part.lower() == ".git" or part != part.strip() for part in parts)
    ):
        raise CandidateInvalid(
            f"{path!r} is no path in the repository; write one like prompts/answer.txt, without `..`"
        )
    return path
