"""YOLOX, as its ``tools/export_onnx.py`` writes it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deblur_models.evaluate.detection.onnx_detector import COCO_CLASSES, OnnxDetector, Placed

__all__ = ["Yolox"]

_STRIDES_PX = (8, 16, 32, 64)


class Yolox(OnnxDetector):
    """A YOLOX model: the picture lies in the upper left of the input, which is BGR, 0..255.

    The output ``[1, N, 5 + classes]`` has a row for each cell of the grids of stride 8, 16 and 32 px (and 64, if there
    are so many). In px of the input, the center of the box is ``x = (o_0 + column) stride``, its width is ``exp(o_2)
    stride``, the same for y and height; its scores are ``o_4`` times the values of the classes.

    The default thresholds are those of its evaluation on COCO. Not supported: models before version 0.1.1 (RGB with
    mean and deviation).

    Source: Z. Ge et al., "YOLOX: Exceeding YOLO Series in 2021".
    """

    decoded: bool = Field(
        default=False, description="whether the model decodes boxes itself (exported with --decode_in_inference)"
    )

    @property
    def own_classes(self) -> tuple[str, ...]:
        return COCO_CLASSES

    def place(self, picture: NDArray[np.uint8], height: int, width: int) -> Placed:
        return Placed.of(picture, height, width, centered=False)

    def values(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ascontiguousarray(codes[..., ::-1].transpose(2, 0, 1)[None], np.float32)

    def decode(self, output: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
        cells, strides = _cells(height, width, _STRIDES_PX)
        if output.shape[1:2] != (len(cells),):  # all but the largest models have three grids
            cells, strides = _cells(height, width, _STRIDES_PX[:3])
        why = f"It has a row for each cell of the grids of {width} x {height} px, with a box and its score"
        self.check_shape(output, (1, len(cells), 5 + len(self.class_names)), why)
        rows = output[0]
        center, size = rows[:, :2], rows[:, 2:4]
        if not self.decoded:
            center = (center + cells) * strides
            size = np.exp(size.clip(max=20.0)) * strides  # e^20 px is beyond any picture
        return np.hstack((center, size, rows[:, 4:5] * rows[:, 5:]))


def _cells(height: int, width: int, strides: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Column and row ``[N, 2]`` of each cell of the grids, and its stride ``[N, 1]``."""
    cells = [np.indices((height // stride, width // stride))[::-1].reshape(2, -1).T for stride in strides]
    repeats = [len(cell) for cell in cells]
    return np.concatenate(cells).astype(np.float64), np.repeat(np.asarray(strides, np.float64), repeats)[:, None]
