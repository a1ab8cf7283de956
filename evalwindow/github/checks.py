"""One check run a run of ours, or a commit status where a token may not write check runs."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from gidgethub import BadRequest, RateLimitExceeded

from evalwindow.github.repository import Repository

STATUS_PREFIX = "status:"  # of the id that stands for a commit status


async def put_check(
    repo: Repository, sha: str, body: dict[str, Any], *, status: dict[str, str], known_id: str | None = None
) -> str:
    """Create the check run, or update it if it is there: known by our record or found by its external_id. Its id."""
    if known_id is not None and known_id.startswith(STATUS_PREFIX):
        return await _put_status(repo, sha, status)
    try:
        return await _put_check_run(repo, sha, body, known_id=known_id)
    except BadRequest as error:
        if not _only_apps(error):
            raise
    return await _put_status(repo, sha, status)


async def _put_status(repo: Repository, sha: str, status: dict[str, str]) -> str:
    return STATUS_PREFIX + await repo.create_status(sha, status)


async def _put_check_run(repo: Repository, sha: str, body: dict[str, Any], *, known_id: str | None) -> str:
    own = known_id if known_id is not None and await repo.update_check_run(known_id, body) else None
    if own is not None and body["status"] != "completed":
        return own
    # GitHub may have taken what it didn't answer for in time: a twin that stayed "queued" would block its commit.
    for twin in await _all(repo, sha, body):
        if twin != own and await repo.update_check_run(twin, body):
            own = own or twin
    return own or await repo.create_check_run({**body, "head_sha": sha})


async def _all(repo: Repository, sha: str, body: dict[str, Any]) -> list[str]:
    """Ids of the check runs with this body's name and external_id."""
    runs = await repo.check_runs(sha, body["name"])
    return [str(run["id"]) for run in runs if run.get("external_id") == body["external_id"]]


def _only_apps(error: BadRequest) -> bool:
    """GitHub's 403 for writing checks with a token that is not an App's."""
    limited = isinstance(error, RateLimitExceeded) or "retry-after" in {name.lower() for name in error.headers}
    return error.status_code is HTTPStatus.FORBIDDEN and not limited
