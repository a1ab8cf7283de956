"""Webhooks as GitHub sends them, with what evalwindow reads of one."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from typing import Any


def pull_request_event(
    repo: str,
    number: int,
    sha: str,
    *,
    title: str = "a change",
    action: str = "opened",
    updated_at: dt.datetime | None = None,
) -> dict[str, Any]:
    """A pull_request event of a commit; without `updated_at` it is of now."""
    place = {"full_name": repo}
    return {
        "action": action,
        "number": number,
        "repository": place,
        "pull_request": {
            "number": number,
            "title": title,
            "html_url": f"https://github.com/{repo}/pull/{number}",
            "updated_at": (updated_at or dt.datetime.now(dt.UTC)).isoformat(),
            "head": {"sha": sha, "ref": f"change-{number}", "repo": place},
            "base": {"sha": "0" * 40, "ref": "main", "repo": place},
            "labels": [],
        },
    }


def signed_headers(body: bytes, *, secret: str, delivery: str) -> dict[str, str]:
    """Headers of a pull_request event with this body."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={signature}",
    }
