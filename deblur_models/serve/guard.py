"""What every request passes first: who may ask in a browser, and how early answers reach clients that still send."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "is_known_host"]

_DRAIN_S = 2.0
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """Middleware that keeps other websites out, and sets headers that keep browsers from guessing.

    A page of another website runs in the browser of somebody who can reach this server. Three things keep it from using
    the server in that person's name:

    - Requests whose ``Host`` is a name that was not agreed on are refused. A website may have its own name point to
      this machine (DNS rebinding), and its pages would then count as ours.
    - Requests with the ``Origin`` of another website are refused, and no header of CORS ever permits one.
    - Nothing may be embedded elsewhere (``Cross-Origin-Resource-Policy``, ``frame-ancestors``).

    An answer that is ready before the upload is complete is sent at once. Then up to ``drain_bytes`` of the upload's
    rest are read and discarded, for at most two seconds, and the connection is closed: closed at once, it would be
    reset, and the client might never see the answer.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str], drain_bytes: int) -> None:
        self.app, self.hosts, self.drain_bytes = app, hosts, drain_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body_is_complete = "content-length" not in headers and "transfer-encoding" not in headers

        async def watched_receive() -> Message:
            nonlocal body_is_complete
            message = await receive()
            body_is_complete |= not message.get("more_body", False)
            return message

        async def guarded_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answered.setdefault(name, value)
                if not body_is_complete:
                    answered["Connection"] = "close"
            elif not body_is_complete and not message.get("more_body", False):
                await send({**message, "more_body": True})
                await drain()
                message = {"type": "http.response.body"}
            await send(message)

        async def drain() -> None:
            left = self.drain_bytes
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_S):
                    while left > 0 and not body_is_complete:
                        left -= len((await watched_receive()).get("body", b""))

        app = self.app
        if (refusal := self._refusal(headers)) is not None:
            app = JSONResponse({"error": refusal}, 403)
        await app(scope, watched_receive, guarded_send)

    def _refusal(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if not is_known_host(host, self.hosts):
            return "The server does not know the name in the Host header: use its address, or --allow-host."
        if headers.get("origin") not in (None, f"http://{host}", f"https://{host}"):
            return "Pages of other websites may not use this server."
        return None


def is_known_host(host: str, names: Collection[str]) -> bool:
    """Whether the ``Host`` header of a request is an address, ``localhost``, or one of these names.

    No website can make a browser send an address in place of its own name.

    >>> is_known_host("127.0.0.1:8000", []), is_known_host("[::1]:8000", []), is_known_host("localhost:8000", [])
    (True, True, True)
    >>> is_known_host("evil.example:8000", []), is_known_host("box.lan", ["box.lan"]), is_known_host("", [])
    (False, True, False)
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name in names
    return True
