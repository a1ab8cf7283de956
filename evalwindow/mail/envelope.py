"""What all our mails have in common: headers that programs understand."""

from __future__ import annotations

import datetime as dt
import hashlib
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from evalwindow.errors import BadInput
from evalwindow.mailbox import mailbox

ENCODING = "quoted-printable"  # passes through every server, and is read in the raw


def envelope(
    *, subject: str, sender: Address, address: str, about: str, list_name: str, now: dt.datetime | None = None
) -> EmailMessage:
    """An empty mail to one address. Raises BadInput for what is no address.

    `about` is the id of what it tells of: the same one and address give the same Message-ID, so that programs show a
    mail once should it go out twice.
    """
    domain = domain_of(sender)
    message = EmailMessage(policy=SMTP)
    message["Subject"] = unencoded(subject)
    message["From"] = sender
    message["To"] = _recipient(address)
    message["Date"] = format_datetime(now or dt.datetime.now(dt.UTC))
    message["Message-ID"] = message_id(about, address, domain=domain)
    message["List-Id"] = f"<{list_name}.evalwindow.{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"  # Exchange answers to Auto-Submitted all the same
    return message


def domain_of(sender: Address) -> str:
    return sender.domain.encode("idna").decode()


def unencoded(text: str) -> str:
    """A header's text in which nothing reads as an encoded word.

    Python decodes `=?utf-8?q?...?=` in what it is given, line breaks too: the name of a slice could end the headers.
    """
    return text.replace("=?", "= ?")


def message_id(about: str, address: str, *, domain: str) -> str:
    """Short, so that it stays on one line; the address is in it as a digest, which tells nobody who else got mail."""
    whom = hashlib.sha256(address.casefold().encode()).hexdigest()[:12]
    return f"<{about}.{whom}@{domain}>"


def _recipient(address: str) -> Address:
    try:
        found = mailbox(address)
    except ValueError as error:
        raise BadInput(f"{address!r}: {error}") from error
    return Address(username=found.username, domain=found.domain)
