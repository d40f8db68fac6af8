"""What all detectors have in common, and the objects that they find."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.io.folders import check_readable, expanded
from blursynth.io.pictures import file_sha256
from blursynth.records.kind import Kind

__all__ = ["Detector", "Objects"]


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one picture, as found by a detector or as labeled.

    Parameters
    ----------
    boxes
        ``[N, 4]``: x and y of the upper left corner, width and height in px of the picture, in which the center of the
        upper left pixel is (.5, .5).
    classes
        ``[N]``: indices into the detector's ``class_names``.
    scores
        ``[N]``: 0..1; 1 for labels.
    ignored
        ``[N]``: labels that need not be found and may be found any number of times (COCO's ``iscrowd``).
    """

    boxes: NDArray[np.float64]
    classes: NDArray[np.int64]
    scores: NDArray[np.float64]
    ignored: NDArray[np.bool_]

    @staticmethod
    def of(boxes: Any, classes: Any, scores: Any = None, ignored: Any = None) -> Objects:
        """From sequences; scores are 1 and nothing is ignored by default.

        Raises
        ------
        InvalidValueError
            A box is not finite, a size is negative, or a score is outside 0..1.
        """
        box = np.asarray(boxes, np.float64).reshape(-1, 4)
        score = np.ones(len(box)) if scores is None else np.asarray(scores, np.float64).reshape(len(box))
        if not (np.isfinite(box).all() and (box[:, 2:] >= 0).all() and ((score >= 0) & (score <= 1)).all()):
            raise InvalidValueError("Boxes must be finite with sizes >= 0, and scores 0..1.")
        return Objects(
            box,
            np.asarray(classes, np.int64).reshape(len(box)),
            score,
            np.zeros(len(box), bool) if ignored is None else np.asarray(ignored, bool).reshape(len(box)),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def chosen(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> Objects:
        """Those of a mask, or of a list of indices in its order."""
        return Objects(self.boxes[which], self.classes[which], self.scores[which], self.ignored[which])

    def to_rows(self) -> list[list[float]]:
        """Rows ``[class, score, ignored, x, y, width, height]`` for JSON, rounded to .01 px and to 1e-6 of score."""
        return [
            [int(kind), round(float(score), 6), int(ignored), *(round(float(v), 2) for v in box)]
            for kind, score, ignored, box in zip(self.classes, self.scores, self.ignored, self.boxes, strict=True)
        ]

    @staticmethod
    def from_rows(rows: Sequence[Sequence[float]]) -> Objects:
        """The inverse of :meth:`to_rows`."""
        table = np.asarray(rows, np.float64).reshape(-1, 7)
        return Objects.of(table[:, 3:], table[:, 0], table[:, 1], table[:, 2])


class Detector(Kind):
    """Finds objects in pictures. Subclasses are records of their parameters and implement two methods.

    ``detect`` should return low scores, too, since average precision needs them.
    """

    @property
    def name(self) -> str:
        """The name in reports."""
        return self.kind

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """The classes that it knows; COCO's labels are matched by these names."""

    @abstractmethod
    def detect(self, picture: NDArray[np.uint8]) -> Objects:
        """The objects in RGB codes ``[H, W, 3]``."""

    def files(self) -> tuple[str, ...]:
        """Files that its results depend on, so that results of another model are not mixed with these."""
        return ()

    def check_ready(self) -> None:
        """Raise an error if a file or a library that it needs is missing, before any work starts."""
        for file in self.files():
            check_readable(expanded(file), "file")

    def about(self) -> dict[str, Any]:
        """What its results depend on, as plain values; files by their names and hashes."""
        files = self.files()
        fields = {name: Path(value).name if value in files else value for name, value in self.to_dict().items()}
        return {**fields, "sha256": {Path(file).name: file_sha256(expanded(file)) for file in files}}
