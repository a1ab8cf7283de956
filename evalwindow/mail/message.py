"""The mail as it is handed in: text, and HTML with its pictures, under headers that programs understand."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from evalwindow.errors import BadInput
from evalwindow.mail.content import Content, content_of
from evalwindow.mail.html import html
from evalwindow.mail.plot import draw
from evalwindow.mail.text import text
from evalwindow.mailbox import mailbox
from evalwindow.report.night import NightLine, NightView

MOST_PICTURES = 6
ENCODING = "quoted-printable"  # passes through every server, and is read in the raw


def compose(
    view: NightView, lines: Sequence[NightLine], *, address: str, sender: Address, now: dt.datetime | None = None
) -> EmailMessage:
    """The mail of a night to one address. Raises BadInput for what is no address.

    The same night and address give the same Message-ID: should a mail go out twice, programs show it once.
    """
    content = content_of(view, lines, address=address)
    domain = sender.domain.encode("idna").decode()
    message = EmailMessage(policy=SMTP)
    message["Subject"] = unencoded(content.subject)
    message["From"] = sender
    message["To"] = _recipient(address)
    message["Date"] = format_datetime(now or dt.datetime.now(dt.UTC))
    message["Message-ID"] = message_id(view.night.id, address, domain=domain)
    message["List-Id"] = f"<{view.night.window}.evalwindow.{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"  # Exchange answers to Auto-Submitted all the same
    message["X-Evalwindow-Night"] = view.night.id
    message["X-Evalwindow-Verdict"] = content.word
    message.set_content(text(content), cte=ENCODING)
    _add_html(message, content, _pictures(content), host=f"{view.night.id}.{domain}")
    return message


def unencoded(text: str) -> str:
    """A header's text in which nothing reads as an encoded word.

    Python decodes `=?utf-8?q?...?=` in what it is given, line breaks too: the name of a slice could end the headers.
    """
    return text.replace("=?", "= ?")


def message_id(night_id: str, address: str, *, domain: str) -> str:
    """Short, so that it stays on one line; the address is in it as a digest, which tells nobody who else got mail."""
    whom = hashlib.sha256(address.casefold().encode()).hexdigest()[:12]
    return f"<{night_id}.{whom}@{domain}>"


def _recipient(address: str) -> Address:
    try:
        found = mailbox(address)
    except ValueError as error:
        raise BadInput(f"{address!r}: {error}") from error
    return Address(username=found.username, domain=found.domain)


def _pictures(content: Content) -> Mapping[int, bytes]:
    """Number of a section -> PNG of its trend."""
    drawn = [(index, section.trend) for index, section in enumerate(content.sections) if section.trend is not None]
    return {index: draw(trend) for index, trend in drawn[:MOST_PICTURES]}


def _add_html(message: EmailMessage, content: Content, pictures: Mapping[int, bytes], *, host: str) -> None:
    """An alternative of its own: multipart/related with the pictures that the HTML names."""
    cids = {index: f"trend{index}@{host}" for index in pictures}
    page = html(content, cids)
    message.add_alternative(page, subtype="html", cte=ENCODING)
    *_, part = message.iter_parts()
    for index, png in pictures.items():
        if f"cid:{cids[index]}" not in page:  # a mail that was made to fit shows fewer
            continue
        cid, name = f"<{cids[index]}>", _file(content, index)
        part.add_related(png, "image", "png", cid=cid, disposition="inline", filename=name)


def _file(content: Content, index: int) -> str:
    row = content.sections[index].row
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"trend-{row.suite}-{row.model}") + ".png"
