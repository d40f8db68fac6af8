"""Precision, recall, F1 and average precision of detections, with COCO's rules, and intervals over pictures.

The rules are those of pycocotools' ``COCOeval`` for boxes of all sizes: detections of a class take labels in the order
of their scores, each the one that it overlaps most (IoU of at least a threshold); labels that are ignored may be taken
any number of times, and what takes them is not counted. Average precision (AP) is the mean over the recalls 0, .01 ...
1 of the highest precision at this recall or above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deblur_models.evaluate.detection.detector import Objects

__all__ = ["IOU_THRESHOLDS", "ClassMatches", "average_precision", "match", "resampled", "true_positives"]

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, eq=False)
class ClassMatches:
    """The detections of one class in P pictures, those of the highest scores first.

    Parameters
    ----------
    scores
        ``[D]``.
    pictures
        ``[D]``: in which of the P pictures.
    right
        ``[T, D]``: whether it takes a label, at each threshold of IoU.
    counted
        ``[T, D]``: whether it counts, right or wrong; False if what it takes is ignored.
    labels
        ``[P]``: number of labels that are not ignored.
    """

    scores: NDArray[np.float64]
    pictures: NDArray[np.int64]
    right: NDArray[np.bool_]
    counted: NDArray[np.bool_]
    labels: NDArray[np.int64]


_Matched = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]


def match(
    found: Sequence[Objects], truth: Sequence[Objects], thresholds: NDArray[np.float64] = IOU_THRESHOLDS
) -> dict[int, ClassMatches]:
    """Detections and labels of P pictures, matched for each class that was found or labeled."""
    parts: dict[int, list[tuple[int, _Matched]]] = {}
    labels: dict[int, NDArray[np.int64]] = {}
    for picture, (f, t) in enumerate(zip(found, truth, strict=True)):
        for class_id in map(int, np.union1d(f.classes, t.classes)):
            of_class = t.chosen(t.classes == class_id)
            parts.setdefault(class_id, []).append(
                (picture, _match_picture(f.chosen(f.classes == class_id), of_class, thresholds))
            )
            labels.setdefault(class_id, np.zeros(len(truth), np.int64))[picture] = (~of_class.ignored).sum()
    matches = {}
    for class_id in sorted(parts):
        pictures, matched = zip(*parts[class_id], strict=True)
        scores, right, counted = (np.concatenate(column, axis=-1) for column in zip(*matched, strict=True))
        order = np.argsort(-scores, kind="stable")
        of_picture = np.repeat(pictures, [len(one[0]) for one in matched])
        matches[class_id] = ClassMatches(
            scores[order], of_picture[order], right[:, order], counted[:, order], labels[class_id]
        )
    return matches


def _match_picture(found: Objects, truth: Objects, thresholds: NDArray[np.float64]) -> _Matched:
    """Scores ``[D]`` in falling order, and right and counted ``[T, D]``, of the objects of one class in one picture."""
    found = found.chosen(np.argsort(-found.scores, kind="stable"))
    overlap = _overlap(found, truth)
    right = np.zeros((len(thresholds), len(found)), bool)
    counted = np.ones_like(right)
    free = np.ones((len(thresholds), len(truth)), bool)
    for place, row in enumerate(overlap):
        near = free & (row >= thresholds[:, None])  # [T, G]
        best = np.where(near & ~truth.ignored, row, -1.0)[:, ::-1]  # the last one of equals, as COCOeval chooses
        takes = (best >= 0).any(axis=1)
        taken = len(truth) - 1 - best.argmax(axis=1) if len(truth) else np.zeros(len(thresholds), np.int64)
        free[takes, taken[takes]] = False
        right[:, place] = takes
        counted[:, place] = takes | ~(near & truth.ignored).any(axis=1)
    return found.scores, right, counted


def _overlap(found: Objects, truth: Objects) -> NDArray[np.float64]:
    """IoU ``[D, G]``; with ignored labels, the share of the detection inside them."""
    low = np.maximum(found.boxes[:, None, :2], truth.boxes[:, :2])
    high = np.minimum(found.boxes[:, None, :2] + found.boxes[:, None, 2:], truth.boxes[:, :2] + truth.boxes[:, 2:])
    inner = np.prod((high - low).clip(min=0), axis=-1)
    area, labeled = np.prod(found.boxes[:, 2:], axis=1)[:, None], np.prod(truth.boxes[:, 2:], axis=1)
    union = np.where(truth.ignored, area, area + labeled - inner)
    return np.asarray(np.divide(inner, union, out=np.zeros_like(inner), where=union > 0))


def average_precision(matches: ClassMatches, weights: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
    """AP at each threshold, ``[T]``; NaN if there are no labels.

    With ``weights`` ``[S, P]``, the number of times that each picture occurs in S resampled sets, ``[S, T]``.
    """
    single = weights is None
    times = np.ones((1, len(matches.labels)), np.int64) if weights is None else weights
    labels = times @ matches.labels  # [S]
    each = times[:, matches.pictures]  # [S, D]
    found = np.full((len(times), len(matches.right)), np.nan)
    some = labels > 0
    for number, (right, counted) in enumerate(zip(matches.right, matches.counted, strict=True)):
        hits, all_counted = (each[some] * right).cumsum(axis=1), (each[some] * counted).cumsum(axis=1)
        precision = hits / np.maximum(all_counted, 1)
        best_after = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        # Each detection is the first to reach the recalls between that of the one before it and its own.
        reached = np.searchsorted(_RECALLS, hits / labels[some, None], side="right")
        found[some, number] = (np.diff(reached, axis=1, prepend=0) * best_after).sum(axis=1) / len(_RECALLS)
    return found[0] if single else found


def true_positives(
    matches: Mapping[int, ClassMatches], pictures: int, min_score: float, threshold: int = 0
) -> NDArray[np.int64]:
    """``[P, 3]``: numbers of right detections, of all counted detections, and of labels in each picture.

    Only detections of at least ``min_score`` are counted; ``threshold`` is the index of that of IoU.
    """
    counts = np.zeros((pictures, 3), np.int64)
    for of_class in matches.values():
        likely = of_class.scores >= min_score
        for column, which in ((0, of_class.right[threshold]), (1, of_class.counted[threshold])):
            counts[:, column] += np.bincount(of_class.pictures[likely & which], minlength=pictures)
        counts[:, 2] += of_class.labels
    return counts


def resampled(pictures: int, samples: int, seed: int = 0) -> NDArray[np.int64]:
    """``[S, P]``: how often each picture occurs in sets of P pictures drawn with replacement."""
    rng = np.random.Generator(np.random.Philox(seed))
    drawn = rng.integers(0, pictures, (samples, pictures)) + pictures * np.arange(samples)[:, None]
    return np.bincount(drawn.ravel(), minlength=samples * pictures).reshape(samples, pictures)
