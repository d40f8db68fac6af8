"""Scores of detections against pycocotools, against figures worked out by hand, and against sets written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from blursynth.errors import InvalidValueError
from deblur_models.evaluate.detection import Objects, average_precision, match
from deblur_models.evaluate.detection.scores import resampled, true_positives

PICTURES, CLASSES = 25, 4


def crowded_sets() -> tuple[list[Objects], list[Objects]]:
    """Detections near labels and elsewhere, of wrong classes, with equal scores; some labels are to be ignored.

    One class, 4, is found and never labeled.
    """
    rng = np.random.Generator(np.random.PCG64(5))
    found: list[Objects] = []
    truth: list[Objects] = []
    for _ in range(PICTURES):
        labels: list[Any] = []
        detections: list[Any] = []
        for kind in range(CLASSES):
            for _ in range(rng.integers(0, 4)):
                box = [*rng.uniform(0, 80, 2), *rng.uniform(10, 40, 2)]
                labels.append((box, kind, rng.random() < 0.2))
                for _ in range(rng.integers(0, 3)):
                    kind_found = kind if rng.random() < 0.9 else int(rng.integers(0, CLASSES + 1))
                    detections.append((np.abs(box + rng.normal(0, 1.5, 4)), kind_found, round(rng.random(), 1)))
            for _ in range(rng.integers(0, 2)):
                box = [*rng.uniform(0, 80, 2), *rng.uniform(5, 40, 2)]
                detections.append((box, kind, round(0.6 * rng.random(), 1)))
        truth.append(Objects.of([b for b, _, _ in labels], [k for _, k, _ in labels], None, [i for _, _, i in labels]))
        found.append(Objects.of(*([one[part] for one in detections] for part in range(3))))
    return found, truth


# Of crowded_sets(), from pycocotools 2.0.11: COCOeval(labels, detections, "bbox"), labels with iscrowd where they are
# ignored; the mean over recalls of eval["precision"][:, :, class, 0, 2] at IoU .5 and over all ten.
PYCOCOTOOLS = {
    0: (0.4933567550303417, 0.335309729129595),
    1: (0.5308033040338828, 0.3460843805202863),
    2: (0.5603524620399984, 0.3431070650679612),
    3: (0.43842878701653976, 0.21885930312074042),
}


def test_average_precision_is_that_of_pycocotools() -> None:
    matches = match(*crowded_sets())
    for kind, expected in PYCOCOTOOLS.items():
        ap = average_precision(matches[kind])
        assert (ap[0], ap.mean()) == pytest.approx(expected, rel=1e-12), kind
    assert np.isnan(average_precision(matches[CLASSES])).all(), "it is never labeled"


def test_pictures_may_count_several_times() -> None:
    """Weights give what a set with repeated pictures gives, and NaN to a set without labels.

    Scores are made different, since the order of equal ones is arbitrary.
    """
    tied, truth = crowded_sets()
    found = [replace(one, scores=one.scores + 1e-4 * np.arange(len(one)) + 1e-6 * i) for i, one in enumerate(tied)]
    matches = match(found, truth)
    weights = resampled(PICTURES, 3, seed=4)
    assert (weights.sum(axis=1) == PICTURES).all()
    assert weights.max() > 1
    for row in weights:
        repeated = [i for i, times in enumerate(row) for _ in range(times)]
        again = match([found[i] for i in repeated], [truth[i] for i in repeated])
        for kind in range(CLASSES):
            assert np.allclose(average_precision(matches[kind], row[None])[0], average_precision(again[kind]))
    nowhere = (matches[0].labels == 0).astype(np.int64)
    assert nowhere.any()
    assert np.isnan(average_precision(matches[0], nowhere[None])).all()


def test_by_hand() -> None:
    """Three objects of a class, one found well, one in part, one twice; one of another class; something elsewhere."""
    truth = [
        Objects.of([[10, 20, 40, 10], [100, 0, 10, 30]], [1, 1]),
        Objects.of([[0, 0, 8, 8], [50, 50, 9, 7]], [1, 2]),
    ]
    found = [
        Objects.of([[100, 0, 10, 30], [10, 20, 40, 6.2]], [1, 1], [0.9, 0.4]),  # IoU 1 and .62
        Objects.of([[0, 0, 8, 8], [0, 0, 8, 7], [30, 30, 5, 5]], [1, 1, 0], [0.5, 0.8, 0.7]),  # 1, 7/8; nothing there
    ]
    matches = match(found, truth)
    # By score: .9 right; .8 right up to an IoU of .875; .5 wrong, since .8 has taken its label, and right above; .4
    # right up to .62. Recalls 0 to .33 are 34 of 101, .34 to .66 are 33, .67 to 1 are 34.
    expected = [(34 + 33 + 0.75 * 34) / 101] * 3 + [(34 + 33) / 101] * 5 + [(34 + 2 / 3 * 33) / 101] * 2
    assert np.allclose(average_precision(matches[1]), expected)
    assert average_precision(matches[2]).tolist() == [0] * 10, "not found"
    assert np.isnan(average_precision(matches[0])).all(), "not labeled"
    assert true_positives(matches, 2, 0.45).tolist() == [[1, 1, 2], [1, 3, 2]]
    assert true_positives(matches, 2, 0.05, threshold=9).tolist() == [[1, 2, 2], [1, 3, 2]]


def test_nothing_found_and_nothing_there() -> None:
    nothing, one = Objects.of([], []), Objects.of([[1, 2, 3, 4]], [0])
    assert match([nothing], [nothing]) == {}
    assert average_precision(match([nothing], [one])[0]).tolist() == [0] * 10
    assert true_positives(match([one], [nothing]), 1, 0.5).tolist() == [[0, 1, 0]]
    flat = Objects.of([[1, 2, 0, 4]], [0])
    assert true_positives(match([flat], [flat]), 1, 0.5).tolist() == [[0, 1, 1]], "no area, no overlap"


def test_rows() -> None:
    objects = Objects.of([[1.234, 2, 3.999, 4]], [7], [0.12345678], [True])
    assert objects.to_rows() == [[7, 0.123457, 1, 1.23, 2.0, 4.0, 4.0]]
    again = Objects.from_rows(objects.to_rows())
    assert again.to_rows() == objects.to_rows()
    assert again.ignored.tolist() == [True]
    assert len(Objects.from_rows([])) == 0
    with pytest.raises(ValueError, match="reshape"):
        Objects.from_rows([[1.0, 2.0]])
    for box, score in (([0, 0, -1, 4], 0.5), ([0, 0, np.inf, 4], 0.5), ([np.nan, 0, 1, 4], 0.5), ([0, 0, 1, 4], 1.5)):
        with pytest.raises(InvalidValueError, match="Boxes must be finite"):
            Objects.of([box], [0], [score])
