"""Who is told about a run."""

from __future__ import annotations

from evalwindow.model import Source


def channels_of(source: Source) -> tuple[str, ...]:
    """Who is told: always the page; a check where there is a commit, a comment where there is a pull request."""
    channels = ["page"]
    if source.repo and source.head_sha:
        channels.append("check")
    if source.repo and source.pull_request:
        channels.append("comment")
    return tuple(channels)
