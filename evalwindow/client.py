"""The run API from the other side: what the command line and CI jobs speak. Errors are the server's, as our own."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import BaseModel, ValidationError

from evalwindow.errors import (
    BadInput,
    BreakerOpen,
    Conflict,
    EvalwindowError,
    Forbidden,
    NotFound,
    QuotaExceeded,
    ServiceDown,
    TooLarge,
    TooManyFailures,
    TryLater,
    Unauthorized,
)
from evalwindow.report.document import RunDocument
from evalwindow.web.bodies import Accepted, RunList, SampleList
from evalwindow.web.documents import (
    AdapterDocument,
    BaselineDocument,
    BaselineList,
    Comparison,
    NoiseList,
    Progress,
    QuotaDocument,
    SuiteList,
)

DEFAULT_URL = "http://127.0.0.1:8800"
TIMEOUT_S = 60.0  # of one request; the server's longest wait is half of that
LONG_POLL_S = 28.0
AWAY_S = 120.0  # a server that is deployed anew is waited for this long
PAUSE_S = 1.0
RETRY_S = 30.0  # where a server that asks for patience doesn't say how much
PROGRESS_S = 5.0  # between two looks at how far a run is; its end is told at once

_ERRORS: dict[int, type[EvalwindowError]] = {
    400: BadInput,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    422: BadInput,
    429: TooManyFailures,
}
_LATER: dict[str, type[TryLater]] = {kind.__name__: kind for kind in (TryLater, QuotaExceeded, BreakerOpen)}
Model = TypeVar("Model", bound=BaseModel)


class Client:
    """One server and one team's token. Every method may raise ServiceDown, Unauthorized, NotFound or BadInput."""

    def __init__(self, session: aiohttp.ClientSession, *, url: str) -> None:
        self._session, self.url = session, url.rstrip("/")

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, token: str) -> AsyncIterator[Client]:
        if not url.startswith(("http://", "https://")):
            raise BadInput(f"EVALWINDOW_URL={url!r} is no URL; it starts with http:// or https://")
        if not token.strip():
            raise Unauthorized("EVALWINDOW_TOKEN is not set; an operator makes one by `evalwindow token add TEAM`")
        headers = {"Authorization": f"Bearer {token.strip()}"}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
            yield cls(session, url=url)

    async def submit(self, wish: Mapping[str, Any]) -> Accepted:
        """`wish` as in the API's RunBody."""
        return await self._call(Accepted, "POST", "/v1/runs", body=wish)

    async def run(self, run_id: str, *, wait_s: float = 0.0) -> RunDocument:
        """The run as it is, or when it is final within `wait_s` seconds (30 at most)."""
        return await self._call(RunDocument, "GET", _run_path(run_id), query={"wait": wait_s})

    async def runs(self, **filters: object) -> RunList:
        return await self._call(RunList, "GET", "/v1/runs", query=filters)

    async def samples(self, run_id: str, *, failing: bool = False) -> SampleList:
        return await self._call(SampleList, "GET", _run_path(run_id, "/samples"), query={"failing": failing})

    async def progress(self, run_id: str) -> Progress:
        return await self._call(Progress, "GET", _run_path(run_id, "/progress"))

    async def cancel(self, run_id: str) -> RunDocument:
        return await self._call(RunDocument, "POST", _run_path(run_id, "/cancel"))

    async def compare(self, run_id: str, baseline: str) -> Comparison:
        return await self._call(Comparison, "GET", "/v1/compare", query={"run": run_id, "baseline": baseline})

    async def baselines(self, *, retired: bool = False) -> BaselineList:
        return await self._call(BaselineList, "GET", "/v1/baselines", query={"retired": retired})

    async def noise(self, suites: Sequence[str] = (), *, model: str | None = None) -> NoiseList:
        """The noise floors of these suites, default all, that have a baseline."""
        return await self._call(NoiseList, "GET", "/v1/noise", query={"suite": list(suites), "model": model})

    async def promote(self, wish: Mapping[str, Any]) -> BaselineDocument:
        """`wish` as in the API's Promotion; Conflict when `expected` is not the baseline any more."""
        return await self._call(BaselineDocument, "POST", "/v1/baselines", body=wish)

    async def quotas(self) -> QuotaDocument:
        """The team's limits, and what is used of them."""
        return await self._call(QuotaDocument, "GET", "/v1/quotas")

    async def suites(self) -> SuiteList:
        return await self._call(SuiteList, "GET", "/v1/suites")

    async def put_adapter(self, name: str, files: Mapping[str, bytes]) -> AdapterDocument:
        """Store a LoRA adapter's files; the same files have the same digest."""
        encoded = {path: base64.b64encode(content).decode() for path, content in files.items()}
        return await self._call(AdapterDocument, "POST", "/v1/adapters", body={"name": name, "files": encoded})

    async def wait(
        self,
        run_id: str,
        *,
        timeout_s: float,
        seen: Callable[[RunDocument, Progress], None] | None = None,
    ) -> RunDocument:
        """The run once it is final; ServiceDown after `timeout_s`. `seen` is told every 5 seconds how far it is."""
        until = time.monotonic() + timeout_s
        while True:
            patience_s = min(PROGRESS_S if seen else LONG_POLL_S, max(0.0, until - time.monotonic()))
            run = await _outlasting(lambda: self.run(run_id, wait_s=patience_s), until=until)  # noqa: B023
            if run.state.final:
                return run
            if time.monotonic() >= until:
                raise ServiceDown(f"run {run_id} is still {run.state} after {timeout_s:.0f} s; see {run.url}")
            if seen is not None:
                seen(run, await _outlasting(lambda: self.progress(run_id), until=until))

    async def _call(
        self,
        model: type[Model],
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Model:
        url = f"{self.url}{path}"
        try:
            async with self._session.request(method, url, params=_params(query or {}), json=body) as answer:
                text, retry_after = await answer.text(errors="replace"), answer.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            advice = "start it by `evalwindow up`, or set EVALWINDOW_URL to the right one"
            raise ServiceDown(service="evalwindow", host=self.url, reason=reason, advice=advice) from error
        if answer.status >= 400:
            raise _error_of(answer.status, text, url=url, retry_after=retry_after)
        return _read(model, text, url=url)


async def _outlasting(call: Callable[[], Awaitable[Model]], *, until: float) -> Model:
    """Wait out a server that is being replaced."""
    give_up = min(until, time.monotonic() + AWAY_S)
    while True:
        try:
            return await call()
        except ServiceDown:
            if time.monotonic() >= give_up:
                raise
            await asyncio.sleep(PAUSE_S)


def _run_path(run_id: str, rest: str = "") -> str:
    return f"/v1/runs/{quote(run_id, safe='')}{rest}"


def _params(query: Mapping[str, object]) -> list[tuple[str, str]]:
    """What is not None; a list is given as often as it has values."""
    given = [
        (name, value if isinstance(value, list) else [value]) for name, value in query.items() if value is not None
    ]
    return [
        (name, str(each).lower() if isinstance(each, bool) else str(each)) for name, values in given for each in values
    ]


def _error_of(status: int, text: str, *, url: str, retry_after: str | None = None) -> EvalwindowError:
    """Our error for the server's problem; a proxy's page becomes one line too."""
    name = ""
    try:
        problem = json.loads(text)
        message, name = str(problem["error"]), str(problem.get("kind"))
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"{url} answered {status}: {' '.join(text.split())[:200] or 'nothing'}"
    if name in _LATER:
        return _LATER[name](message, retry_after_s=_seconds(retry_after))
    kind = _ERRORS.get(status, ServiceDown if status >= 502 else EvalwindowError)
    return kind(message)


def _seconds(retry_after: str | None) -> float:
    """What the header says, or a while where it says nothing that can be read."""
    try:
        return max(1.0, float(retry_after or RETRY_S))
    except ValueError:
        return RETRY_S


def _read(model: type[Model], text: str, *, url: str) -> Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise EvalwindowError(f"{url} gave an answer that this client can't read; is it an evalwindow?") from error
