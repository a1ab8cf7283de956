"""Who a mail is from or to: one address, in the plain form that every mail server takes."""

from __future__ import annotations

import re
from email.headerregistry import Address

_PART = r"[^@\s<>,;:\"\\()\[\]\x00-\x1f\x7f]+"
_BARE = rf"(?P<user>{_PART})@(?P<domain>{_PART})"
_FORMS = tuple(map(re.compile, (rf"(?P<name>){_BARE}", rf"(?P<name>[^<>@\x00-\x1f\x7f]*)<{_BARE}>")))


def mailbox(text: str) -> Address:
    """user@host, or Name <user@host>. Raises ValueError with what would be right."""
    found = next(filter(None, (form.fullmatch(text) for form in _FORMS)), None)
    if found is None or not _is_domain(found["domain"]):
        raise ValueError("it is no mail address; write evals@example.com or Evals <evals@example.com>")
    return Address(found["name"].strip().strip('"'), found["user"], found["domain"])


def _is_domain(text: str) -> bool:
    try:
        return bool(text.encode("idna"))
    except UnicodeError:  # an empty part, or one that is too long
        return False
