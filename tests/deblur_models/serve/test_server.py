"""The server as clients meet it, friendly and hostile ones, over real connections on the loopback interface."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from blursynth.errors import InvalidValueError
from deblur_models.networks import create_network
from deblur_models.restore.files import plan_files, restore_files
from deblur_models.restore.network_restorer import NetworkRestorer, usual_tiles
from deblur_models.restore.restorer import Restorer
from deblur_models.serve import Limits, Service, bind, guard, make_server
from deblur_models.serve import server as server_module


class Negative:
    """Restores a picture to its negative, so that no result is taken for that of another picture.

    Waits for ``gate`` before each batch, and keeps the shapes of all of them, but not of the first, the warm-up.
    """

    name = "negative"
    needs_kernel = False

    def __init__(self) -> None:
        self.gate, self.begun, self.shapes = threading.Event(), threading.Semaphore(0), list[tuple[int, ...]]()
        self.gate.set()
        self.is_warm = False

    def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
        if self.is_warm:
            self.shapes.append(tuple(blurred.shape))
            self.begun.release()
            assert self.gate.wait(30)
        self.is_warm = True
        return 1 - blurred


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        assert self.headers["content-type"] == "application/json"
        text = json.loads(self.body)["error"]
        for leak in ("<memory", "Traceback", ".py", str(Path.home()), "/tmp"):
            assert leak not in text
        return str(text)

    @property
    def codes(self) -> NDArray[Any]:
        return np.asarray(Image.open(io.BytesIO(self.body)))


@dataclass
class Client:
    """Asks the server, each time over a connection of its own."""

    port: int
    service: Service
    server: Any
    thread: threading.Thread

    def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def restore(self, data: Any, query: str = "", **headers: str) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/restore{query}", data, {"Content-Type": "image/png"} | given)

    def connect(self, sent: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.sendall(sent)
        return connection

    def count(self, name: str) -> float:
        """A number of /metrics."""
        lines = self.ask("GET", "/metrics").body.decode().splitlines()
        (line,) = (line for line in lines if line.startswith(f"{name} "))
        return float(line.rpartition(" ")[2])

    def outcome(self, name: str) -> float:
        return self.count(f'deblur_requests_total{{outcome="{name}"}}')


@contextmanager
def serving(restorer: Restorer, **limits: Any) -> Iterator[Client]:
    service = Service(restorer, Limits(**limits))
    with bind("127.0.0.1", 0) as listener:
        server = make_server(service)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield Client(listener.getsockname()[1], service, server, thread)
        finally:
            if isinstance(restorer, Negative):
                restorer.gate.set()
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive(), "the server does not end"
    until(lambda: (service.requests, service.held_bytes) == (0, 0), "a request has left something behind")


def until(holds: Callable[[], bool], why: str = "") -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, why
        time.sleep(0.01)


def picture(seed: int = 0, height: int = 20, width: int = 30, channels: int = 3, top: int = 256) -> NDArray[Any]:
    rng = np.random.Generator(np.random.Philox(seed))
    return rng.integers(0, top, (height, width, channels), np.uint8 if top == 256 else np.uint16)


def encoded(codes: NDArray[Any], kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(codes[..., 0] if codes.shape[-1] == 1 else codes).save(file, kind, **options)
    return file.getvalue()


HEAD = b"POST /restore HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"


# What comes back


@pytest.fixture(scope="module")
def network() -> NetworkRestorer:
    torch.manual_seed(1)
    made = create_network("nafnet", "tiny", width=4)
    return NetworkRestorer(made, **usual_tiles(made))


def test_answers_are_the_files_that_apply_writes(network: NetworkRestorer, tmp_path: Path) -> None:
    import cv2

    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "Maker", 6
    rgba = np.dstack([picture(), picture(1, channels=1)])
    files = {
        "turned.jpg": encoded(picture(), "JPEG", exif=tags),
        "color.png": encoded(picture(), dpi=(300, 300)),
        "gray.png": encoded(picture(channels=1)),
        "clear.png": encoded(rgba),
        "deep.png": cv2.imencode(".png", picture(top=65536))[1].tobytes(),
        "deep.tif": cv2.imencode(".tif", picture(top=65536))[1].tobytes(),
        "a.webp": encoded(picture(), "WEBP"),
        "a.bmp": encoded(picture(), "BMP"),
        "gray.pgm": encoded(picture(channels=1), "PPM"),
        "palette.gif": encoded(picture(channels=1), "GIF"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    plan = plan_files([tmp_path / name for name in files], tmp_path / "out")
    assert restore_files(plan.jobs, network, strength=0.6).failed == []
    kinds = {".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff", ".webp": "image/webp",
             ".bmp": "image/bmp", ".pgm": "image/x-portable-graymap"}  # fmt: skip
    with serving(network) as client:
        for (_, target), (name, data) in zip(plan.jobs, files.items(), strict=True):
            answer = client.restore(data, "?strength=0.6")
            assert answer.status == 200, (name, answer.body)
            assert answer.body == target.read_bytes(), name
            assert answer.headers["content-type"] == kinds[target.suffix], name
        assert client.restore(files["turned.jpg"]).body != client.restore(files["turned.jpg"], "?strength=0.6").body


@pytest.mark.slow
@pytest.mark.parametrize("size_px", [None, (48, 48)])
def test_exported_networks_are_served_as_any_other(size_px: tuple[int, int] | None, tmp_path: Path) -> None:
    from deblur_models.export import export_network
    from deblur_models.restore.opening import open_network

    torch.manual_seed(1)
    export_network(create_network("drunet", "tiny"), tmp_path / "net.onnx", size_px=size_px, runtimes=["onnxruntime"])
    restorer = NetworkRestorer(open_network(tmp_path / "net.onnx"), tile_px=48)
    files = [encoded(picture(seed, *size)) for seed, size in enumerate([(40, 40), (39, 33), (40, 40), (100, 90)])]
    for number, data in enumerate(files):
        (tmp_path / f"{number}.png").write_bytes(data)
    plan = plan_files([tmp_path / f"{number}.png" for number in range(4)], tmp_path / "out")
    restore_files(plan.jobs, restorer)
    with serving(restorer, batch_px=10_000, batch_wait_s=0.5) as client, ThreadPoolExecutor() as pool:
        for (_, target), answer in zip(plan.jobs, pool.map(client.restore, files), strict=True):
            # Of batches as near as floating-point sums in another order: a code now and then.
            difference = np.abs(answer.codes.astype(int) - np.asarray(Image.open(target)))
            assert difference.max() <= 1
            assert difference.mean() < 0.01
        assert client.count("deblur_batch_pictures_count") < 4


def test_another_format_if_asked_for() -> None:
    import cv2

    with serving(Negative()) as client:
        answer = client.restore(encoded(picture(), "BMP"), "?format=png")
        assert answer.headers["content-type"] == "image/png"
        assert (answer.codes == 255 - picture()).all()
        clear = encoded(np.dstack([picture(), picture(1, channels=1)]))
        assert "has transparency, which format=jpg cannot hold" in client.restore(clear, "?format=jpg").error
        deep = cv2.imencode(".png", picture(top=65536))[1].tobytes()
        assert "has 16 bits per channel, which format=webp cannot hold" in client.restore(deep, "?format=webp").error
        assert client.restore(deep, "?format=tif").status == 200


def test_pictures_of_many_clients_are_not_mixed_up() -> None:
    sizes = [(20, 30), (30, 20), (24, 24)]
    restorer = Negative()

    def one(client: Client, seed: int) -> None:
        codes = picture(seed, *sizes[seed % 3])
        strength = (1.0, 0.0, 0.5)[seed // 3 % 3]
        answer = client.restore(encoded(codes), f"?strength={strength}")
        assert answer.status == 200
        values = codes / np.float32(255)
        assert (answer.codes == np.rint((values + np.float32(strength) * (1 - 2 * values)) * 255)).all(), seed

    with serving(restorer, requests=64, batch_px=4 * 600) as client:
        restorer.gate.clear()
        with ThreadPoolExecutor(48) as pool:
            answers = [pool.submit(one, client, seed) for seed in range(48)]
            until(lambda: client.count("deblur_queue_pictures") >= 44)  # all but the batch that waits at the gate
            restorer.gate.set()
            for answer in answers:
                answer.result()
        assert max(shape[0] for shape in restorer.shapes) == 4
        assert client.count("deblur_batch_pictures_sum") == 48
        assert client.count("deblur_batch_pictures_count") == len(restorer.shapes)
        assert client.count('deblur_request_seconds_bucket{le="+Inf",outcome="restored"}') == 48


# Limits


def test_large_uploads_are_refused() -> None:
    with serving(Negative(), upload_bytes=50_000, picture_px=1000) as client:
        assert client.restore(encoded(picture(0, 20, 50))).status == 200
        answer = client.restore(encoded(picture(0, 20, 51)))
        assert (answer.status, answer.error) == (
            413, "The picture has 51 x 20 px, more than the 0.001 megapixels that this server takes.",
        )  # fmt: skip
        for body in (b"x" * 50_001, iter([b"x" * 10_000] * 6)):  # the second in chunks, without its length
            answer = client.restore(body)
            assert answer.status == 413
            assert answer.error == "The upload has more than the 0.05 MB that this server takes."
        assert client.outcome("too_large") == 3
        # A length alone is refused before any of the body is sent.
        with client.connect(HEAD + b"Content-Length: 99999999999\r\n\r\n") as connection:
            assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_in_chunks_without_an_end_is_cut_off() -> None:
    with serving(Negative(), upload_bytes=100_000) as client:
        connection = client.connect(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        sent = 0
        with connection, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while sent < 100_000_000:
                connection.sendall(b"8000\r\n" + bytes(0x8000) + b"\r\n")
                sent += 0x8000
        assert sent < 10_000_000
        assert client.outcome("too_large") == 1


def test_memory_is_set_aside_before_it_is_used() -> None:
    restorer = Negative()
    one = encoded(picture(0, 100, 100))
    # Twice the upload, and 70 bytes of a pixel: 10 as Pillow decodes it, 60 as it is restored and encoded.
    needed = 2 * len(one) + 70 * 100 * 100
    with serving(restorer, upload_bytes=100_000, memory_bytes=2 * needed - 1) as client:
        restorer.gate.clear()
        with ThreadPoolExecutor() as pool:
            first = pool.submit(client.restore, one)
            assert restorer.begun.acquire(timeout=10)
            assert client.count("deblur_held_bytes") == needed
            second = client.restore(one)
            assert (second.status, second.headers["retry-after"]) == (429, "1")
            restorer.gate.set()
            assert first.result().status == 200
        assert "more memory than this server has" in client.restore(encoded(picture(0, 150, 150, 1))).error


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    restorer = Negative()
    with serving(restorer, requests=2) as client:
        assert client.ask("GET", "/health/ready").status == 200
        restorer.gate.clear()
        with ThreadPoolExecutor() as pool:
            served = [pool.submit(client.restore, encoded(picture(seed))) for seed in range(2)]
            until(lambda: client.service.requests == 2)
            answer = client.restore(bytes(30_000_000))  # more than the buffers of a connection hold
            assert answer.status == 429
            assert answer.error.startswith("The server has as many pictures as it takes")
            assert int(answer.headers["retry-after"]) >= 1
            assert client.ask("GET", "/health/ready").status == 503
            assert client.ask("GET", "/health/live").status == 200
            restorer.gate.set()
            assert [one.result().status for one in served] == [200, 200]
        assert (client.outcome("queue_full"), client.outcome("restored")) == (1, 2)


def test_nothing_is_lost_at_ten_times_what_the_server_takes() -> None:
    with serving(Negative(), requests=8) as client, ThreadPoolExecutor(80) as pool:
        statuses = [one.status for one in pool.map(client.restore, [encoded(picture(0, 200, 200))] * 80)]
        assert set(statuses) <= {200, 429}
        assert client.outcome("restored") == statuses.count(200) >= 8
        assert client.outcome("queue_full") == statuses.count(429)


def test_a_picture_that_takes_too_long_is_answered_and_dropped() -> None:
    restorer = Negative()
    with serving(restorer, timeout_s=0.3) as client:
        restorer.gate.clear()
        with ThreadPoolExecutor() as pool:
            first = pool.submit(client.restore, encoded(picture(0)))
            assert restorer.begun.acquire(timeout=10)
            second = client.restore(encoded(picture(1)))
            assert (second.status, first.result().status) == (503, 503)
            assert "not restored within 0.3 s" in second.error
            assert int(second.headers["retry-after"]) >= 1
        until(lambda: client.count("deblur_queue_pictures") == 0)
        restorer.gate.set()
        assert client.restore(encoded(picture(2))).status == 200
        assert len(restorer.shapes) == 2  # the second was never restored


def test_a_client_that_hangs_up_leaves_the_queue() -> None:
    restorer = Negative()
    data = encoded(picture(1))
    with serving(restorer) as client:
        restorer.gate.clear()
        with ThreadPoolExecutor() as pool:
            first = pool.submit(client.restore, encoded(picture(0)))
            assert restorer.begun.acquire(timeout=10)
            connection = client.connect(HEAD + f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
            until(lambda: client.count("deblur_queue_pictures") == 1)
            connection.close()
            until(lambda: client.count("deblur_queue_pictures") == 0)
            restorer.gate.set()
            assert (first.result().codes == 255 - picture(0)).all()
        assert (len(restorer.shapes), client.outcome("client_gone")) == (1, 1)


def test_a_network_stops_between_tiles_when_nobody_waits() -> None:
    network = create_network("nafnet", "tiny", width=4)
    tiled = NetworkRestorer(network, tile_px=16, overlap_px=0)
    tiles, real = [0], tiled._network

    def slow(tile: Tensor) -> Tensor:
        tiles[0] += 1
        time.sleep(0.02)
        return real(tile)

    tiled._network = slow  # type: ignore[method-assign]
    with serving(tiled, timeout_s=0.2) as client:
        assert client.restore(encoded(picture(0, 320, 320))).status == 503  # 400 tiles, 8 s
        until(lambda: client.service.requests == 0)
        assert tiles[0] < 100


# Slow clients


def test_a_slow_upload_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "_DRAIN_S", 0.1)
    with serving(Negative(), transfer_timeout_s=0.3) as client:
        with client.connect(HEAD + b"Content-Length: 1000\r\n\r\n") as connection:
            begun = time.monotonic()
            for _ in range(4):
                connection.sendall(b"x")
                time.sleep(0.1)
            answer = connection.recv(1000)
            assert answer.startswith(b"HTTP/1.1 408 ")
            assert b"The upload took more than 0.3 s." in answer
            assert connection.recv(1000) == b""
            assert 0.3 < time.monotonic() - begun < 5
        assert client.outcome("slow_upload") == 1


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: "])
def test_a_connection_without_a_request_ends(sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_HEAD_S", 0.2)
    with serving(Negative()) as client, client.connect(sent) as connection:
        if not sent:
            assert connection.recv(10) == b""
            return

        def a_byte_at_a_time() -> None:
            for _ in range(100):
                connection.sendall(b"x")
                time.sleep(0.05)

        with pytest.raises(OSError, match=r"reset|pipe"):
            a_byte_at_a_time()


def test_a_second_request_may_not_be_slower_than_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_HEAD_S", 0.2)
    with serving(Negative()) as client, client.connect() as connection:
        for _ in range(2):
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                answer += connection.recv(10_000)
            time.sleep(0.3)  # idle, which is allowed for longer
        connection.sendall(b"GET /health/live HTTP/1.1\r\n")
        time.sleep(0.1)
        connection.sendall(b"Host: ")
        begun = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
        assert time.monotonic() - begun < 2  # sooner than what is idle


def test_a_client_that_does_not_take_its_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_STALLED_S", 0.5)
    data = encoded(np.zeros((1600, 1600, 3), np.uint8))  # small, and 7.7 MB as a bitmap
    head = HEAD.replace(b"/restore", b"/restore?format=bmp") + f"Content-Length: {len(data)}\r\n\r\n".encode()
    with serving(Negative(), transfer_timeout_s=0.5) as client:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with connection:
            connection.connect(("127.0.0.1", client.port))
            connection.sendall(head + data)
            until(lambda: len(client.server.server_state.connections) == 1)
            until(lambda: not client.server.server_state.connections, "the connection is still open")
        assert client.outcome("slow_download") == 1
        assert client.service.requests == 0


# Malformed uploads


def forged_png(height: int, width: int) -> bytes:
    import struct
    import zlib

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def scans(count: int) -> bytes:
    """A progressive JPEG file, its last scan repeated."""
    data = encoded(picture(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + data[-2:]


MALFORMED: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 422, "no body"),
    "text": (b"hello", 422, "The upload is not a picture that can be read."),
    "a program": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 422, "is not a picture"),
    "vectors": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "is not a picture"),
    "cut PNG": (encoded(picture())[:-400], 422, "damaged"),
    "cut JPEG": (encoded(picture(), "JPEG")[:600], 422, "damaged"),
    "flipped": (encoded(picture()).replace(b"IDAT", b"IDAU"), 422, "The upload "),
    "bomb": (forged_png(20_000, 20_000), 413, "20000 x 20000 px"),
    "larger bomb": (forged_png(200_000, 200_000), 422, "200000 x 200000 px"),
    "no pixels": (forged_png(4000, 4000), 422, "damaged"),
    "scans": (scans(600), 422, "more than 500 scans"),
    "light": (encoded(np.zeros((4, 4, 1), np.float32), "TIFF"), 422, "holds light"),
    "OpenEXR": (b"\x76\x2f\x31\x01" + bytes(100), 422, "The upload "),
    "HEIF": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", 422, "The upload "),
}


def test_malformed_uploads_are_refused_one_by_one() -> None:
    with serving(Negative()) as client:
        for name, (data, status, text) in MALFORMED.items():
            answer = client.restore(data)
            assert (answer.status, text in answer.error) == (status, True), (name, answer.status, answer.body)
        assert client.restore(scans(3)).status == 200  # a few are usual
        rng = np.random.Generator(np.random.Philox(5))
        whole = [encoded(picture(), kind) for kind in ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP", "AVIF")]
        for number in range(60):
            data = bytearray(whole[number % len(whole)])
            for place in rng.integers(0, len(data), 8):
                data[place] = rng.integers(0, 256)
            answer = client.restore(bytes(data))
            assert answer.status in (200, 413, 422), answer.body
            assert answer.status == 200 or answer.error
        assert client.outcome("failed") == 0


OTHERS: list[tuple[str, dict[str, str], int, str]] = [
    ("?strength=2", {}, 422, "strength: Input should be less than or equal to 1.5."),
    ("?strength=nan", {}, 422, "strength: "),
    ("?format=exe", {}, 422, "format: Input should be 'png', "),
    ("?formt=png", {}, 422, "formt: Extra inputs are not permitted."),
    ("", {"Content_Type": "text/html"}, 415, "The body must be the picture file as it is"),
    ("", {"Content_Type": "multipart/form-data; boundary=x"}, 415, "The body must be the picture file as it is"),
    ("", {"Content_Type": ""}, 415, "The body must be the picture file as it is"),
    ("", {"Content_Encoding": "gzip"}, 415, "must not be compressed"),
]


def test_other_requests_are_refused() -> None:
    with serving(Negative()) as client:
        for query, headers, status, text in OTHERS:
            answer = client.restore(encoded(picture()), query, **headers)
            assert (answer.status, text in answer.error) == (status, True), answer.body
        assert client.outcome("bad_request") == len(OTHERS)


def test_what_is_no_http_is_no_trouble() -> None:
    with serving(Negative()) as client:
        for sent in (b"\x16\x03\x01 TLS\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000, b"POST / HTTP/1.1\r\n"
                     b"Host: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n"):  # fmt: skip
            with client.connect() as connection:
                connection.sendall(sent)
                assert connection.recv(100).startswith(b"HTTP/1.1 4")
        assert client.ask("GET", "/nothing").error == "Not Found."
        assert client.ask("GET", "/restore").error == "Method Not Allowed."
        assert client.ask("GET", "/docs").status == 404
        assert client.ask("GET", "/openapi.json").status == 200


def test_an_error_of_the_network_shows_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Negative):
        def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
            if (blurred.amin((1, 2, 3)) == 1).any():
                raise RuntimeError("secret in /home/somebody/network.py")
            return super().restore(blurred)

    restorer = Broken()
    white = encoded(np.full((20, 30, 3), 255, np.uint8))
    with serving(restorer, batch_px=10_000) as client:
        restorer.gate.clear()
        with ThreadPoolExecutor() as pool:
            first = pool.submit(client.restore, encoded(picture(9, 8, 8)))
            assert restorer.begun.acquire(timeout=10)
            answers = [pool.submit(client.restore, data) for data in (encoded(picture(1)), white, encoded(picture(2)))]
            until(lambda: client.count("deblur_queue_pictures") == 3)
            restorer.gate.set()
            good, bad, other = (answer.result() for answer in answers)
            assert first.result().status == 200
        assert (bad.status, bad.error) == (500, "The picture cannot be restored.")
        # The others of its batch are none the worse.
        assert (good.codes == 255 - picture(1)).all()
        assert (other.codes == 255 - picture(2)).all()
        assert client.ask("GET", "/health/live").status == 200
    assert "secret" in caplog.text


def test_a_result_that_is_no_number_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Negative):
        def restore(self, blurred: Tensor, kernels: NDArray[np.floating] | None = None) -> Tensor:
            return blurred * float("nan")

    with serving(Broken()) as client:
        answer = client.restore(encoded(picture()))
        assert (answer.status, answer.error) == (500, "The server failed; its log says why.")
        assert client.outcome("failed") == 1
    assert "NaN" in caplog.text


# Browsers


def test_other_websites_cannot_use_it() -> None:
    with serving(Negative()) as client:
        here = f"127.0.0.1:{client.port}"
        for host, status in {here: 200, f"localhost:{client.port}": 200, "[::1]": 200, "evil.example": 403,
                             f"127.0.0.1.evil.example:{client.port}": 403, "": 403}.items():  # fmt: skip
            assert client.ask("GET", "/health/live", headers={"Host": host}).status == status, host
            assert client.restore(encoded(picture()), Host=host).status == status, host
        for origin, status in {f"http://{here}": 200, "https://evil.example": 403, "null": 403, "": 403,
                               "http://127.0.0.1:1": 403}.items():  # fmt: skip
            answer = client.restore(encoded(picture()), Origin=origin)
            assert answer.status == status, origin
            assert not [name for name in answer.headers if name.startswith("access-control")]
        preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        assert client.ask("OPTIONS", "/restore", headers=preflight).status == 403
        for path in ("/", "/metrics", "/health/live", "/nothing"):
            headers = client.ask("GET", path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_names_may_be_agreed_on() -> None:
    assert guard.is_known_host("Box.lan:80", ["box.lan"])
    assert not guard.is_known_host("box.lan.evil.example", ["box.lan"])


def test_the_page_asks_nothing_of_others() -> None:
    class Named(Negative):
        name = "<script>alert(1)</script>"

    with serving(Named()) as client:
        answer = client.ask("GET", "/")
        page = answer.body.decode()
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        assert page.count("<script>") == 1
        assert "http:" not in page
        assert "https:" not in page
        assert " style=" not in page
        assert " onclick=" not in page


# Disks and the end


def test_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    opened: list[tuple[object, ...]] = []
    watching = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if watching and event in ("open", "os.mkdir", "os.rename", "os.link", "tempfile.mkstemp", "tempfile.mkdtemp"):
            path, mode, flags = (*arguments, None, 0)[:3]
            if event != "open" or (isinstance(flags, int) and flags & 3) or set(str(mode)) & set("wax+"):
                opened.append((event, path, mode, flags))

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_mtime_ns  # of a folder: changed by a file that is made, even if it is removed at once
    data = encoded(picture(0, 1000, 900))  # 2.7 MB: Starlette keeps parts of forms above 1 MB in files
    with serving(Negative()) as client:
        client.restore(encoded(picture()))
        sys.addaudithook(hook)
        try:
            assert client.restore(data).status == 200
            assert client.restore(iter([data[:2_000_000], data[2_000_000:]]), "?format=tif").status == 200
            assert client.restore(data[:-9]).status == 422
            assert client.restore(data, Content_Type="multipart/form-data; boundary=x").status == 415
        finally:
            watching = False  # a hook cannot be removed
    assert opened == []
    assert (tmp_path.stat().st_mtime_ns, list(tmp_path.iterdir())) == (before, [])


def test_a_server_that_stops_finishes_what_runs_and_refuses_the_rest() -> None:
    restorer = Negative()
    with serving(restorer) as client, ThreadPoolExecutor() as pool:
        restorer.gate.clear()
        running = pool.submit(client.restore, encoded(picture(0)))
        assert restorer.begun.acquire(timeout=10)
        waiting = pool.submit(client.restore, encoded(picture(1, 8, 8)))
        until(lambda: client.count("deblur_queue_pictures") == 1)
        uploading = client.connect(HEAD + b"Content-Length: 1000\r\n\r\nabc")
        until(lambda: client.service.requests == 3)
        client.server.should_exit = True
        for answer in (waiting.result(), Answer(503, {}, b"")):
            assert answer.status == 503
        assert waiting.result().error == "The server is shutting down."
        assert int(waiting.result().headers["retry-after"]) > 0
        with uploading:
            assert uploading.recv(1000).startswith(b"HTTP/1.1 503 ")
        with pytest.raises(OSError, match="refused"):
            client.connect()
        assert client.thread.is_alive()
        restorer.gate.set()
        assert (running.result().codes == 255 - picture(0)).all()
        client.thread.join(10)
        assert not client.thread.is_alive()
        assert len(restorer.shapes) == 1


# Settings


def test_limits_that_cannot_work_are_refused() -> None:
    for name, value in {"upload_bytes": 0, "picture_px": -1, "timeout_s": float("nan"), "requests": 0,
                        "batch_wait_s": 11.0, "memory_bytes": 1000}.items():  # fmt: skip
        with pytest.raises(InvalidValueError, match=f"^{name} must be "):
            Limits(**{name: value})  # type: ignore[arg-type]


def test_methods_that_need_a_kernel_are_refused() -> None:
    from deblur_models.classical import make_classical

    with pytest.raises(InvalidValueError, match=r"^wiener needs the kernel of each picture"):
        Service(make_classical({"kind": "wiener"}))


def test_a_port_that_is_taken_is_an_error() -> None:
    with bind("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(InvalidValueError, match=rf"^127\.0\.0\.1:{port} cannot be listened on \(Address already"):
            bind("127.0.0.1", port)
    with pytest.raises(InvalidValueError, match="cannot be listened on"):
        bind("192.0.2.1", 0)  # an address for documentation, which nobody has
