"""``python -m deblur_models.export.in_opencv MODEL PICTURES RESULTS``: pictures through OpenCV's DNN module.

A process of its own, since OpenCV ends the process on some graphs that it cannot run. PICTURES and RESULTS are .npz
files of arrays ``[B, 3, H, W]`` by name.
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np

__all__ = ["main"]


def main(model: str, pictures: str, results: str) -> None:
    """Run the graph on every picture."""
    net = cv2.dnn.readNetFromONNX(model)
    made: dict[str, Any] = {}
    with np.load(pictures, allow_pickle=False) as given:
        for name in given.files:
            net.setInput(given[name])
            made[name] = np.array(net.forward())
    np.savez(results, **made)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except cv2.error as error:
        sys.exit(" ".join(str(error).split()))
