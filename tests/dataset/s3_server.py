"""A server that speaks S3 on the loopback interface, and a proxy before it that behaves as networks sometimes do."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

FAULTS = ("unavailable", "cut answer", "cut request", "short body", "slow body", "late listing", "stalled")


@dataclass
class Proxy:
    """Passes requests on; ``fault(method, path, number)`` names what goes wrong with one, or None."""

    to_port: int
    fault: Callable[[str, str, int], str | None] = lambda method, path, number: None
    stall_s: float = 0.6
    seen: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._number = 0
        self._lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do(self) -> None:
                proxy._handle(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                pass  # a connection that we cut

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handle(self, request: BaseHTTPRequestHandler) -> None:
        with self._lock:
            self._number += 1
            number = self._number
        method, path = request.command, request.path
        self.seen[method] += 1
        fault = self.fault(method, path, number)
        length = int(request.headers.get("content-length", 0))
        if fault == "cut request" and length:
            self.injected[fault] += 1
            request.rfile.read(length // 2)
            return self._cut(request)
        body = request.rfile.read(length)
        if fault == "unavailable":
            self.injected[fault] += 1
            return self._answer(request, 503, {}, b"<Error><Code>SlowDown</Code></Error>")
        if fault == "stalled":
            self.injected[fault] += 1
            time.sleep(self.stall_s)
            return self._cut(request)
        connection = http.client.HTTPConnection("127.0.0.1", self.to_port, timeout=30)
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("connection", "transfer-encoding")}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data, status = answer.read(), answer.status
        kept = {k: v for k, v in answer.getheaders() if k.lower() not in ("connection", "transfer-encoding")}
        connection.close()
        if fault == "cut answer":  # what was asked for has happened
            self.injected[fault] += 1
            return self._cut(request)
        if fault == "late listing" and b"<ListBucketResult" in data:
            shorter = re.sub(rb"<Contents>(?:(?!</Contents>).)*/manifest/[0-9]+[.]json(?:(?!</Contents>).)*</Contents>", b"", data, flags=re.DOTALL)  # fmt: skip
            self.injected[fault] += shorter != data
            data = shorter
        if fault == "short body" and method == "GET" and status in (200, 206) and len(data) > 1:
            self.injected[fault] += 1
            self._answer(request, status, kept, data, only=len(data) // 2)
            return self._cut(request)
        if fault == "slow body" and method == "GET" and len(data) > 1:
            self.injected[fault] += 1
            return self._answer(request, status, kept, data, slowly=True)
        return self._answer(request, status, kept, data)

    def _answer(
        self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], data: bytes,
        only: int | None = None, slowly: bool = False,
    ) -> None:  # fmt: skip
        request.send_response_only(status)
        size = headers.get("Content-Length", str(len(data))) if request.command == "HEAD" else str(len(data))
        for name, value in headers.items():
            if name.lower() != "content-length":
                request.send_header(name, value)
        request.send_header("Content-Length", size)
        request.end_headers()
        if request.command == "HEAD":
            return
        data = data[:only]
        step = max(1, len(data) // 5) if slowly else max(1, len(data))
        for start in range(0, len(data), step):
            if slowly:
                time.sleep(0.02)
            request.wfile.write(data[start : start + step])
        request.wfile.flush()

    def _cut(self, request: BaseHTTPRequestHandler) -> None:
        """Reset the connection, as if the other side were gone."""
        request.close_connection = True
        request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.connection.close()
