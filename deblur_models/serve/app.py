"""The paths of the server: the page, the restoration of a picture, health, metrics."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import html
import logging
import re
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from importlib import resources
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from blursynth import __version__
from deblur_models.serve.guard import Guard
from deblur_models.serve.limits import Refusal
from deblur_models.serve.metrics import CONTENT_TYPE_LATEST
from deblur_models.serve.service import Restored, Room, Service

__all__ = ["create_app"]

_LOG = logging.getLogger(__name__)

_PIECE_BYTES = 1 << 18  # of an answer: the next one is handed over when the client has taken most of this one

Format = Literal["png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "ppm"]


class Parameters(BaseModel):
    """How a picture is restored."""

    model_config = ConfigDict(extra="forbid")

    strength: float = Field(
        1.0,
        ge=0.0,
        le=1.5,
        allow_inf_nan=False,
        description="The picture plus this much of its change by restoration: 0 none, 1 restored, more exaggerates.",
    )
    format: Format | None = Field(
        None, description="Format of the answer; that of the upload if left out, or PNG if that cannot be written."
    )


def create_app(service: Service, *, hosts: Collection[str] = ()) -> FastAPI:
    """The web application of a service, for any ASGI server.

    Parameters
    ----------
    service
        What restores the pictures.
    hosts
        Names under which the server may be asked, besides ``localhost`` and addresses.

    Notes
    -----
    The time limits on heads of requests and on idle connections are those of :func:`deblur_models.serve.make_server`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        service.stop()

    # Its pages of documentation load scripts from elsewhere.
    app = FastAPI(title="deblur", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.add_middleware(Guard, hosts=frozenset(map(str.lower, hosts)), drain_bytes=service.limits.upload_bytes)
    page, policy = _page(service.name)

    @app.get("/", response_class=HTMLResponse)
    async def index() -> Response:
        """A page to restore a picture, with a slider between before and after."""
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @app.post("/restore", response_class=Response, openapi_extra=_UPLOAD)
    async def restore(request: Request, parameters: Annotated[Parameters, Query()]) -> Response:
        """Restore the picture file that is the body of the request."""
        return _Restoration(service, request, parameters)

    @app.get("/health/live")
    async def live() -> Response:
        """Whether the process can restore pictures at all; if not (503), restart it."""
        return _health(service, service.batcher.is_alive)

    @app.get("/health/ready")
    async def ready() -> Response:
        """Whether it takes pictures now; if not (503), ask another one."""
        return _health(service, service.batcher.is_ready and service.requests < service.limits.requests)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Counters and times for Prometheus."""
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        service.metrics.saw_request("bad_request", 0.0)
        text = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
        return JSONResponse({"error": f"{text}."}, 422)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": f"{error.detail}."}, error.status_code, error.headers)

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": _BUG}, 500)

    return app


_BUG = "The server failed; its log says why."
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


def _health(service: Service, good: bool) -> Response:
    return JSONResponse(
        {"ok": good, "network": service.name, "requests": service.requests, "most_requests": service.limits.requests},
        200 if good else 503,
    )


class _Restoration(Response):
    """The answer to an upload: all work is done while it is sent, and counted until the client has taken it."""

    def __init__(self, service: Service, request: Request, parameters: Parameters) -> None:
        super().__init__()
        self.service, self.request, self.parameters = service, request, parameters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.monotonic()
        outcome = "failed"
        try:
            _check_headers(self.request)
            with self.service.admit() as room:
                restored = await self._restored(room)
                outcome = await self._send(restored, send)
        except Refusal as refusal:
            outcome = refusal.outcome
            retry = {} if refusal.retry_after_s is None else {"Retry-After": str(refusal.retry_after_s)}
            await JSONResponse({"error": refusal.text}, refusal.status, retry)(scope, receive, send)
        except ClientDisconnect:
            outcome = "client_gone"
        except Exception:
            _LOG.exception("a request failed")
            await JSONResponse({"error": _BUG}, 500)(scope, receive, send)
        finally:
            self.service.metrics.saw_request(outcome, time.monotonic() - begun)

    async def _restored(self, room: Room) -> Restored:
        """Read the upload, and wait for its picture as long as the client does and the time limit lasts."""
        service, wanted = self.service, self.parameters
        length = self.request.headers.get("content-length")
        data = await service.read(self.request.stream(), None if length is None else int(length), room)
        work = asyncio.create_task(service.restore(data, wanted.strength, wanted.format, room))
        work.add_done_callback(lambda task: task.cancelled() or task.exception())
        gone = asyncio.create_task(self._client_is_gone())
        try:
            await asyncio.wait({work, gone}, timeout=service.limits.timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            if gone.done():
                raise ClientDisconnect
            raise Refusal(
                503,
                "timed_out",
                f"The picture was not restored within {service.limits.timeout_s:g} s.",
                retry_after_s=service.retry_after_s(),
            )
        finally:
            gone.cancel()
            work.cancel()

    async def _client_is_gone(self) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass

    async def _send(self, restored: Restored, send: Send) -> str:
        headers = {
            "Content-Type": restored.media_type,
            "Content-Length": str(len(restored.data)),
            "Server-Timing": f"wait;dur={1000 * restored.waited_s:.0f}",
        }
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        try:
            async with asyncio.timeout(self.service.limits.transfer_timeout_s):
                await send({"type": "http.response.start", "status": 200, "headers": raw})
                for start in range(0, len(restored.data), _PIECE_BYTES):
                    piece = restored.data[start : start + _PIECE_BYTES]
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body"})
        except TimeoutError:
            return "slow_download"  # the answer is not complete, so the server closes the connection
        return "restored"


def _check_headers(request: Request) -> None:
    """Refuse what is no picture file as it is: forms above all, which a page of another website can send unasked."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/octet-stream" and not re.fullmatch(r"image/[\w.+-]+", kind):
        raise Refusal(
            415,
            "bad_request",
            "The body must be the picture file as it is, with the header Content-Type: image/... or "
            "application/octet-stream.",
        )
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "bad_request", "The body must not be compressed: leave Content-Encoding out.")


def _page(name: str) -> tuple[str, str]:
    """The page for a network, and the content security policy that permits its own script and style alone."""
    text = resources.files("deblur_models.serve").joinpath("page.html").read_text("utf-8")
    digests = {
        tag: base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        for tag, content in re.findall(r"<(script|style)>(.*?)</\1>", text, re.DOTALL)
    }
    policy = (
        f"default-src 'none'; script-src 'sha256-{digests['script']}'; style-src 'sha256-{digests['style']}'; "
        "img-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text.replace("NETWORK", html.escape(name)), policy
