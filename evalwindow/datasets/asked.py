"""The models that will be asked, as far as a prompt's length is concerned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from evalwindow.config import Config, WarmModel
from evalwindow.errors import UnknownName
from evalwindow.tokens import PromptCounter

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Models that share a tokenizer and a context."""

    models: tuple[str, ...]  # names in evalwindow.yaml
    folder: Path | None = None  # of the tokenizer and the chat template; None: not on this machine
    context: int | None = None  # tokens; None: not known

    @cached_property
    def counter(self) -> PromptCounter | None:
        return None if self.folder is None else PromptCounter.of(str(self.folder))

    def identity(self) -> dict[str, Any]:
        """All of it that a count of tokens depends on."""
        digests = [_digest(self.folder / name) for name in TOKENIZER_FILES] if self.folder else []
        template = self.counter.template_digest if self.counter else ""
        return {"models": list(self.models), "context": self.context, "tokenizer": digests, "template": template}


def asked(config: Config, names: Iterable[str]) -> tuple[Asked, ...]:
    """Models of the config, those together that count alike; raises UnknownName."""
    groups: dict[tuple[Path | None, int | None], list[str]] = {}
    for name in dict.fromkeys(names):
        if name not in config.models:
            raise UnknownName("model", name, config.models)
        groups.setdefault(_room(config, name), []).append(name)
    return tuple(
        Asked(models=tuple(models), folder=folder, context=context) for (folder, context), models in groups.items()
    )


def _room(config: Config, name: str) -> tuple[Path | None, int | None]:
    """(folder, context), as admission reckons it."""
    model = config.models[name]
    if not isinstance(model, WarmModel):
        return None, getattr(model, "context", None)
    pool = config.pools[model.pool]
    counter = PromptCounter.of(pool.model)
    if counter is None:
        return None, pool.max_model_len
    return counter.folder, pool.max_model_len or counter.context


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
