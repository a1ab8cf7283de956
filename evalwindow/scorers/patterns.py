"""Regular expressions that can't hang a worker: bounded pattern, bounded text, bounded time."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Annotated

import regex
from pydantic import AfterValidator, StringConstraints

MAX_TEXT = 100_000  # characters searched
MAX_SECONDS = 0.5


def _compiles(pattern: str) -> str:
    try:
        regex.compile(pattern)
    except regex.error as reason:
        raise ValueError(f"not a regular expression: {reason}") from None
    return pattern


#: A regular expression as a field of a document.
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(_compiles)]


@lru_cache(maxsize=256)
def compiled(pattern: str, ignore_case: bool) -> regex.Pattern[str]:
    return regex.compile(pattern, flags=regex.IGNORECASE if ignore_case else 0)


def find(pattern: str, text: str, *, ignore_case: bool = False, last: bool = False) -> regex.Match[str] | None:
    """First or last match in the first MAX_TEXT characters; raises TimeoutError after MAX_SECONDS."""
    search = compiled(pattern, ignore_case)
    if not last:
        return search.search(text[:MAX_TEXT], timeout=MAX_SECONDS, concurrent=True)
    found = None
    for found in search.finditer(text[:MAX_TEXT], timeout=MAX_SECONDS, concurrent=True):  # noqa: B007
        pass
    return found


async def find_aside(
    pattern: str, text: str, *, ignore_case: bool = False, last: bool = False
) -> regex.Match[str] | None:
    """The same in a thread, so that a slow pattern holds up nobody else's prompts."""
    return await asyncio.to_thread(find, pattern, text, ignore_case=ignore_case, last=last)


def group_of(match: regex.Match[str]) -> str:
    """The first group of a match, or all of it when the pattern has no group or the group took no part."""
    group = match.group(1) if match.re.groups else None
    return str(match.group(0) if group is None else group)
