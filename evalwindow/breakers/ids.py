"""What a breaker guards, as its id says it: `pool:warm`, `provider:big`, `notifier:smtp`, `team:ads/errors`."""

from __future__ import annotations

from enum import StrEnum

from evalwindow.config import API_POOL, REPLAY_POOL, Breaker, Config
from evalwindow.errors import BadInput

POOL, PROVIDER, NOTIFIER, TEAM = "pool:", "provider:", "notifier:", "team:"
GITHUB, SMTP = f"{NOTIFIER}github", f"{NOTIFIER}smtp"
ERRORS, SUBMISSIONS = "/errors", "/submissions"


class Kind(StrEnum):
    """Kinds of breakers, each with a rule of its own: the fields of `breakers` in evalwindow.yaml."""

    ENGINES = "engines"
    PROVIDERS = "providers"
    NOTIFIERS = "notifiers"
    TEAM_ERRORS = "team_errors"
    TEAM_SUBMISSIONS = "team_submissions"


def of_pool(pool: str) -> str:
    return f"{POOL}{pool}"


def of_provider(model: str) -> str:
    """Of an API model, by its name in evalwindow.yaml."""
    return f"{PROVIDER}{model}"


def of_errors(team: str) -> str:
    return f"{TEAM}{team}{ERRORS}"


def of_submissions(team: str) -> str:
    return f"{TEAM}{team}{SUBMISSIONS}"


def breaker_of(config: Config, model: str) -> str | None:
    """Id of the breaker that guards a model; None for recorded outputs, and for what evalwindow.yaml doesn't know."""
    chosen = config.models.get(model)
    if chosen is None or chosen.pool == REPLAY_POOL:
        return None
    return of_provider(model) if chosen.pool == API_POOL else of_pool(chosen.pool)


def kind_of(breaker_id: str) -> Kind:
    """Raises BadInput for what is no breaker's id."""
    whole = {GITHUB: Kind.NOTIFIERS, SMTP: Kind.NOTIFIERS}
    if breaker_id in whole:
        return whole[breaker_id]
    if breaker_id.startswith(POOL):
        return Kind.ENGINES
    if breaker_id.startswith(PROVIDER):
        return Kind.PROVIDERS
    if breaker_id.startswith(TEAM) and breaker_id.endswith(ERRORS):
        return Kind.TEAM_ERRORS
    if breaker_id.startswith(TEAM) and breaker_id.endswith(SUBMISSIONS):
        return Kind.TEAM_SUBMISSIONS
    raise BadInput(
        f"breaker {breaker_id!r}: an id like pool:warm, provider:big, {GITHUB}, {SMTP}, team:ads/errors or "
        "team:ads/submissions is needed"
    )


def team_of(breaker_id: str) -> str | None:
    """Whose breaker it is; None: everybody's."""
    if not breaker_id.startswith(TEAM):
        return None
    return breaker_id.removeprefix(TEAM).removesuffix(ERRORS).removesuffix(SUBMISSIONS)


def rule_of(config: Config, breaker_id: str) -> Breaker:
    """When it opens and for how long."""
    rule: Breaker = getattr(config.breakers, kind_of(breaker_id).value)
    return rule
