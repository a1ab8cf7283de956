"""A mail server on this machine that keeps what it is given: the tour's mail can be read, and nothing leaves."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

POLL_S = 0.1


@dataclass(kw_only=True)
class Mailbox:
    """Every mail that came, in its order."""

    url: str = ""  # of the server, for EVALWINDOW_SMTP_URL
    mails: list[EmailMessage] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802  aiosmtpd's name
        content = envelope.original_content or b""
        mail = message_from_bytes(content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    def wait(self, address: str, *, night: str, timeout_s: float) -> EmailMessage:
        """The first mail to an address about a night; TimeoutError when none comes."""
        until = time.monotonic() + timeout_s
        while True:
            for mail in self.mails:
                if address in str(mail["To"]) and mail["X-Evalwindow-Night"] == night:
                    return mail
            if time.monotonic() > until:
                raise TimeoutError(f"no mail to {address} about night {night} within {timeout_s:.0f} s")
            time.sleep(POLL_S)


@contextmanager
def mailbox_running() -> Iterator[Mailbox]:
    """The server on a free port of this machine, in a thread."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mailbox = Mailbox(url=f"smtp://127.0.0.1:{port}?starttls=never")
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox
    finally:
        controller.stop()
