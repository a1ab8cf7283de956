"""What we read of an API's chat completion. Gateways add and leave out as they like; its type is right."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from evalwindow.errors import EngineUnavailable

Tokens = Annotated[int, Field(ge=0, lt=2**31)]


class Top(BaseModel):
    """One of a token's likeliest alternatives."""

    token: str
    logprob: FiniteFloat


class Token(BaseModel):
    top_logprobs: tuple[Top, ...] = ()


class Logprobs(BaseModel):
    content: tuple[Token, ...] | None = None


class ChatMessage(BaseModel):
    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    message: ChatMessage
    finish_reason: str | None = None
    logprobs: Logprobs | None = None

    @property
    def text(self) -> str:
        return self.message.content or self.message.refusal or ""

    @property
    def first(self) -> tuple[Top, ...]:
        """Alternatives of the first token; empty where the API tells none."""
        tokens = (self.logprobs.content if self.logprobs else None) or ()
        return tokens[0].top_logprobs if tokens else ()


class Details(BaseModel):
    cached_tokens: Tokens | None = None


class Used(BaseModel):
    prompt_tokens: Tokens
    completion_tokens: Tokens
    prompt_tokens_details: Details | None = None


class ChatAnswer(BaseModel):
    choices: tuple[Choice, ...] | None = None
    usage: Used | None = None


def read_answer(text: str, *, model: str) -> ChatAnswer:
    """The answer, with at least one choice; raises EngineUnavailable that says what is wrong with it."""
    try:
        answer = ChatAnswer.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise EngineUnavailable(
            f"model {model!r}: the API answered no chat completion ({where}: {first['msg']})"
        ) from None
    if not answer.choices:  # some gateways answer 200 with an error in the body
        raise EngineUnavailable(f"model {model!r}: the API answered without a choice")
    return answer
