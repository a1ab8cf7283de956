"""What a scorer is: a piece of a suite's YAML that can judge a completion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar

from pydantic import Field

from evalwindow.document import Document
from evalwindow.model import Completion, Message, Sample, Sampling, Score

#: ask(model name, messages, sampling, json schema or None): a completion of any model of the registry, cached and
#: accounted like every other. Raises EngineRefused or EngineUnavailable.
Ask = Callable[[str, tuple[Message, ...], Sampling, Mapping[str, Any] | None], Awaitable[Completion]]


class Scorer(Document):
    """Subclass it, one a file, with a Literal `type` and its options as fields."""

    needs_choices: ClassVar[bool] = False  # the engine must score the sample's choices instead of generating
    needs_target: ClassVar[bool] = True  # a sample without a target can't be scored

    type: str
    name: str | None = Field(None, description="under which its scores are kept; default: its type")
    assertion: bool = Field(False, description="a hard demand: smoke fails a prompt whose value here is below 1")

    @property
    def label(self) -> str:
        return self.name or self.type

    def objection(self, sample: Sample) -> str | None:
        """Why this sample can never be scored, in a phrase that starts after "sample 'x' "; None if it can."""
        if self.needs_target and sample.target is None:
            return f"has no target, which scorer {self.label!r} needs"
        return None

    async def score(self, sample: Sample, completion: Completion, ask: Ask) -> Score:
        """Judge one completion; a value in 0..1, or Score.unscored(reason) when it can't be judged."""
        raise NotImplementedError
