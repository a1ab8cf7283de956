"""The mail as it is handed in: text, and HTML with its pictures, under headers that programs understand."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage

from evalwindow.mail.content import Content, content_of
from evalwindow.mail.envelope import ENCODING, domain_of, envelope
from evalwindow.mail.html import html
from evalwindow.mail.plot import draw
from evalwindow.mail.text import text
from evalwindow.report.night import NightLine, NightView

MOST_PICTURES = 6


def compose(
    view: NightView, lines: Sequence[NightLine], *, address: str, sender: Address, now: dt.datetime | None = None
) -> EmailMessage:
    """The mail of a night to one address. Raises BadInput for what is no address.

    The same night and address give the same Message-ID: should a mail go out twice, programs show it once.
    """
    content = content_of(view, lines, address=address)
    message = envelope(
        subject=content.subject,
        sender=sender,
        address=address,
        about=view.night.id,
        list_name=view.night.window,
        now=now,
    )
    message["X-Evalwindow-Night"] = view.night.id
    message["X-Evalwindow-Verdict"] = content.word
    message.set_content(text(content), cte=ENCODING)
    _add_html(message, content, _pictures(content), host=f"{view.night.id}.{domain_of(sender)}")
    return message


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
