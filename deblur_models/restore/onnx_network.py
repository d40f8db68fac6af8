"""Networks in ONNX files that ``deblur export`` wrote, run by ONNX Runtime in the place of torch modules."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from blursynth.errors import DatasetError, InvalidValueError, did_you_mean, require
from blursynth.io.folders import expanded
from blursynth.io.onnx_session import open_onnx
from deblur_models.networks import NetworkConfig, network_config
from deblur_models.networks.padding import mirror_pad

__all__ = ["FORMAT", "OnnxNetwork", "available_providers"]

FORMAT = "deblur_models 1"
"""Value of ``format`` in the metadata of files."""

_LONGEST_DESCRIPTION = 1 << 16


class OnnxNetwork(nn.Module):
    """A network in an ONNX file; maps ``[B, 3, H, W]`` in 0..1 to restored pictures, as the exported network did.

    Parameters
    ----------
    path
        A file written by :func:`~deblur_models.export.export_network`. It need not be trusted (see SECURITY.md).
    providers
        Execution providers of ONNX Runtime in order of preference, such as ``CUDAExecutionProvider``.
    threads
        Number of threads; by default as many as torch uses.

    Raises
    ------
    MissingExtraError
        ONNX Runtime is not installed.
    PictureError
        The file is missing, damaged, or not an ONNX model that ONNX Runtime can run.
    DatasetError
        It was not written by ``deblur export``.
    InvalidValueError
        There is no such provider in this installation.

    Notes
    -----
    ``config`` is the configuration of the network, ``about`` everything that the file says of itself, ``size_px`` the
    only size that it takes, or None. Pictures smaller than that size are padded. Its precision cannot be changed.
    """

    def __init__(
        self, path: str | Path, *, providers: Sequence[str] = ("CPUExecutionProvider",), threads: int | None = None
    ) -> None:
        super().__init__()
        self.path = expanded(path)
        _check_providers(providers)
        self._session = open_onnx(
            self.path,
            purpose="Running exported networks",
            extra="onnx",
            providers=providers,
            threads=torch.get_num_threads() if threads is None else threads,
        )
        self.about: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        if self.about.get("format") != FORMAT:
            raise DatasetError(
                f"{self.path}: was not written by deblur export (its metadata has format "
                f"{self.about.get('format')!r} instead of {FORMAT!r}).",
                why="The range of values, padding and tiles of other files are not known.",
            )
        self.config = _config(self.path, self.about)
        self.size_px = _fixed_size(self.path, self._session)
        self._input = self._session.get_inputs()[0].name

    @property
    def providers(self) -> tuple[str, ...]:
        """The execution providers in use."""
        return tuple(self._session.get_providers())

    def forward(self, blurred: Tensor) -> Tensor:
        """The restored pictures, on the device of ``blurred``, in float32."""
        given = blurred.detach().to("cpu", torch.float32)
        height, width = given.shape[-2:]
        if self.size_px is None:
            return self._run(given).to(blurred.device)
        rows, columns = self.size_px
        if height > rows or width > columns:
            raise InvalidValueError(
                f"{self.path}: takes pictures of {columns} x {rows} px at most, got {width} x {height} px.",
                fix="Restore larger ones in tiles of this size, or export the network for any size.",
            )
        padded = mirror_pad(given, 0, columns - width, 0, rows - height)
        restored = torch.cat([self._run(padded[i : i + 1]) for i in range(len(padded))])
        return restored[..., :height, :width].to(blurred.device)

    def _run(self, picture: Tensor) -> Tensor:
        try:
            (restored,) = self._session.run(None, {self._input: picture.contiguous().numpy()})
        except Exception as error:  # the runtime's own errors are of many types
            reason = " ".join(str(error).split())
            if "allocate memory" in reason:  # in the words of torch, so that smaller tiles are tried
                raise RuntimeError(f"can't allocate memory: {reason}") from None
            raise DatasetError(f"{self.path}: failed in ONNX Runtime ({reason[:300]}).") from None
        if not isinstance(restored, np.ndarray) or restored.shape != tuple(picture.shape):
            raise DatasetError(
                f"{self.path}: gave {getattr(restored, 'shape', None)} for a picture of {tuple(picture.shape)}.",
                why="A restored picture has the shape of the blurred one.",
            )
        return torch.from_numpy(restored.astype(np.float32, copy=False))


def available_providers() -> tuple[str, ...]:
    """The execution providers of the installed ONNX Runtime, fastest first."""
    runtime = require("onnxruntime", extra="onnx", purpose="Running exported networks")
    return tuple(runtime.get_available_providers())


def _check_providers(providers: Sequence[str]) -> None:
    known = available_providers()
    for name in providers:
        if name not in known:
            raise InvalidValueError(
                f"ONNX Runtime has no execution provider {name!r} here.",
                fix=f"{did_you_mean(name, known)} Others come with builds of it for other hardware.",
            )


def _config(path: Path, about: Mapping[str, str]) -> NetworkConfig:
    text = about.get("network", "")
    try:
        fields = json.loads(text) if len(text) <= _LONGEST_DESCRIPTION else None
        if isinstance(fields, dict):
            return network_config(fields)
        why = "It is no table."
    except (ValueError, TypeError, RecursionError) as error:
        why = str(error)
    raise DatasetError(f"{path}: describes no network of this version.", why=why, fix="Export it again.") from None


def _fixed_size(path: Path, session: Any) -> tuple[int, int] | None:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [(len(values), values[0].type) for values in (inputs, outputs)] != [(1, "tensor(float)")] * 2:
        raise DatasetError(f"{path}: must have one input and one output in float32.")
    shape = inputs[0].shape
    if len(shape) != 4 or shape[1] != 3:
        raise DatasetError(f"{path}: must take pictures [B, 3, H, W], got {shape}.")
    height, width = shape[2:]
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
