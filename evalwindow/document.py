"""Base of everything that a user writes: YAML documents checked by pydantic, unknown keys refused."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """A frozen, strict-keyed piece of a user's YAML."""

    model_config = ConfigDict(frozen=True, extra="forbid")
