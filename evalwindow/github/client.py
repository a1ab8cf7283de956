"""GitHub's API as far as we use it. Nothing here is retried: a caller's backoff does that."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus

import aiohttp
import jwt
from gidgethub import BadRequest, GitHubBroken, HTTPException, RateLimitExceeded
from gidgethub.aiohttp import GitHubAPI

from evalwindow.errors import BadInput, ConfigInvalid, GitHubRefused, GitHubUnavailable
from evalwindow.github.auth import AppAuth, Auth, TokenAuth
from evalwindow.github.repository import Repository
from evalwindow.settings import Settings

REQUESTER = "evalwindow"
TIMEOUT_S = 15.0
_REPO = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")


class GitHub:
    """A client with one identity; `open` a repository to work with it."""

    def __init__(self, *, api_url: str, auth: Auth, timeout_s: float = TIMEOUT_S) -> None:
        self._api_url, self._auth, self._timeout_s = api_url, auth, timeout_s
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> GitHub | None:
        """The client that the settings describe: an App's where there is one, None without credentials."""
        key, token = settings.github_private_key.get_secret_value(), settings.github_token.get_secret_value()
        if bool(settings.github_app_id) != bool(key):
            raise ConfigInvalid(
                "EVALWINDOW_GITHUB_APP_ID and EVALWINDOW_GITHUB_PRIVATE_KEY go together; one is missing"
            )
        if key:
            return cls(api_url=settings.github_api_url, auth=AppAuth(settings.github_app_id, key))
        return cls(api_url=settings.github_api_url, auth=TokenAuth(token)) if token else None

    @asynccontextmanager
    async def open(self, repo: str) -> AsyncIterator[Repository]:
        """A repository (owner/name). Raises GitHubUnavailable (try again) or GitHubRefused, in the block too."""
        if not _REPO.fullmatch(repo):
            raise BadInput(f"repository {repo!r}: a name like owner/name is needed")
        with _our_errors(repo):
            api = GitHubAPI(self._live_session(), REQUESTER, base_url=self._api_url)
            api.oauth_token = token = await self._auth.token(api, repo)
            try:
                yield Repository(api=api, name=repo, auth=self._auth)
            except BadRequest as error:
                if error.status_code is not HTTPStatus.UNAUTHORIZED or not self._auth.refused(repo, token):
                    raise
                raise GitHubUnavailable(
                    f"GitHub, {repo}: takes our token no more; the next try has a new one"
                ) from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _live_session(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s))
        return self._session


@contextmanager
def _our_errors(repo: str) -> Iterator[None]:
    try:
        yield
    except HTTPException as error:
        raise _translated(error, repo) from error
    except (TimeoutError, aiohttp.ClientError) as error:
        raise GitHubUnavailable(f"GitHub, {repo}: no answer ({type(error).__name__}: {error})") from error
    except jwt.PyJWTError as error:
        raise ConfigInvalid(f"EVALWINDOW_GITHUB_PRIVATE_KEY can't sign: {error}") from error


def _translated(error: HTTPException, repo: str) -> GitHubUnavailable | GitHubRefused:
    status = int(error.status_code)
    message = f"GitHub, {repo}: HTTP {status}: {error}"
    limited = isinstance(error, RateLimitExceeded) or status == 429 or _header(error, "retry-after") is not None
    if isinstance(error, GitHubBroken) or (isinstance(error, BadRequest) and limited):
        return GitHubUnavailable(message, retry_after=_retry_after(error))
    return GitHubRefused(message, status=status)


def _retry_after(error: HTTPException) -> float | None:
    """Retry-After in seconds or as a date; else the moment at which the rate limit starts anew."""
    readers: Mapping[str, Callable[[str, dt.datetime], float]] = {
        "retry-after": _seconds,
        "x-ratelimit-reset": _until_epoch,
    }
    for name, read in readers.items():
        value = _header(error, name)
        if value is not None:
            return read(value, _now(error))
    return None


def _header(error: HTTPException, name: str) -> str | None:
    return {key.lower(): value for key, value in error.headers.items()}.get(name)


def _now(error: HTTPException) -> dt.datetime:
    """By GitHub's clock, where it says."""
    said = _header(error, "date")
    return _date(said) if said else dt.datetime.now(dt.UTC)


def _date(value: str) -> dt.datetime:
    return dt.datetime.strptime(value, "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=dt.UTC)


def _seconds(value: str, now: dt.datetime) -> float:
    if value.isdigit():
        return float(value)
    return max(0.0, (_date(value) - now).total_seconds())


def _until_epoch(value: str, now: dt.datetime) -> float:
    return max(0.0, float(value) - now.timestamp())
