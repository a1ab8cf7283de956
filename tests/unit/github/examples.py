"""Events of pull requests as GitHub sends them, with what we read of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalwindow.config import Config, Team

SHA = "c0ffee" * 6 + "abcd"
CONFIG = Config(models={}, teams={"search": Team(repos=("acme/bot",))})


def pull_request(
    *,
    action: str = "opened",
    repo: str = "acme/bot",
    head_repo: str | None = "acme/bot",
    number: int = 7,
    sha: str = SHA,
    labels: Sequence[str] = (),
    label: str | None = None,
    updated_at: str = "2026-03-02T09:00:00Z",
) -> dict[str, Any]:
    return {
        "action": action,
        "number": number,
        "repository": {"full_name": repo, "private": True},
        "pull_request": {
            "number": number,
            "title": "A better prompt",
            "html_url": f"https://github.com/{repo}/pull/{number}",
            "updated_at": updated_at,
            "draft": True,
            "head": {"sha": sha, "ref": "topic", "repo": head_repo and {"full_name": head_repo}},
            "base": {"sha": "0" * 40, "ref": "main", "repo": {"full_name": repo}},
            "labels": [{"name": name, "color": "fff"} for name in labels],
        },
        **({"label": {"name": label}} if label else {}),
    }
