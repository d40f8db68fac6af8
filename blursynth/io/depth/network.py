"""Depth of a single picture estimated by a network, which can be any suitable ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame
from blursynth.io.folders import expanded
from blursynth.io.onnx_session import open_onnx

__all__ = ["DepthNetwork"]

# Mean and standard deviation of ImageNet's pictures, with which nearly all such networks were trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class DepthNetwork:
    """A network that estimates depth from a single picture, in ONNX format.

    MiDaS, DPT and Depth Anything give a relative inverse depth d, known up to scale and shift. It becomes meters by
    setting the nearest pixel of each picture to ``near_m`` and the farthest to ``far_m``, with linear inverse depth
    in between: ``1/Z = 1/far + (d - min d) / (max d - min d) (1/near - 1/far)``. The network thus determines the order
    of near and far, and the user the meters. Networks for metric depth give meters (``gives="depth_m"``).

    Parameters
    ----------
    path
        .onnx file with one floating-point input ``[1, 3, H, W]``, RGB, ``(display value - mean) / std``, and
        depth as its first output, ``[1, H, W]`` or ``[1, 1, H, W]`` of any size.
    near_m, far_m
        Depth of the nearest and farthest pixel of a picture in m, 0 < near_m < far_m. Required for relative inverse
        depth; metric depth is clipped to them if they are given.
    gives
        ``inverse_depth`` or ``depth_m``.
    input_size_px
        Shorter side of the network's input, for networks that take any size; pictures keep their aspect ratio. A fixed
        input size of the network takes precedence.
    multiple_px
        Both sides of the input are rounded to multiples of this: 14 for Depth Anything, 32 for MiDaS and DPT.
    mean, std
        Per channel, in the unit of display values (0..1); by default those of ImageNet.

    Raises
    ------
    MissingExtraError
        The package onnxruntime is not installed.
    PictureError
        The file is missing or is not an ONNX model.
    InvalidValueError
        The model's input has another form, or a value is out of range.

    Notes
    -----
    Estimate depth for whole pictures, not for crops: the result for a crop differs from the crop of the whole result.
    For data sets, estimate once, save with ``numpy.save``, and pass the folder as ``depth``.

    Examples
    --------
    ::

        network = DepthNetwork("depth_anything_v2_small.onnx", near_m=1.0, far_m=30.0)
        frame = network(read_frame("photo.jpg"))
        numpy.save("depth/photo.npy", frame.depth_m[0])
    """

    def __init__(
        self,
        path: str | Path,
        *,
        near_m: float | None = None,
        far_m: float | None = None,
        gives: Literal["inverse_depth", "depth_m"] = "inverse_depth",
        input_size_px: int = 518,
        multiple_px: int = 14,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        if gives not in ("inverse_depth", "depth_m"):
            raise InvalidValueError(f"gives must be 'inverse_depth' or 'depth_m', got {gives!r}.")
        if gives == "inverse_depth" and (near_m is None or far_m is None):
            raise InvalidValueError(
                "near_m and far_m are needed for relative inverse depth.",
                why="Relative depth has no unit: it only says what is nearer than what.",
                fix="State the distances of the nearest and farthest objects in the pictures, such as near_m=1, "
                "far_m=30, or use gives='depth_m' for a network with metric depth.",
            )
        for name, meters in (("near_m", near_m), ("far_m", far_m)):
            if meters is not None and not (np.isfinite(meters) and meters > 0):
                raise InvalidValueError(f"{name} must be > 0 and finite, got {meters!r}.")
        if near_m is not None and far_m is not None and not near_m < far_m:
            raise InvalidValueError(f"near_m must be less than far_m, got {near_m:g} and {far_m:g}.", fix="Swap them.")
        for name, size in (("input_size_px", input_size_px), ("multiple_px", multiple_px)):
            if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= 8192:
                raise InvalidValueError(f"{name} must be an integer from 1 to 8192, got {size!r}.")
        self._mean, self._std = (np.asarray(v, np.float32).reshape(-1, 1, 1) for v in (mean, std))
        if self._mean.shape != (3, 1, 1) or self._std.shape != (3, 1, 1) or not (self._std > 0).all():
            raise InvalidValueError(
                f"mean and std must be three numbers each, std > 0, got {tuple(mean)} and {tuple(std)}.",
                fix="By default they are those of ImageNet.",
            )
        self._path = expanded(path)
        self._near_m, self._far_m, self._gives = near_m, far_m, gives
        self._input_size_px, self._multiple_px = input_size_px, multiple_px
        self._session = open_onnx(self._path, purpose="Depth from a network", extra="depth")
        self._input = self._session.get_inputs()[0].name
        self._fixed = _input_size(self._path, self._session.get_inputs())

    def __call__(self, frame: Frame) -> Frame:
        """The frame with the estimated depth of every picture, replacing any previous depth.

        Raises
        ------
        InvalidValueError
            The frame is not a display frame of 1 or 3 channels, or the network's output is not a depth map.
        """
        if not isinstance(frame, Frame) or frame.encoding is not Encoding.DISPLAY or frame.channels not in (1, 3):
            got = repr(frame) if isinstance(frame, Frame) else type(frame).__name__
            raise InvalidValueError(
                f"DepthNetwork takes a display frame of 1 or 3 channels, got {got}.",
                why="Networks were trained with display pictures.",
                fix="Estimate depth before the decode step, or encode first.",
            )
        if not isinstance(frame.image, np.ndarray):
            raise InvalidValueError(
                f"DepthNetwork takes numpy arrays, got {type(frame.image).__name__}.",
                fix="Estimate depth before moving the frame to another library.",
            )
        depth = np.stack([self._estimate(picture) for picture in frame.image])
        return frame.with_image(frame.image, depth_m=depth.astype(frame.image.dtype))

    def _estimate(self, picture: NDArray[Any]) -> NDArray[np.float64]:
        import cv2

        height, width = picture.shape[1:]
        rows, columns = self._fixed or self._free_size(height, width)
        pixels = np.ascontiguousarray(np.moveaxis(np.broadcast_to(picture, (3, height, width)), 0, -1), np.float32)
        smaller = rows * columns < height * width
        # A cubic spline leaves out pixels when it makes pictures much smaller.
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        resized = np.asarray(cv2.resize(pixels, (columns, rows), interpolation=how), np.float32)
        given = (np.moveaxis(resized, -1, 0) - self._mean) / self._std
        try:
            output = np.asarray(
                self._session.run(None, {self._input: np.ascontiguousarray(given[None], np.float32)})[0]
            )
        except Exception as error:  # the runtime's own errors are of many types
            raise InvalidValueError(
                f"{self._path}: does not accept an input of {rows} x {columns} px ({str(error).splitlines()[0]}).",
                fix="Give the input_size_px and multiple_px of this network.",
            ) from None
        values = output.astype(np.float64)
        while values.ndim > 2 and values.shape[0] == 1:
            values = values[0]
        if values.ndim == 3 and values.shape[-1] == 1:
            values = values[..., 0]
        # Of the input's aspect, up to a pixel; a list of detections, say, is not.
        if (
            values.ndim != 2
            or min(values.shape) < 2
            or abs(values.shape[1] * rows - values.shape[0] * columns) > max(rows, columns)
        ):
            raise InvalidValueError(
                f"{self._path}: its first output has the shape {tuple(output.shape)}, not one depth map [1, H, W] "
                f"of the input's {rows} x {columns} px or in proportion.",
                fix="Export the network so that depth is its first output.",
            )
        if not np.isfinite(values).all():
            raise InvalidValueError(
                f"{self._path}: its output is not finite.",
                fix="Check mean and std, and that it was exported in float32.",
            )
        whole = cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR)
        return self._meters(np.asarray(whole, np.float64))

    def _free_size(self, height: int, width: int) -> tuple[int, int]:
        scale = self._input_size_px / min(height, width)
        step = self._multiple_px
        rows, columns = (max(step, round(side * scale / step) * step) for side in (height, width))
        return rows, columns

    def _meters(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = float(values.min()), float(values.max())
        if self._gives == "depth_m":
            if low <= 0 and self._near_m is None:
                raise InvalidValueError(
                    f"{self._path}: gives depths down to {low:.3g} m.",
                    why="Depth in meters is > 0.",
                    fix="If its output is a relative inverse depth, use gives='inverse_depth'; or clip it with near_m.",
                )
            return np.asarray(np.clip(values, self._near_m, self._far_m))
        assert self._near_m is not None
        assert self._far_m is not None
        if not high > low:
            raise InvalidValueError(
                f"{self._path}: its output is {low:.3g} everywhere.",
                why="A picture without near and far has no relative depth.",
                fix="Use a plane_depth step for such pictures.",
            )
        near, far = 1.0 / self._near_m, 1.0 / self._far_m
        return np.asarray(1.0 / (far + (values - low) / (high - low) * (near - far)))


def _input_size(path: Path, inputs: Sequence[Any]) -> tuple[int, int] | None:
    """Height and width that the model demands; None if it takes any."""
    shapes = [f"{i.name} {i.shape} {i.type}" for i in inputs]
    if len(inputs) != 1 or len(inputs[0].shape or ()) != 4 or inputs[0].type != "tensor(float)":
        raise InvalidValueError(
            f"must have one float32 input [1, 3, H, W], got {'; '.join(shapes) or 'none'}.",
            fix="Export the network alone, without its preprocessing.",
            place=str(path),
        )
    batch, channels, height, width = inputs[0].shape
    last = width == 3 and channels != 3
    if last or (isinstance(channels, int) and channels != 3) or (isinstance(batch, int) and batch != 1):
        raise InvalidValueError(
            f"must have one float32 input [1, 3, H, W], got {shapes[0]}.",
            fix="Channels come first, and one picture goes in at a time.",
            place=str(path),
        )
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
