"""How many tokens a chat prompt has for a model, without loading the model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Template, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from evalwindow.errors import ConfigInvalid
from evalwindow.model import Message


class PromptCounter:
    """Counts tokens with the tokenizer and the chat template that lie beside a model's weights.

    The template is rendered as transformers does it: sandboxed Jinja2 with trimmed blocks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, model: str) -> PromptCounter | None:
        """A counter, or None where this host has no copy of the tokenizer (the engine then refuses by itself)."""
        folder = Path(model)
        return cls(folder) if (folder / "tokenizer.json").is_file() else None

    def count(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt, the generation prompt included."""
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            text = self._template.render(messages=turns, add_generation_prompt=True, **self._special_tokens)
        except TemplateError as error:
            raise ConfigInvalid(f"{self.folder}: the chat template can't be rendered: {error}") from error
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    @property
    def context(self) -> int | None:
        """Tokens of context that the weights were made for."""
        path = self.folder / "config.json"
        if not path.is_file():
            return None
        value = json.loads(path.read_text()).get("max_position_embeddings")
        return int(value) if value else None

    @cached_property
    def template_digest(self) -> str:
        return hashlib.sha256(self._template_source.encode()).hexdigest()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self.folder / "tokenizer.json"))

    @cached_property
    def _config(self) -> dict[str, Any]:
        path = self.folder / "tokenizer_config.json"
        return json.loads(path.read_text()) if path.is_file() else {}

    @cached_property
    def _special_tokens(self) -> dict[str, str]:
        names = ("bos_token", "eos_token", "unk_token", "pad_token")
        return {name: _text(self._config[name]) for name in names if self._config.get(name)}

    @cached_property
    def _template_source(self) -> str:
        path = self.folder / "chat_template.jinja"
        source = path.read_text() if path.is_file() else self._config.get("chat_template")
        if not isinstance(source, str):
            raise ConfigInvalid(f"{self.folder} has no chat template (chat_template.jinja or tokenizer_config.json)")
        return source

    @cached_property
    def _template(self) -> Template:
        extensions: list[str | type[Extension]] = [loopcontrols]
        env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=extensions)
        env.globals["raise_exception"] = _refuse
        return env.from_string(self._template_source)


def _text(token: str | dict[str, Any]) -> str:
    return token if isinstance(token, str) else str(token["content"])


def _refuse(message: str) -> None:
    raise TemplateError(message)
