"""Text that can be kept: what PostgreSQL and UTF-8 both can say."""

from __future__ import annotations


def unkeepable(text: str) -> str | None:
    """What in the text can't be kept, in a phrase; None if all of it can."""
    if "\0" in text:
        return "holds the character NUL, which PostgreSQL can't keep"
    try:
        text.encode()
    except UnicodeEncodeError:  # nothing else in a str can't be encoded
        return "holds half of a surrogate pair, which is not UTF-8"
    return None
