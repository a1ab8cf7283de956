"""The channels that are told about runs, nights and breakers, and how patient we are with each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalwindow.breakers import GITHUB, SMTP
from evalwindow.errors import MailUnavailable
from evalwindow.github import publish as github
from evalwindow.mail import publish as mail
from evalwindow.store.rows import DeliveryRow

if TYPE_CHECKING:  # it builds the clients
    from evalwindow.services import Services

ATTEMPTS = 12  # with the pauses below: most of a day
MAIL_ATTEMPTS = 47  # while the mail server is away: five days, as long as mail servers try among themselves
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 3 * 3600.0
GROWTH = 4


async def tell(services: Services, delivery: DeliveryRow) -> str | None:
    """Id of what now stands over there; raises BadInput for a channel that nobody serves."""
    if delivery.channel.startswith(mail.CHANNEL):
        return await mail.publish(services, delivery)
    return await github.publish(services, delivery)


def notifier_of(services: Services, channel: str) -> str | None:
    """Id of the breaker of whoever carries this channel; None where nobody outside does."""
    if channel.startswith(mail.CHANNEL):
        return SMTP if services.settings.smtp is not None else None
    return GITHUB if channel in ("check", "comment") and services.github is not None else None


def again_in_s(attempts: int, error: Exception) -> float | None:
    """Seconds until the next try after so many attempts, growing; None after the last."""
    if attempts >= (MAIL_ATTEMPTS if isinstance(error, MailUnavailable) else ATTEMPTS):
        return None
    asked_for: float = getattr(error, "retry_after", None) or 0.0
    pause: float = min(FIRST_PAUSE_S * GROWTH ** (attempts - 1), LONGEST_PAUSE_S)
    return max(asked_for, pause)
