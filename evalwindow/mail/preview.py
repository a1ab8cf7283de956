"""A mail as a file to look at."""

from __future__ import annotations

import base64
from email.message import EmailMessage
from pathlib import Path

from evalwindow.errors import BadInput


def write_mail(message: EmailMessage, path: Path) -> Path:
    """The whole mail as .eml, or its HTML with the pictures inside as .html; raises BadInput for another ending."""
    if path.suffix == ".eml":
        path.write_bytes(message.as_bytes())
    elif path.suffix == ".html":
        path.write_text(_page(message), encoding="utf-8")
    else:
        raise BadInput(f"{str(path)!r}: write the mail to a file that ends in .eml or .html")
    return path


def _page(message: EmailMessage) -> str:
    body = message.get_body(("html",))
    page: str = body.get_content() if body is not None else ""
    for part in message.walk():
        if part.get_content_maintype() == "image":
            content = base64.b64encode(part.get_content()).decode()
            page = page.replace(f"cid:{part['Content-ID'].strip('<>')}", f"data:image/png;base64,{content}")
    return page
