"""Object detection on restored pictures: ``detector`` (what detectors have in common), ``onnx_detector`` (those in ONNX
format), ``yolox`` and ``ultralytics`` (two of these), ``labels`` (COCO's), ``scores`` (precision, recall and AP),
``task`` (what evaluation measures)."""

from collections.abc import Mapping
from typing import Any

from blursynth.records.kind import make
from deblur_models.evaluate.detection.detector import Detector, Objects
from deblur_models.evaluate.detection.labels import CocoLabels
from deblur_models.evaluate.detection.onnx_detector import OnnxDetector
from deblur_models.evaluate.detection.scores import ClassMatches, average_precision, match
from deblur_models.evaluate.detection.task import DetectionTask
from deblur_models.evaluate.detection.ultralytics import Ultralytics, stored_names
from deblur_models.evaluate.detection.yolox import Yolox

__all__ = [
    "ALL",
    "ClassMatches",
    "CocoLabels",
    "DetectionTask",
    "Detector",
    "Objects",
    "OnnxDetector",
    "Ultralytics",
    "Yolox",
    "average_precision",
    "make_detector",
    "match",
    "open_detector",
]

ALL: tuple[type[Detector], ...] = (Yolox, Ultralytics)
"""The detectors that are built in; for others, derive from :class:`Detector`."""


def make_detector(fields: Mapping[str, Any]) -> Detector:
    """Create a detector from ``{"kind": ..., field: value}``.

    Raises
    ------
    InvalidValueError
        The kind does not exist, or a field is unknown or out of range.
    """
    return make(fields, ALL, noun="detector")


def open_detector(model: str) -> Detector:
    """The detector of an .onnx file: Ultralytics' store the names of their classes, any other must be a YOLOX model.

    Raises
    ------
    PictureError
        It is missing or is not an ONNX model.
    """
    return Ultralytics(model=model) if stored_names(model) else Yolox(model=model)
