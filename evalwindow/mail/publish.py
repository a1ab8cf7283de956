"""Tell an address about a night or a breaker. What is told follows from the rows alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from email.message import EmailMessage
from typing import TYPE_CHECKING

from evalwindow.config import Config
from evalwindow.errors import MailUnavailable
from evalwindow.mail.alert import alert_mail
from evalwindow.mail.message import compose
from evalwindow.mail.policy import recipients
from evalwindow.mail.transport import VARIABLE, send
from evalwindow.mailbox import mailbox
from evalwindow.report.night import NightLine, NightView, gather_night
from evalwindow.settings import Settings
from evalwindow.smtp_url import SmtpUrl
from evalwindow.store import Store
from evalwindow.store.rows import DeliveryRow

if TYPE_CHECKING:  # it wires this package to the rest
    from evalwindow.services import Services

CHANNEL = "mail:"  # then the address
NOBODY = "evalwindow@localhost"  # who a mail is from that is only looked at


async def publish(services: Services, delivery: DeliveryRow) -> str:
    """Message-ID of the mail that the server took; raises MailUnavailable, MailRefused, NotFound, BadInput."""
    settings, address = services.settings, delivery.channel.removeprefix(CHANNEL)
    server_of(settings)
    tell = mail_of if delivery.breaker_event_id is None else _alert_of
    message = await asyncio.to_thread(
        tell, services.store, services.config, settings, delivery.subject, address=address
    )
    return await asyncio.to_thread(hand_in, settings, message, address)


def mail_of(store: Store, config: Config, settings: Settings, night_id: str, *, address: str) -> EmailMessage:
    """What the address is told about a night as it is now; raises NotFound, BadInput."""
    view = gather_night(store, config, night_id, base_url=settings.base_url)
    sender = mailbox(settings.mail_from or NOBODY)
    return compose(view, lines_of(view, address), address=address, sender=sender)


def _alert_of(store: Store, config: Config, settings: Settings, event_id: str, *, address: str) -> EmailMessage:
    """What the address is told about a breaker; raises NotFound, BadInput."""
    return alert_mail(store, settings, event_id, address=address, sender=settings.mail_from or NOBODY)


def hand_in(settings: Settings, message: EmailMessage, address: str) -> str:
    """Message-ID of the mail that the server took; raises MailUnavailable, MailRefused."""
    server = server_of(settings)
    sender = mailbox(settings.mail_from).addr_spec
    send(message, address, server=server, sender=sender, timeout_s=settings.mail_timeout_s)
    return str(message["Message-ID"])


def server_of(settings: Settings) -> SmtpUrl:
    """The server that mails are handed in to; raises MailUnavailable that says what to set."""
    if settings.smtp is None:
        raise MailUnavailable(f"no mail server is configured: set {VARIABLE} and EVALWINDOW_MAIL_FROM")
    return settings.smtp


def lines_of(view: NightView, address: str) -> Sequence[NightLine]:
    """What the policy tells the address; all of it where the policy doesn't know the address (any more).

    Whoever queued the mail read evalwindow.yaml, perhaps a newer one: better a line too many than a mail lost.
    """
    known = {name.casefold(): lines for name, lines in recipients(view).items()}
    return known.get(address.casefold(), view.lines)
