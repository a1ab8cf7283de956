"""Hand one mail in to the mail server, within a time: it took the mail, or an error says why not."""

from __future__ import annotations

import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.message import EmailMessage

from evalwindow.errors import MailRefused, MailUnavailable
from evalwindow.report.words import visible
from evalwindow.smtp_url import Security, SmtpUrl

VARIABLE = "EVALWINDOW_SMTP_URL"
SHOWN_CHARACTERS = 300  # of what a server says


def send(message: EmailMessage, address: str, *, server: SmtpUrl, sender: str, timeout_s: float) -> None:
    """Returns once the server answers for the mail. `sender` is the bare address that bounces go to.

    Raises MailUnavailable where trying again may help (no connection, 4xx, a refused login), MailRefused where the
    server never takes this mail (5xx). After `timeout_s` seconds the connection is cut, so nothing is sent later.
    """
    where = f"the mail server {server.host}:{server.port} ({VARIABLE})"
    until = time.monotonic() + timeout_s
    try:
        with _connected(server, timeout_s) as client, _cut(client, until):
            _prepare(client, server)
            if time.monotonic() >= until:  # a handshake can't be cut
                raise TimeoutError
            client.send_message(message, from_addr=sender, to_addrs=[address])
    except smtplib.SMTPRecipientsRefused as error:
        raise _refusal(f"{where} doesn't take mail for {address}", *error.recipients[address]) from error
    except smtplib.SMTPAuthenticationError as error:
        raise MailUnavailable(f"{where} refuses our login: {_said(error.smtp_code, error.smtp_error)}") from error
    except smtplib.SMTPResponseException as error:
        what = f"mail from {sender}" if isinstance(error, smtplib.SMTPSenderRefused) else f"the mail for {address}"
        raise _refusal(f"{where} doesn't take {what}", error.smtp_code, error.smtp_error) from error
    except (OSError, smtplib.SMTPException) as error:  # among them timeouts and certificates that aren't trusted
        late = f"it took longer than {timeout_s:g} s" if time.monotonic() >= until else ""
        raise MailUnavailable(f"{where} can't be used: {late or error or type(error).__name__}") from error


@contextmanager
def _connected(server: SmtpUrl, timeout_s: float) -> Iterator[smtplib.SMTP]:
    client: smtplib.SMTP
    if server.security is Security.TLS:
        client = smtplib.SMTP_SSL(server.host, server.port, timeout=timeout_s, context=_trust(server))
    else:
        client = smtplib.SMTP(server.host, server.port, timeout=timeout_s)
    try:
        yield client
        with suppress(OSError, smtplib.SMTPException):  # it has the mail: how it says goodbye is all the same
            client.quit()
    finally:
        client.close()


def _prepare(client: smtplib.SMTP, server: SmtpUrl) -> None:
    """Encrypt and log in, as far as the URL asks for it."""
    if server.security is Security.STARTTLS:
        client.ehlo_or_helo_if_needed()
        if not client.has_extn("starttls"):
            raise smtplib.SMTPNotSupportedError("it offers no STARTTLS; add ?starttls=never if that is meant")
        client.starttls(context=_trust(server))
    if server.user:
        client.login(server.user, server.password)


def _trust(server: SmtpUrl) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=server.ca)


@contextmanager
def _cut(client: smtplib.SMTP, until: float) -> Iterator[None]:
    """Cut the connection at a time: the socket's own timeout starts anew with every line of the server."""
    timer = threading.Timer(max(0.0, until - time.monotonic()), _hang_up, [client])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _hang_up(client: smtplib.SMTP) -> None:
    if client.sock is not None:
        with suppress(OSError):
            # Not the TLS socket's own method: that would first forget its keys, and another thread is sending.
            socket.socket.shutdown(client.sock, socket.SHUT_RDWR)


def _refusal(what: str, code: int, text: bytes | str) -> MailUnavailable | MailRefused:
    kind = MailRefused if 500 <= code < 600 else MailUnavailable
    return kind(f"{what}: {_said(code, text)}")


def _said(code: int, text: bytes | str) -> str:
    """What the server said, in a line of a log."""
    shown = text.decode(errors="replace") if isinstance(text, bytes) else text
    shown = " ".join(visible(shown).split())
    return f"{code} {shown[:SHOWN_CHARACTERS]}"
