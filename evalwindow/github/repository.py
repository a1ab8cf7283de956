"""One repository on GitHub: its files at a commit, its checks, statuses and comments."""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from gidgethub import BadRequest, RateLimitExceeded
from gidgethub.abc import GitHubAPI

from evalwindow.errors import CandidateInvalid, TooLarge
from evalwindow.github.auth import Auth
from evalwindow.pr_config import repo_path


@dataclass(frozen=True, kw_only=True)
class Repository:
    """Thin calls; gidgethub's errors become ours at the end of GitHub.open's block."""

    api: GitHubAPI
    name: str  # owner/name
    auth: Auth

    async def file(self, path: str, *, ref: str, limit: int) -> bytes | None:
        """A file's bytes at a commit, None where there is none; TooLarge over `limit` bytes."""
        entry = await self._contents(path, ref=ref)
        if entry is None:
            return None
        if not isinstance(entry, dict) or entry["type"] != "file":
            raise CandidateInvalid(f"{self.name}: {path!r} is not a plain file at {ref[:10]}")
        return await self._bytes(entry, limit=limit)

    async def folder(
        self, path: str, *, ref: str, limit: int, names: Collection[str] | None = None
    ) -> dict[str, bytes] | None:
        """The plain files of a folder by name, of `names` alone if given; together at most `limit` bytes.

        None where there is none. Links and submodules are left out.
        """
        entries = await self._contents(path, ref=ref)
        if entries is None:
            return None
        if not isinstance(entries, list):
            raise CandidateInvalid(f"{self.name}: {path!r} is not a folder at {ref[:10]}")
        files = [entry for entry in entries if entry["type"] == "file"]
        files = [entry for entry in files if names is None or entry["name"] in names]
        _check_size(f"{self.name}: folder {path}", sum(entry["size"] for entry in files), limit)
        return {entry["name"]: await self._bytes(entry, limit=limit) for entry in files}

    async def check_runs(self, sha: str, name: str) -> list[dict[str, Any]]:
        url = "/repos/{+repo}/commits/{sha}/check-runs{?check_name,filter,per_page}"
        values = {"repo": self.name, "sha": sha, "check_name": name, "filter": "all", "per_page": "100"}
        return [run async for run in self.api.getiter(url, values, iterable_key="check_runs")]

    async def create_check_run(self, body: dict[str, Any]) -> str:
        made = await self.api.post("/repos/{+repo}/check-runs", {"repo": self.name}, data=body)
        return str(made["id"])

    async def update_check_run(self, check_id: str, body: dict[str, Any]) -> bool:
        """False where there is none of this id."""
        return await self._patch("/repos/{+repo}/check-runs/{id}", check_id, body)

    async def create_status(self, sha: str, body: dict[str, str]) -> str:
        url = "/repos/{+repo}/statuses/{sha}"
        made = await self.api.post(url, {"repo": self.name, "sha": sha}, data=body)
        return str(made["id"])

    async def comments(self, number: int) -> list[dict[str, Any]]:
        url = "/repos/{+repo}/issues/{number}/comments{?per_page}"
        values = {"repo": self.name, "number": str(number), "per_page": "100"}
        return [comment async for comment in self.api.getiter(url, values)]

    async def create_comment(self, number: int, body: str) -> str:
        url = "/repos/{+repo}/issues/{number}/comments"
        made = await self.api.post(url, {"repo": self.name, "number": str(number)}, data={"body": body})
        return str(made["id"])

    async def edit_comment(self, comment_id: str, body: str) -> bool:
        """False where somebody deleted it."""
        return await self._patch("/repos/{+repo}/issues/comments/{id}", comment_id, {"body": body})

    async def delete_comment(self, comment_id: str) -> None:
        await self.api.delete("/repos/{+repo}/issues/comments/{id}", {"repo": self.name, "id": comment_id})

    async def remove_label(self, number: int, label: str) -> bool:
        """Take a label off a pull request; True when it is off. False where our token may not do that."""
        url = "/repos/{+repo}/issues/{number}/labels/{label}"
        try:
            await self.api.delete(url, {"repo": self.name, "number": str(number), "label": label})
        except BadRequest as error:
            if error.status_code is HTTPStatus.NOT_FOUND:
                return True
            if error.status_code is not HTTPStatus.FORBIDDEN or isinstance(error, RateLimitExceeded):
                raise
            return False
        return True

    async def wrote(self, comment: dict[str, Any]) -> bool:
        return await self.auth.wrote(self.api, comment)

    async def _patch(self, url: str, item_id: str, body: dict[str, Any]) -> bool:
        try:
            await self.api.patch(url, {"repo": self.name, "id": item_id}, data=body)
        except BadRequest as error:
            if error.status_code is HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    async def _contents(self, path: str, *, ref: str) -> Any:
        url = f"/repos/{self.name}/contents/{quote(repo_path(path).rstrip('/'))}{{?ref}}"
        try:
            return await self.api.getitem(url, {"ref": ref})
        except BadRequest as error:
            if error.status_code is HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _bytes(self, entry: dict[str, Any], *, limit: int) -> bytes:
        """Contents come along up to 1 MB; a larger file, or one of a folder's listing, is a blob to fetch."""
        what = f"{self.name}: file {entry['path']}"
        _check_size(what, entry["size"], limit)
        if entry.get("encoding") != "base64":
            url = "/repos/{+repo}/git/blobs/{sha}"
            entry = await self.api.getitem(url, {"repo": self.name, "sha": entry["sha"]})
        data = base64.b64decode(entry["content"])
        _check_size(what, len(data), limit)
        return data


def _check_size(what: str, size: int, limit: int) -> None:
    if size > limit:
        raise TooLarge(what=what, size=size, limit=limit)
