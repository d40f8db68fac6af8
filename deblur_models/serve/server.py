"""The server process: its socket, limits on connections, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import signal
import socket
import threading
from collections.abc import Collection, Iterator
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from blursynth.errors import InvalidValueError
from deblur_models.serve.app import create_app
from deblur_models.serve.service import Service

__all__ = ["bind", "is_loopback", "make_server"]

_HEAD_S = 10.0  # to send the head of a request
_STALLED_S = 30.0  # without taking the next quarter megabyte of an answer
_IDLE_S = 5  # between two requests


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine reach an address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises
    ------
    InvalidValueError
        The port is taken, or the address is none of this machine.
    """
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as error:
        raise InvalidValueError(
            f"{host}:{port} cannot be listened on ({getattr(error, 'strerror', None) or error}).",
            fix="Choose another --port (0: any that is free) or --host.",
        ) from None


def make_server(service: Service, *, hosts: Collection[str] = ()) -> uvicorn.Server:
    """The server of a service, for ``run(sockets=[listener])``.

    SIGINT, SIGTERM or ``should_exit = True`` end it: it finishes what the network has begun, and refuses the rest. A
    second SIGINT ends it at once. In threads other than the main one it leaves signals alone.
    """
    config = uvicorn.Config(
        create_app(service, hosts=hosts),
        http=_Connection,
        ws="none",
        log_config=None,
        log_level="critical",  # the application logs its own errors, and clients' errors are theirs
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=math.ceil(service.limits.timeout_s + service.limits.transfer_timeout_s),
    )
    return _Server(config, service)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.service.stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does, but a server that was asked to stop, and did, has not failed: no signal is raised again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Connection(H11Protocol):
    """Ends connections whose client sends the head of a request, or takes an answer, too slowly."""

    _head: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.call_later(_STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled = _cancel(self._stalled)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head, self._stalled = _cancel(self._head), _cancel(self._stalled)

    def _watch_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._head = _cancel(self._head)
        elif self._head is None:
            self._head = self.loop.call_later(_HEAD_S, self.transport.abort)


def _cancel(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """Cancel a timer, if there is one, and give back what is left of it: None."""
    if timer is not None:
        timer.cancel()
    return None
