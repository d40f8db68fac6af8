"""Labels in COCO's format: where they lie in the pictures of pairs, and what is refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from blursynth.errors import DatasetError, InvalidValueError
from blursynth.frame import Encoding, Frame
from deblur_models.data.pair_set import PairSample
from deblur_models.evaluate.detection import CocoLabels

CLASSES = ("red", "blue")


def labels(folder: Path, **changes: Any) -> Path:
    """Of street.png, 200 x 100 px: two blue objects, one red crowd, and a dog; of empty.png nothing."""
    document = {
        "images": [
            {"id": 7, "file_name": "street.png", "width": 200, "height": 100},
            {"id": 8, "file_name": "empty.png", "width": 60, "height": 40},
        ],
        "categories": [{"id": 3, "name": "blue"}, {"id": 5, "name": "red"}, {"id": 9, "name": "dog"}],
        "annotations": [
            {"image_id": 7, "category_id": 3, "bbox": [20, 10, 40, 20]},
            {"image_id": 7, "category_id": 3, "bbox": [100, 60, 30, 40], "iscrowd": 0},
            {"image_id": 7, "category_id": 5, "bbox": [150, 0, 50, 100], "iscrowd": 1},
            {"image_id": 7, "category_id": 9, "bbox": [0, 0, 5, 5]},
        ],
        **changes,
    }
    (folder / "labels.json").write_text(json.dumps(document))
    return folder / "labels.json"


def sample(source: str, size_px: tuple[int, int], window: tuple[int, int] | None = None, step: int = 1) -> PairSample:
    """A pair of this size; or the one whose upper left corner is at ``window`` of street.png made smaller."""
    codes = np.zeros((*size_px, 3), np.uint8)
    geometry = None
    if window is not None:
        geometry = Frame.unchecked(
            np.zeros((1, 3, *size_px), np.float32),
            Encoding.DISPLAY,
            origin_px=np.array([window]),
            full_size_px=np.array([[100 // step, 200 // step]]),
        )
    return PairSample("000000", codes, codes, source, geometry=geometry)


def test_whole_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = CocoLabels(labels(tmp_path), CLASSES)
    assert "1 classes of the labels are unknown to the detector: dog" in caplog.text
    objects = found.of(sample("street.jpg", (100, 200)))
    assert objects.boxes.tolist() == [[20, 10, 40, 20], [100, 60, 30, 40], [150, 0, 50, 100]]
    assert objects.classes.tolist() == [1, 1, 0]
    assert objects.ignored.tolist() == [False, False, True]
    assert found.classes == {0, 1}
    assert len(found.of(sample("empty.png", (40, 60)))) == 0


def test_windows_and_smaller_pictures(tmp_path: Path) -> None:
    """A window from row 15, column 35 of the picture at half its size: rows 30 to 70 and columns 70 to 150."""
    found = CocoLabels(labels(tmp_path), CLASSES).of(sample("a/street.png", (20, 40), (15, 35), step=2))
    assert found.boxes.tolist() == [[15, 15, 15, 5]], "rows 60 to 70 of its 60 to 100"
    assert found.ignored.tolist() == [True], "a quarter of it is inside"
    whole = CocoLabels(labels(tmp_path), CLASSES).of(sample("street.png", (60, 100), (40, 45)))
    assert whole.boxes.tolist() == [[55, 20, 30, 40]]
    assert whole.ignored.tolist() == [False]


def test_labels_of_other_pictures(tmp_path: Path) -> None:
    found = CocoLabels(labels(tmp_path), CLASSES)
    with pytest.raises(InvalidValueError, match=r"street.png is labeled in 200 x 100 px, but has 100 x 200 px"):
        found.of(sample("street.png", (200, 100)))
    with pytest.raises(
        DatasetError, match=r"1 of 2 pictures are not listed once; the first is 'other.png', listed never"
    ):
        found.require(["street.png", "other.png"])
    images = [{"id": n, "file_name": f"{n}/street.png", "width": 200, "height": 100} for n in (7, 8)]
    with pytest.raises(DatasetError, match="listed 2 times"):
        CocoLabels(labels(tmp_path, images=images), CLASSES).of(sample("street.png", (100, 200)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"images": [{"id": 1}]}, r"does not hold labels as COCO's files do \('file_name' is missing\)"),
        ({"images": 3}, "does not hold labels"),
        ({"images": [{"id": 1, "file_name": "a", "height": 1e999, "width": 1}]}, "does not hold labels"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [0, 0, -1, 5]}]}, r"a box is \[0, 0, -1, 5\]"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [0, 0, 1e999, 5]}]}, "a box is"),
        ({"annotations": [{"image_id": 7, "category_id": 3, "bbox": [0, 0, 5]}]}, "a box is"),
        ({"categories": [{"id": 9, "name": "dog"}]}, "the detector knows none of its classes, such as 'dog'"),
        ({"categories": []}, "the detector knows none of its classes, such as 'none'"),
    ],
)
def test_files_that_hold_no_labels(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=words):
        CocoLabels(labels(tmp_path, **changes), CLASSES)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(DatasetError, match=r"the labels is damaged|not a JSON object"):
        CocoLabels(tmp_path / "list.json", CLASSES)
    with pytest.raises(DatasetError, match="the labels is missing"):
        CocoLabels(tmp_path / "none.json", CLASSES)
