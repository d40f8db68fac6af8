"""Labels in COCO's format (``instances_val2017.json``) as the truth of pairs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from blursynth.dataset.files import read_json
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.io.folders import ByName, expanded
from blursynth.io.pictures import file_sha256
from deblur_models.data.pair_set import PairSample
from deblur_models.evaluate.detection.detector import Objects

__all__ = ["CocoLabels"]

_LOG = logging.getLogger(__name__)

_MOST_BYTES = 1 << 29  # those of COCO's training set take 450 MB
_LEAST_VISIBLE = 0.5  # share of a box inside a window, below which its object need not be found there


class CocoLabels:
    """Labels by the names of pictures.

    A pair is found by the name of its source without folder and suffix. Where the picture of a pair is a window of its
    source, or smaller by an integer, boxes are moved and scaled with it; objects of which less than half lies inside
    are ignored: they need not be found. Labels of classes that the detector does not know are left out, with a warning.

    Parameters
    ----------
    path
        A JSON file with ``images`` (``id``, ``file_name``, ``width``, ``height``), ``annotations`` (``image_id``,
        ``category_id``, ``bbox``: x, y, width, height; ``iscrowd``) and ``categories`` (``id``, ``name``).
    class_names
        The classes of the detector.

    Raises
    ------
    DatasetError
        The file is missing, is not of this form, or none of its classes is known to the detector.

    Notes
    -----
    Not modeled: distortion of the lens, zooms and other steps of a draw that move the sharp picture's pixels.
    """

    def __init__(self, path: str | Path, class_names: Sequence[str]) -> None:
        self.path = expanded(path)
        document = read_json(self.path, "the labels", _MOST_BYTES)
        try:
            self._read(document, class_names)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            missing = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise DatasetError(
                f"{self.path}: does not hold labels as COCO's files do ({missing}).",
                fix="It needs images, annotations and categories.",
            ) from None

    def _read(self, document: Mapping[str, Any], class_names: Sequence[str]) -> None:
        known = {name: index for index, name in enumerate(class_names)}
        names = {int(category["id"]): str(category["name"]) for category in document["categories"]}
        classes = {number: known[name] for number, name in names.items() if name in known}
        if not classes:
            raise DatasetError(
                f"{self.path}: the detector knows none of its classes, such as {next(iter(names.values()), 'none')!r}.",
                fix="Use a detector for these classes, or name its classes as in the labels.",
            )
        if unknown := sorted(set(names.values()) - set(known)):
            shown = ", ".join(unknown[:5])
            _LOG.warning("%d classes of the labels are unknown to the detector: %s", len(unknown), shown)
        self.classes = frozenset(classes.values())
        rows: dict[int, list[tuple[int, bool, list[float]]]] = {}
        for label in document["annotations"]:
            box = [float(value) for value in label["bbox"]]
            if len(box) != 4 or not np.isfinite(box).all() or min(box[2:]) < 0:
                raise ValueError(f"a box is {label['bbox']}")
            if int(label["category_id"]) in classes:
                crowd = bool(label.get("iscrowd", 0))
                rows.setdefault(int(label["image_id"]), []).append((classes[int(label["category_id"])], crowd, box))
        self._by_name = ByName[tuple[tuple[int, int], Objects]]()
        for image in document["images"]:
            found = rows.get(int(image["id"]), [])
            objects = Objects.of([b for *_, b in found], [c for c, *_ in found], None, [i for _, i, _ in found])
            self._by_name.add(_stem(str(image["file_name"])), ((int(image["height"]), int(image["width"])), objects))

    def about(self) -> dict[str, str]:
        """What identifies them."""
        return {"name": self.path.name, "sha256": file_sha256(self.path)}

    def require(self, sources: Iterable[str]) -> None:
        """Raise an error if a picture has no labels, or several pictures of its name have.

        Raises
        ------
        DatasetError
            See above.
        """
        counts = {source: len(self._by_name.find(_stem(source))) for source in sources}
        if wrong := [source for source, count in counts.items() if count != 1]:
            twice = f" {counts[wrong[0]]} times" if counts[wrong[0]] else ""
            raise DatasetError(
                f"{self.path}: {len(wrong)} of {len(counts)} pictures are not listed once; the first is {wrong[0]!r}, "
                f"listed{twice or ' never'}.",
                why="A picture without objects is listed among the images, without annotations.",
                fix="Give the labels of these pictures, or leave the others out.",
            )

    def of(self, sample: PairSample) -> Objects:
        """The labels of a pair.

        Raises
        ------
        InvalidValueError
            They are those of a picture of another size.
        """
        self.require([sample.source])
        (height, width), objects = self._by_name.find(_stem(sample.source))[0]
        rows, columns = sample.sharp.shape[:2]
        full: tuple[int, ...] = (rows, columns)
        origin = np.zeros(2)
        if sample.geometry is not None:
            full = tuple(map(int, sample.geometry.full_size_px[0]))
            origin = np.asarray(sample.geometry.origin_px[0], np.float64)
        step = max(1, round(height / full[0]))
        if (height // step, width // step) != full:
            raise InvalidValueError(
                f"{self.path}: {sample.source} is labeled in {width} x {height} px, but has {full[1]} x {full[0]} px."
            )
        low = objects.boxes[:, :2] / step - origin[::-1]
        high = low + objects.boxes[:, 2:] / step
        inside_low, inside_high = np.clip(low, 0, (columns, rows)), np.clip(high, 0, (columns, rows))
        area, visible = np.prod(high - low, axis=1), np.prod(inside_high - inside_low, axis=1)
        ignored = objects.ignored | (visible < _LEAST_VISIBLE * area)
        boxes = np.hstack((inside_low, inside_high - inside_low))
        return Objects(boxes, objects.classes, objects.scores, ignored).chosen(visible > 0)


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
