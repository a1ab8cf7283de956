"""Who we are for GitHub: an App with an installation token a repository, or the owner of a plain token."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

from gidgethub import BadRequest, RateLimitExceeded
from gidgethub.abc import GitHubAPI
from gidgethub.apps import get_installation_access_token, get_jwt

RENEW_BEFORE = dt.timedelta(minutes=5)


class Auth(Protocol):
    """What a client needs to know of its credentials."""

    async def token(self, api: GitHubAPI, repo: str) -> str:
        """A token for `repo` (owner/name); gidgethub's errors come through."""
        ...

    async def wrote(self, api: GitHubAPI, item: dict[str, Any]) -> bool:
        """Whether we wrote this comment."""
        ...

    def refused(self, repo: str, token: str) -> bool:
        """GitHub doesn't know the token any more: True where the next one will be another."""
        ...


class TokenAuth:
    """A personal or job token. It can't write check runs."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._login: str | None = None

    async def token(self, api: GitHubAPI, repo: str) -> str:
        return self._token

    async def wrote(self, api: GitHubAPI, item: dict[str, Any]) -> bool:
        login = await self._own_login(api)
        return bool(item["user"]["login"] == login if login else item["user"]["type"] == "Bot")

    def refused(self, repo: str, token: str) -> bool:
        return False

    async def _own_login(self, api: GitHubAPI) -> str:
        """Empty for a CI job's token: it may not ask who it is, and writes as a bot."""
        if self._login is None:
            try:
                self._login = str((await api.getitem("/user", oauth_token=self._token))["login"])
            except BadRequest as error:
                if error.status_code is not HTTPStatus.FORBIDDEN or isinstance(error, RateLimitExceeded):
                    raise
                self._login = ""
        return self._login


@dataclass
class AppAuth:
    """A GitHub App; its installation tokens live for an hour and are kept until shortly before."""

    app_id: str
    private_key: str = field(repr=False)
    _tokens: dict[str, tuple[str, dt.datetime]] = field(default_factory=dict, repr=False)

    async def token(self, api: GitHubAPI, repo: str) -> str:
        known = self._tokens.get(repo)
        if known is None or known[1] - RENEW_BEFORE < dt.datetime.now(dt.UTC):
            known = self._tokens[repo] = await self._new_token(api, repo)
        return known[0]

    async def wrote(self, api: GitHubAPI, item: dict[str, Any]) -> bool:
        app = item.get("performed_via_github_app") or {}
        return str(app.get("id")) == self.app_id

    def refused(self, repo: str, token: str) -> bool:
        """It was revoked, or is older than we think."""
        known = self._tokens.get(repo)
        if known is not None and known[0] == token:
            del self._tokens[repo]
        return known is not None

    async def _new_token(self, api: GitHubAPI, repo: str) -> tuple[str, dt.datetime]:
        jwt = get_jwt(app_id=self.app_id, private_key=self.private_key)
        installation = await api.getitem("/repos/{+repo}/installation", {"repo": repo}, jwt=jwt)
        answer = await get_installation_access_token(
            api, installation_id=str(installation["id"]), app_id=self.app_id, private_key=self.private_key
        )
        return answer["token"], dt.datetime.fromisoformat(answer["expires_at"])
