"""What numbers of samples cost that nobody renders here: planning, opening and ordering up to 10^9.

``python benchmarks/run.py scale``, a minute. Each line is a process of its own, so that its memory is its own. Samples
are planned as always; the data set that is opened is described and indexed, without its shards.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from measure import machine, table

import blursynth as bs
from blursynth.dataset.generate import prepare
from blursynth.dataset.index import Digest, Index
from blursynth.dataset.order import WindowOrder

COUNTS = 10**6, 10**7, 10**8, 10**9
NONE = "0" * 64


def main() -> str:
    columns = ["samples", "shards", "planned", "one sample placed", "opened", "first batch of an epoch", "any batch"]
    lines = []
    for count in COUNTS:
        found = {name: _alone(name, count) for name in MEASURED}
        lines.append(
            [
                f"10^{len(str(count)) - 1}",
                f"{found['planned'][2]:,.0f}",
                _cell(found["planned"]),
                f"{1e6 * found['placed'][0]:.0f} us",
                *(_cell(found[name]) for name in ("opened", "ordered")),
                f"{1e6 * found['ordered'][2]:.0f} us",
            ]
        )
    head = (
        f"Samples of 256 px, recipe `default`, scikit-image's photographs: {machine()}. Seconds, and in brackets how "
        "much more memory the process took. `planned` is `bs.plan` with its 2,000 draws and two samples rendered; "
        "`opened` is `bs.open_dataset`; batches are of 32 samples in the order of `bs.BatchOrder`."
    )
    return f"## Scale\n\n{head}\n\n{table(columns, lines)}\n"


def _cell(found: list[float]) -> str:
    return f"{found[0]:.2f} s (+{found[1]:.0f} MiB)"


def _alone(name: str, count: int) -> list[float]:
    """Seconds, MiB, and another number, measured in a process of its own."""
    run = subprocess.run([sys.executable, __file__, name, str(count)], check=True, capture_output=True, text=True)
    return [float(value) for value in json.loads(run.stdout)]


def _timed(work: Callable[[], float]) -> list[float]:
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    other = work()
    took = time.perf_counter() - start
    return [took, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, other]


def _request(count: int) -> bs.DatasetRequest:
    return bs.DatasetRequest(sources="bundled:training", recipe="default", count=count, size_px=256)


def planned(folder: str, count: int) -> list[float]:
    request = _request(count)
    bs.plan(request.replace(count=1000), workers=1, trials=2)  # libraries, kernels
    return _timed(lambda: bs.plan(request, workers=1, trials=2).shards)


def placed(folder: str, count: int) -> list[float]:
    renderer = prepare(_request(count), workers=1).renderer
    renderer.place(0)
    several = _timed(lambda: sum(renderer.place(count - 1 - i).index for i in range(200)))
    return [several[0] / 200, several[1], 0.0]


def opened(folder: str, count: int) -> list[float]:
    out = Path(folder, "pairs")
    out.mkdir()
    spec = prepare(_request(count), workers=1).spec
    index = Index(spec.sha256(), spec.count, spec.shards, 0, Digest(NONE, NONE), NONE, (NONE,), {})
    (out / "dataset.json").write_bytes(spec.to_json())
    (out / "index.json").write_bytes(index.to_json())
    return _timed(lambda: len(bs.open_dataset(out)))


def ordered(folder: str, count: int) -> list[float]:
    def first() -> float:
        for position in range(32):
            order.at(0, position)
        start = time.perf_counter()
        for position in range(count // 2, count // 2 + 32):
            order.at(0, position)
        return time.perf_counter() - start

    order = WindowOrder(count, 1024, seed=1)
    return _timed(first)


MEASURED = {work.__name__: work for work in (planned, placed, opened, ordered)}

if __name__ == "__main__":
    if sys.argv[1:]:
        with tempfile.TemporaryDirectory() as made:
            print(json.dumps(MEASURED[sys.argv[1]](made, int(sys.argv[2]))))
    else:
        print(main())
