"""One error tree. The class docstring is the message; fields of the class fill it in.

EvalwindowError
├── BadInput                 the caller can repair it: HTTP 422, exit code 2
│   ├── UnknownName
│   ├── SuiteInvalid
│   ├── ConfigInvalid
│   ├── CandidateInvalid
│   ├── PromptTooLong
│   └── TemplateInvalid
├── Unauthorized             signature or token: HTTP 401
│   └── TooManyFailures      this address has failed too often lately: HTTP 429
├── Forbidden                a valid token that may not do this: HTTP 403
├── Replayed                 a delivery seen before: HTTP 409
├── TooLarge                 body or artifact over its limit: HTTP 413
├── NotFound                 HTTP 404
├── TryLater                 not now, for a reason that goes away: HTTP 429 with Retry-After
│   ├── QuotaExceeded        a team has as much as it may
│   └── BreakerOpen          what it needs has failed too often lately
├── Conflict                 a compare-and-set lost: HTTP 409
├── ServiceDown              PostgreSQL, Redis, an API or an engine can't be reached
│   ├── GitHubUnavailable    GitHub is away, slow or limits our rate: try again
│   └── MailUnavailable      the mail server is away, busy or refuses our login, or none is set: try again
├── CheckCrashed             a check of a dataset failed by itself: nothing is known about the data
├── GitHubRefused            GitHub says that this request can never work
├── MailRefused              the mail server says that it never takes this mail
├── EventIgnored             a webhook event that asks for nothing; the message is kept with it
├── EngineRefused            the engine answered that this request can never work
└── EngineUnavailable        the engine is away, draining or overloaded: try again
    └── EngineDied           it broke off while it had this prompt
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EvalwindowError(Exception):
    """Something went wrong."""

    def __init__(self, message: str | None = None, **fields: object) -> None:
        template = message or (self.__class__.__doc__ or "").strip().splitlines()[0]
        self.fields = fields
        super().__init__(template.format(**fields) if message is None else message)


class BadInput(EvalwindowError):
    """The input can't be used."""


class UnknownName(BadInput):
    """Unknown name."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        close = difflib.get_close_matches(name, self.known, n=1, cutoff=0.5)
        if close:
            hint = f"did you mean {close[0]!r}?"
        elif self.known:
            hint = "known: " + ", ".join(self.known)
        else:
            hint = f"no {kind} is defined"
        prefix = f"{where}: " if where else ""
        super().__init__(f"{prefix}unknown {kind} {name!r}; {hint}")


class SuiteInvalid(BadInput):
    """A suite or its dataset can't be used; the message starts with file:line."""


class ConfigInvalid(BadInput):
    """evalwindow.yaml, .evalwindow.yaml or an environment variable can't be used."""


class CandidateInvalid(BadInput):
    """A candidate asks for something that it may not have."""


class PromptTooLong(BadInput):
    """sample {sample!r} of suite {suite!r} needs {tokens} tokens; model {model!r} has room for {room} (context {context} less max_tokens {max_tokens})"""  # noqa: E501  the docstring is the message


class TemplateInvalid(BadInput):
    """A prompt template can't be rendered."""


class Unauthorized(EvalwindowError):
    """The signature or token is missing or wrong."""


class TooManyFailures(Unauthorized):
    """Too many wrong tokens or signatures from {address}; try again in {seconds} s."""


class Forbidden(EvalwindowError):
    """This token may not do that."""


class Replayed(EvalwindowError):
    """Delivery {delivery!r} was received before."""


class TooLarge(EvalwindowError):
    """{what} has {size} bytes; the limit is {limit}."""


class TryLater(EvalwindowError):
    """Not now."""

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s  # when it may work; more than 0


class QuotaExceeded(TryLater):
    """The team has as much as it may: the message names the limit, the usage, and when to try again."""


class BreakerOpen(TryLater):
    """What this needs has failed too often lately: the message names it, the reason, and when to try again."""


class NotFound(EvalwindowError):
    """There is no {kind} {name!r}."""


class Conflict(EvalwindowError):
    """Somebody else changed it first."""


class ServiceDown(EvalwindowError):
    """{service} at {host} can't be reached ({reason}); {advice}"""


class CheckCrashed(EvalwindowError):
    """The check {check!r} failed by itself: {reason}"""


class GitHubUnavailable(ServiceDown):
    """GitHub can't answer now."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds that GitHub asks for, if it does


class GitHubRefused(EvalwindowError):
    """GitHub refused the request."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status  # of HTTP


class MailUnavailable(ServiceDown):
    """The mail server can't take a mail now."""

    def __init__(self, message: str) -> None:
        super().__init__(message)


class MailRefused(EvalwindowError):
    """The mail server refused the mail."""


class EventIgnored(EvalwindowError):
    """The event asks for nothing."""


class EngineRefused(EvalwindowError):
    """The engine refused the request."""


class EngineUnavailable(EvalwindowError):
    """The engine is not available."""

    model = ""  # name in evalwindow.yaml of what was asked, once it is known


class EngineDied(EngineUnavailable):
    """The engine broke off while it had this prompt: it died, or was ended for hanging."""

    def __init__(self, message: str, *, had: str = "prompt") -> None:
        super().__init__(message)
        self.had = had  # or "adapter": it was loading that; or "": it died while this one only waited inside
