"""Headers of every answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: Where an answer says nothing itself. A page says what it may load and who may frame it.
DEFAULTS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}
YEAR_S = 365 * 86_400


class SafeHeaders:
    """ASGI middleware: no guessing of types, no referrer, no framing, nothing kept by caches, in every answer."""

    def __init__(self, app: ASGIApp, *, https: bool = False) -> None:
        """`https`: the site is published under https, and browsers shall never ask for it in the clear."""
        self._app = app
        self._always = SAFE_HEADERS | ({"Strict-Transport-Security": f"max-age={YEAR_S}"} if https else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(self._always)
                for name, value in DEFAULTS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, with_headers)
