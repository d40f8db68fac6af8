"""YOLOv8 and its successors, as ``yolo export format=onnx`` of Ultralytics writes them."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from deblur_models.evaluate.detection.onnx_detector import OnnxDetector, Placed, opened

__all__ = ["Ultralytics", "stored_names"]


class Ultralytics(OnnxDetector):
    """A model of Ultralytics: the picture lies in the middle of the input, which is RGB, 0..1.

    The output ``[1, 4 + classes, N]`` holds the center, width and height of each box in px of the input, and a score
    for each class. The names of the classes are in the file.

    Not supported: models with suppression inside (exported with ``nms=True``, YOLOv10), segmentation, pose.
    """

    @property
    def own_classes(self) -> tuple[str, ...]:
        names = stored_names(self.model)
        if not names:
            raise InvalidValueError(
                f"{self.model}: does not name its classes.", fix="Give a text file with their names (classes)."
            )
        return names

    def place(self, picture: NDArray[np.uint8], height: int, width: int) -> Placed:
        return Placed.of(picture, height, width, centered=True)

    def values(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.ascontiguousarray(codes.transpose(2, 0, 1)[None], np.float32) / np.float32(255)

    def decode(self, output: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
        boxes = output.shape[2] if output.ndim == 3 else 0
        self.check_shape(output, (1, 4 + len(self.class_names), boxes), "It has a column for each box, with 4 numbers")
        return np.ascontiguousarray(output[0].T)


def stored_names(model: str) -> tuple[str, ...]:
    """The names of the classes in the metadata of a model, ``{0: 'person', 1: ...}``; none if it has none."""
    text = opened(model)[0].get_modelmeta().custom_metadata_map.get("names", "")
    pairs = re.findall(r"(\d+): (?:'([^']*)'|\"([^\"]*)\")", text)
    names = tuple(single or double for _, single, double in pairs)
    return names if [int(number) for number, *_ in pairs] == list(range(len(names))) else ()
