"""The mail server's URL: smtp://[user:password@]host[:port][?starttls=required|never][&ca=FILE], or smtps://..."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

FORM = "write smtp://user:password@host:587 or smtps://user:password@host, with @ : / ? # % of a password as %40 ..."
RELAY, SUBMISSION, TLS_SUBMISSION = 25, 587, 465  # ports of RFC 5321, 6409 and 8314
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Security(StrEnum):
    """How the connection is kept private."""

    TLS = "tls"  # from the first byte
    STARTTLS = "starttls"  # before the first secret, or not at all
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class SmtpUrl:
    """Where mails are handed in."""

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None  # PEM file of who is trusted; None: whom the system trusts


def parse_smtp_url(text: str) -> SmtpUrl:
    """Raises ValueError with what would be right. No message holds what may be a part of the password.

    Without `starttls` the connection is encrypted, unless the server is on this machine.
    """
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(f"it can't be read; {FORM}") from None
    if url.scheme not in ("smtp", "smtps") or not url.hostname or url.path not in ("", "/") or url.fragment:
        raise ValueError(f"it is no URL of a mail server; {FORM}")
    if bool(url.username) != bool(url.password):
        raise ValueError(f"user and password come together; {FORM}")
    options = _options(url.query)
    return SmtpUrl(
        host=url.hostname,
        port=port or (TLS_SUBMISSION if url.scheme == "smtps" else SUBMISSION if url.username else RELAY),
        security=_security(url.scheme, url.hostname, options.get("starttls")),
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        ca=_file(options.get("ca")),
    )


def _options(query: str) -> Mapping[str, str]:
    try:
        given = parse_qs(query, strict_parsing=True) if query else {}
    except ValueError:
        raise ValueError("what follows the ? can't be read; write ?starttls=never&ca=FILE") from None
    for name, values in given.items():
        if name not in ("starttls", "ca") or len(values) > 1:
            raise ValueError("what follows the ? may be starttls and ca, once each")
    return {name: values[0] for name, values in given.items()}


def _security(scheme: str, host: str, starttls: str | None) -> Security:
    if starttls not in (None, "required", "never"):
        raise ValueError("starttls is either required or never")
    if scheme == "smtps":
        if starttls is not None:
            raise ValueError("smtps:// is encrypted from its first byte; leave starttls out, or write smtp://")
        return Security.TLS
    if starttls is None:
        return Security.NONE if host in LOOPBACK else Security.STARTTLS
    return Security.STARTTLS if starttls == "required" else Security.NONE


def _file(name: str | None) -> Path | None:
    if name is None:
        return None
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"ca: there is no file {name!r}")
    return path
