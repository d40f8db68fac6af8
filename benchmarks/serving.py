"""``deblur serve`` under load: pictures per second and latency with and without batches, and what overload loses.

``python benchmarks/run.py serving`` writes the tables; some minutes. Servers are processes of their own, on the
loopback interface, with the network that ships; clients are threads of this one. Each client has one connection and
sends the next picture when it has the last. Settings are measured in turn, and the best of the rounds counts, since
other programs can only make one slower.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import psutil
import skimage.data
from measure import machine, table, version
from PIL import Image

CLIENTS, EACH, ROUNDS = 16, 4, 3
SETTINGS = {  # pixels that are restored together, and the wait for them
    "one by one": (1, 0),
    "0.066 MP": (1 << 16, 0),
    "1 MP": (1 << 20, 0),
    "1 MP, 10 ms": (1 << 20, 10),
}
SIDES_PX = {
    "64 px": [64],
    "128 px": [128],
    "256 px": [256],
    "mixed": [64, 96, 128, 128, 192, 256, 256, 384],
}
OVERLOAD = {  # ten times as many clients as pictures are taken
    "8 in work": ("--requests", "8"),
    "8 in work, 1 s at the most": ("--requests", "8", "--timeout", "1"),
}


def main() -> str:
    head = (
        f"`deblur serve` with the network `photographs`, JPEG files over the loopback interface: {machine()}; "
        f"{version('torch')}, {version('uvicorn')}, {version('fastapi')}."
    )
    batches = (
        f"{CLIENTS} clients at a time, {CLIENTS * EACH} square pictures, best of {ROUNDS} rounds taken in turn. "
        "Settings: pixels that are restored together, and how long a picture waits for others if the network is idle. "
        "`mixed` has sides of 64 to 384 px. Processor time is that of the server, per picture. Other programs "
        f"(load average {os.getloadavg()[0]:.0f} at the start) change the other figures, but not this one."
    )
    lost = (
        f"{CLIENTS * 5} clients at the same time send five pictures of 256 px each to a server that takes 8, and go on "
        "at once whatever the answer is. Lost are requests without an answer."
    )
    return (
        f"## Serving\n\n{head}\n\n{batches}\n\n{table(BATCH_COLUMNS, batch_lines())}\n\n"
        f"{lost}\n\n{table(OVERLOAD_COLUMNS, overload_lines())}\n"
    )


BATCH_COLUMNS = "pictures", "setting", "processor time", "to one by one", "pictures/s", "p50", "p99"
OVERLOAD_COLUMNS = "server", "requests", "200", "429", "503", "lost", "p50 of 200", "p50 of others", "p99 of others"


def batch_lines() -> list[list[str]]:
    best: dict[tuple[str, str], Load] = {}
    least_s: dict[tuple[str, str], float] = {}
    with ExitStack() as servers:
        running = {
            name: servers.enter_context(
                serving("--batch-megapixels", f"{px / 1e6:.6f}", "--batch-wait-ms", str(wait_ms), "--requests", "64")
            )
            for name, (px, wait_ms) in SETTINGS.items()
        }
        for _ in range(ROUNDS):
            for pictures, sides in SIDES_PX.items():
                files = [photograph(side) for side in sides]
                for setting, (port, server) in running.items():
                    load = Load(port, files, CLIENTS, EACH)
                    before_s = sum(server.cpu_times()[:2])
                    load.run()
                    assert load.answers == {200: CLIENTS * EACH}, load.answers
                    spent_s = (sum(server.cpu_times()[:2]) - before_s) / (CLIENTS * EACH)
                    row = pictures, setting
                    least_s[row] = min(spent_s, least_s.get(row, spent_s))
                    if row not in best or load.per_second > best[row].per_second:
                        best[row] = load
    lines = []
    for (pictures, setting), load in sorted(best.items(), key=lambda item: list(SIDES_PX).index(item[0][0])):
        row, first = (pictures, setting), (pictures, "one by one")
        lines.append(
            [
                pictures,
                setting,
                f"{1000 * least_s[row]:.1f} ms",
                f"{least_s[row] / least_s[first]:.2f}",
                f"{load.per_second:.0f}",
                *(load.cell(p) for p in (50, 99)),
            ]
        )
    return lines


def overload_lines() -> list[list[str]]:
    lines = []
    for name, options in OVERLOAD.items():
        with serving(*options) as (port, _):
            load = Load(port, [photograph(256)], 5 * CLIENTS, 5)
            load.run()
        total, answered = 5 * CLIENTS * 5, sum(load.answers.values())
        lines.append(
            [
                name,
                str(total),
                *(str(load.answers[status]) for status in (200, 429, 503)),
                str(total - answered),
                load.cell(50, 200),
                *(load.cell(p, 429, 503) for p in (50, 99)),
            ]
        )
    return lines


@contextmanager
def serving(*options: str) -> Iterator[tuple[int, psutil.Process]]:
    """The port and process of a server, once its network is ready."""
    command = [sys.executable, "-m", "deblur_models", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+) ", process.stdout.readline())
            assert found, "the server does not start"
            port = int(found[1])
            while ask(http.client.HTTPConnection("127.0.0.1", port), "GET", "/health/ready", b"") != 200:
                time.sleep(0.1)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: bytes) -> int:
    connection.request(method, path, body, {"Content-Type": "image/jpeg"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


@dataclass
class Load:
    """What clients at a time get, each over one connection; one that is closed on them they open anew."""

    port: int
    files: Sequence[bytes]
    clients: int
    each: int
    seconds: float = 0.0
    answers: Counter[int] = field(default_factory=Counter)
    times_s: list[tuple[int, float]] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.clients * self.each / self.seconds

    def cell(self, percent: float, *statuses: int) -> str:
        """A percentile of the times of answers with these statuses, or of all."""
        times = [spent for status, spent in self.times_s if not statuses or status in statuses]
        return f"{1000 * np.percentile(times, percent):.0f} ms" if times else ""

    def run(self) -> None:
        together = threading.Barrier(self.clients + 1)
        threads = [threading.Thread(target=self._client, args=(number, together)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        together.wait()
        begun = time.perf_counter()
        for thread in threads:
            thread.join()
        self.seconds = time.perf_counter() - begun

    def _client(self, number: int, together: threading.Barrier) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        together.wait()
        for turn in range(self.each):
            body = self.files[(number + turn) % len(self.files)]
            begun = time.perf_counter()
            try:
                status = ask(connection, "POST", "/restore", body)
            except (OSError, http.client.HTTPException):  # without an answer
                connection.close()
                continue
            self.answers[status] += 1
            self.times_s.append((status, time.perf_counter() - begun))
        connection.close()


def photograph(side_px: int) -> bytes:
    """A square from the middle of a photograph of scikit-image, as JPEG."""
    codes = skimage.data.astronaut()
    top, left = (codes.shape[0] - side_px) // 2, (codes.shape[1] - side_px) // 2
    file = BytesIO()
    Image.fromarray(codes[top : top + side_px, left : left + side_px]).save(file, "JPEG", quality=95)
    return file.getvalue()


if __name__ == "__main__":
    print(main())
