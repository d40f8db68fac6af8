"""Detectors in ONNX format: one picture in, one table of boxes out, of which overlapping ones are suppressed."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.dataset.files import read_bounded
from blursynth.errors import InvalidValueError
from blursynth.io.folders import check_readable, expanded
from blursynth.io.onnx_session import open_onnx
from deblur_models.evaluate.detection.detector import Detector, Objects

__all__ = ["COCO_CLASSES", "OnnxDetector", "Placed", "opened"]

# In the order of COCO's categories, of which 80 of the 90 ids are used.
_COCO = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,parking meter,"
    "bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,tie,suitcase,frisbee,"
    "skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,"
    "cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,oven,toaster,sink,"
    "refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
)
COCO_CLASSES = tuple(_COCO.split(","))

_PADDING = 114  # gray, in training too
_LARGEST_NAMES_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Placed:
    """A picture in the input of a model: ``codes`` ``[H, W, 3]``; (x, y) of it lies at ``scale (x, y) + offset``."""

    codes: NDArray[np.uint8]
    scale: tuple[float, float]
    offset: tuple[int, int]

    @staticmethod
    def of(picture: NDArray[np.uint8], height: int, width: int, *, centered: bool) -> Placed:
        """The picture scaled to fit (bilinear), in the upper left or in the middle; the rest is gray 114."""
        rows, columns = picture.shape[:2]
        scale = min(height / rows, width / columns)
        # As the published code of the two families does it, which cuts or rounds, and scales boxes back accordingly.
        fit = round if centered else int
        high, wide = max(1, fit(rows * scale)), max(1, fit(columns * scale))
        scales = (wide / columns, high / rows) if centered else (scale, scale)
        left, top = (round((width - wide) / 2 - 0.1), round((height - high) / 2 - 0.1)) if centered else (0, 0)
        codes = np.full((height, width, 3), _PADDING, np.uint8)
        resized = cv2.resize(np.ascontiguousarray(picture), (wide, high), interpolation=cv2.INTER_LINEAR)
        codes[top : top + high, left : left + wide] = resized
        return Placed(codes, scales, (left, top))


class OnnxDetector(Detector):
    """A model with one float32 input ``[1, 3, H, W]``, whose first output is a table of boxes with values per class.

    Each box has the class of its highest value. Of boxes of one class that overlap by more than ``nms_iou``, the one
    with the highest score stays.
    """

    model: str = Field(description="an .onnx file")
    classes: str | None = Field(
        default=None, description="a text file with the name of a class in each line; default: those of the model"
    )
    min_score: float = Field(default=0.01, gt=0, lt=1, description="lowest score that is returned")
    nms_iou: float = Field(default=0.65, gt=0, lt=1, description="overlap (IoU) above which boxes are the same object")
    input_size_px: int = Field(
        default=640, ge=32, le=8192, multiple_of=32, description="side of the input, if the model takes any"
    )

    @abstractmethod
    def place(self, picture: NDArray[np.uint8], height: int, width: int) -> Placed:
        """The RGB picture in an input of this size, still as RGB codes."""

    @abstractmethod
    def values(self, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The input ``[1, 3, H, W]`` of these codes ``[H, W, 3]``: the order and range of its channels."""

    @abstractmethod
    def decode(self, output: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
        """``[N, 4 + classes]``: center, width and height in px of the input, and a score for each class."""

    @property
    @abstractmethod
    def own_classes(self) -> tuple[str, ...]:
        """The classes of the model, if no names are given."""

    @property
    def name(self) -> str:
        return Path(self.model).stem

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.own_classes if self.classes is None else _lines(expanded(self.classes))

    def files(self) -> tuple[str, ...]:
        return (self.model,) if self.classes is None else (self.model, self.classes)

    def check_ready(self) -> None:
        super().check_ready()
        self.detect(np.zeros((32, 48, 3), np.uint8))

    def detect(self, picture: NDArray[np.uint8]) -> Objects:
        session, height, width = opened(self.model)
        height, width = height or self.input_size_px, width or self.input_size_px
        placed = self.place(picture, height, width)
        try:
            output = session.run(None, {session.get_inputs()[0].name: self.values(placed.codes)})[0]
        except Exception as error:  # the runtime's own errors are of many types
            raise InvalidValueError(
                f"{self.model}: cannot run on an input of {width} x {height} px ({str(error).splitlines()[0]}).",
                fix="Give input_size_px, if the model takes another size.",
            ) from None
        table = self.decode(np.asarray(output, np.float64), height, width)
        scores, classes = table[:, 4:].max(axis=1), table[:, 4:].argmax(axis=1)
        if not np.isfinite(table).all() or scores.min() < -1e-3 or scores.max() > 1 + 1e-3:
            raise InvalidValueError(
                f"{self.model}: gives boxes that are not finite, or scores outside 0..1 "
                f"({scores.min():.3g} to {scores.max():.3g}).",
                fix="Export it again in float32, with the sigmoid of the scores, or write a Detector for it.",
            )
        likely = scores > self.min_score
        center, size = table[likely, :2], table[likely, 2:4].clip(min=0)
        scores, classes = scores[likely].clip(0, 1), classes[likely]
        boxes = np.hstack(((center - size / 2 - placed.offset) / placed.scale, size / placed.scale))
        kept = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), classes.tolist(), self.min_score, self.nms_iou)
        return Objects.of(boxes, classes, scores).chosen(np.asarray(kept, np.int64).reshape(-1))

    def check_shape(self, output: NDArray[np.float64], shape: tuple[int, ...], why: str) -> None:
        """Refuse an output of another shape."""
        if output.shape != shape:
            raise InvalidValueError(
                f"{self.model}: its output must be {list(shape)}, got {list(output.shape)}.",
                why=f"{why}, and {len(self.class_names)} classes.",
                fix="Give the names of its classes (classes), or write a Detector for it.",
            )


@lru_cache(maxsize=4)
def opened(model: str) -> tuple[Any, int | None, int | None]:
    """The session of a model, and the height and width that it demands.

    Raises
    ------
    InvalidValueError
        It does not take one picture of three channels.
    """
    session = open_onnx(expanded(model), purpose="Detection", extra="onnx")
    inputs = session.get_inputs()
    shape = inputs[0].shape if len(inputs) == 1 else []
    one = len(shape) == 4 and shape[1] == 3 and (shape[0] == 1 or not isinstance(shape[0], int))
    if not one or inputs[0].type != "tensor(float)":
        found = "; ".join(f"{i.name} {i.shape} {i.type}" for i in inputs) or "none"
        raise InvalidValueError(
            f"{model}: must have one float32 input [1, 3, H, W], got {found}.",
            fix="Export the detector without changes, or write a Detector for this model.",
        )
    height, width = (side if isinstance(side, int) else None for side in shape[2:])
    return session, height, width


@lru_cache(maxsize=4)
def _lines(path: Path) -> tuple[str, ...]:
    check_readable(path, "file")
    text = read_bounded(path, _LARGEST_NAMES_BYTES).decode("utf-8", errors="replace")
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not names or len(set(names)) < len(names):
        raise InvalidValueError(f"{path}: must name classes, each once, one in a line.")
    return names
