"""Every network as an exported file: whether it gives the same pictures, its size, and its speed beside torch's.

Architectures of published size, with random weights, since what is asked is parity and time.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import torch
from measure import best_of_each, cores, machine, table, version

import deblur_models as dm
from deblur_models.export.exporting import Exported
from deblur_models.networks import ALL, Network

SIDE_PX = 256
REPEATS, SECONDS = 3, 1.0


def random_network(config: type) -> Network:
    """The published size, with weights that are nowhere 0, so that every layer shows in the result."""
    torch.manual_seed(1)
    network: Network = config.of_size().build().eval()
    with torch.no_grad():
        for weights in network.parameters():
            weights += (0.05 if weights.ndim == 1 else 0.001) * torch.randn_like(weights)
    return network


def largest(done: Exported, runtime: str) -> str:
    found = [one.largest for one in done.parity if one.runtime == runtime]
    return f"{max(found):.1e}" if found else "refused"


def measured(network: Network, folder: Path) -> list[object]:
    """The row of a network."""
    plain = dm.export_network(network, folder / "net.onnx", overwrite=True)
    half = dm.export_network(network, folder / "half.onnx", precision="float16", overwrite=True)
    picture = torch.rand(1, 3, SIDE_PX, SIDE_PX)
    exported, in_half = dm.OnnxNetwork(plain.path), dm.OnnxNetwork(half.path)
    opencv = cv2.dnn.readNetFromONNX(str(plain.path))

    def in_opencv() -> None:
        opencv.setInput(picture.numpy())
        opencv.forward()

    def in_bfloat16() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            network(picture)

    ways = {
        "torch": lambda: network(picture),
        "torch bfloat16": in_bfloat16,
        "ONNX Runtime": lambda: exported(picture),
        "float16": lambda: in_half(picture),
        "OpenCV": in_opencv,
    }
    with torch.inference_mode():
        best = best_of_each(ways, repeat=REPEATS, seconds=SECONDS)
    mega = SIDE_PX**2 / 1e6
    ratios = [f"{best['torch'] / best[name]:.2f}" for name in list(ways)[1:]]
    return [
        network.config.kind,
        f"{plain.bytes / 1e6:.1f}",
        f"{half.bytes / 1e6:.1f}",
        largest(plain, "onnxruntime"),
        largest(plain, "opencv"),
        largest(half, "onnxruntime"),
        f"{best['torch'] / mega:.1f}",
        *ratios,
    ]


def main(kinds: list[str] | None = None) -> str:
    """The section of BENCHMARKS.md."""
    torch.set_num_threads(cores())
    cv2.setNumThreads(cores())
    rows = []
    for config in ALL:
        if kinds and config.kind not in kinds:
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measured(random_network(config), Path(folder)))
        print(*rows[-1], file=sys.stderr, flush=True)
    head = [
        "network", "MB", "MB float16", "ONNX Runtime", "OpenCV", "float16", "torch s/Mpx", "torch bfloat16",
        "ONNX Runtime ", "ONNX Runtime float16", "OpenCV ",
    ]  # fmt: skip
    return (
        f"## Exported networks\n\n{machine()}; {version('torch')}, {version('onnxruntime')}, OpenCV {cv2.__version__}. "
        "Architectures of published size with random weights, `deblur export`, one graph for all sizes. Columns four "
        "to six: the largest difference of a pixel (0..1) from torch in float32, over three photographs of odd "
        f"sizes. The last four: how many times as fast as torch in float32, one picture of {SIDE_PX} x {SIDE_PX} px "
        f"at a time, all cores, in one run; the best of {REPEATS} or more.\n\n{table(head, rows)}"
    )


if __name__ == "__main__":
    print(main(sys.argv[1:]))
