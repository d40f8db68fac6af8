"""The runtimes in which exported files are checked."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import DatasetError, InvalidValueError, did_you_mean, require
from blursynth.io.onnx_session import open_onnx

__all__ = ["RUNTIMES", "RuntimeFailure", "check_runtime", "run_in", "version_of"]

Pictures = Sequence[NDArray[np.float32]]

LONGEST_S = 900.0
"""Time after which OpenCV is stopped."""


class RuntimeFailure(DatasetError):
    """A runtime cannot load or run a graph."""


def _onnxruntime(path: Path, pictures: Pictures) -> list[NDArray[Any]]:
    session = open_onnx(path, purpose="Running exported networks", extra="onnx")
    name = session.get_inputs()[0].name
    return [np.asarray(session.run(None, {name: picture})[0]) for picture in pictures]


def _opencv(path: Path, pictures: Pictures) -> list[NDArray[Any]]:
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "pictures.npz", Path(folder) / "results.npz"
        named: dict[str, Any] = {f"{number:04}": picture for number, picture in enumerate(pictures)}
        np.savez(given, **named)
        words = [sys.executable, "-m", "deblur_models.export.in_opencv", str(path), str(given), str(made)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST_S, check=False)
        except subprocess.TimeoutExpired:
            raise RuntimeFailure(f"OpenCV: still running after {LONGEST_S:.0f} s.") from None
        if done.returncode < 0:
            raise RuntimeFailure(f"OpenCV: ends the process with signal {-done.returncode}.")
        if done.returncode:
            raise RuntimeFailure(f"OpenCV: {done.stderr.strip().splitlines()[-1]}")
        with np.load(made, allow_pickle=False) as found:
            return [found[name] for name in sorted(found.files)]


def _openvino(path: Path, pictures: Pictures) -> list[NDArray[Any]]:
    openvino = require("openvino", extra="openvino", purpose="OpenVINO")
    compiled = openvino.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [np.array(compiled(picture)[0]) for picture in pictures]


def _torch(path: Path, pictures: Pictures) -> list[NDArray[Any]]:
    import torch

    graph = torch.export.load(path).module()
    with torch.no_grad():
        return [graph(torch.from_numpy(picture)).numpy() for picture in pictures]


RUNTIMES: Mapping[str, tuple[str, Callable[[Path, Pictures], list[NDArray[Any]]]]] = {
    "onnxruntime": ("onnxruntime", _onnxruntime),
    "opencv": ("cv2", _opencv),
    "openvino": ("openvino", _openvino),
    "torch": ("torch", _torch),
}
"""Names of runtimes, their modules, and what runs pictures in them."""


def version_of(runtime: str) -> str:
    """The installed version of a runtime."""
    if runtime == "opencv":
        import cv2

        return str(cv2.__version__)
    return metadata.version(RUNTIMES[runtime][0])


def check_runtime(runtime: str) -> None:
    """Raise an error unless a runtime has this name."""
    if runtime not in RUNTIMES:
        raise InvalidValueError(f"There is no runtime {runtime!r}.", fix=did_you_mean(runtime, RUNTIMES))


def run_in(runtime: str, path: Path, pictures: Pictures) -> list[NDArray[Any]]:
    """The first output of a graph for each picture ``[B, 3, H, W]``.

    Raises
    ------
    RuntimeFailure
        The runtime cannot load or run it.
    InvalidValueError
        There is no such runtime.
    """
    check_runtime(runtime)
    try:
        return RUNTIMES[runtime][1](path, pictures)
    except (RuntimeFailure, ImportError):
        raise
    except Exception as error:  # each runtime has errors of its own
        reason = " ".join(str(error).split())
        raise RuntimeFailure(f"{runtime}: {reason[:300]}") from None
