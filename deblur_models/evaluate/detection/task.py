"""Detection as a task for restored pictures: what evaluation stores for each picture, and its summary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blursynth.errors import DatasetError, InvalidValueError
from deblur_models.data.pair_set import PairSample
from deblur_models.evaluate.detection.detector import Detector, Objects
from deblur_models.evaluate.detection.labels import CocoLabels
from deblur_models.evaluate.detection.scores import (
    IOU_THRESHOLDS,
    ClassMatches,
    average_precision,
    match,
    resampled,
    true_positives,
)

__all__ = ["SHARP", "DetectionTask"]

SHARP = "sharp pictures"
"""The line of the sharp pictures, which exists where labels are the truth."""

_MOST_OBJECTS = 100  # per picture, those of the highest scores, as for COCO
_SAMPLES = 1000  # of the bootstrap
_LARGEST_TABLE = 4_000_000  # of resampled sets by detections, computed at a time

Lines = Mapping[int, Mapping[str, Any]]
Groups = Sequence[tuple[str, Sequence[int]]]


@dataclass(frozen=True)
class DetectionTask:
    """How well a detector finds objects in restored pictures.

    Parameters
    ----------
    detector
        What finds objects.
    labels
        The truth; None: what the detector itself finds in the sharp picture with at least ``min_score``.
    min_score
        Score from which a detection counts for precision, recall and F1. Average precision needs no such threshold.
    """

    detector: Detector
    labels: CocoLabels | None = None
    min_score: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.min_score < 1:
            raise InvalidValueError(f"min_score must be > 0 and < 1, got {self.min_score}.")
        self.detector.check_ready()

    def about(self) -> dict[str, Any]:
        """What results depend on."""
        labels = None if self.labels is None else self.labels.about()
        return {"detector": self.detector.about(), "labels": labels, "min_score": self.min_score}

    def check(self, sources: Iterable[str], *, has_sharp: bool) -> None:
        """Raise an error if there is no truth for these pictures, before any work starts."""
        if self.labels is not None:
            self.labels.require(sources)
        elif not has_sharp:
            raise InvalidValueError(
                "Without sharp pictures there is nothing that detections could be compared with.",
                fix="Give labels of the pictures.",
            )

    def found(self, picture: Tensor) -> list[list[float]]:
        """The objects in a picture ``[1, 3, H, W]`` in 0..1, as rows for JSON, those of the highest scores first."""
        codes = (picture[0].clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).movedim(0, -1).numpy()
        objects = self.detector.detect(np.ascontiguousarray(codes))
        if not self._knows(objects):
            last = len(self.detector.class_names) - 1
            raise InvalidValueError(f"{self.detector.name} finds classes outside 0 to {last}.")
        if self.labels is not None:
            objects = objects.chosen(np.isin(objects.classes, list(self.labels.classes)))
        return objects.chosen(np.argsort(-objects.scores, kind="stable")[:_MOST_OBJECTS]).to_rows()

    def truth(self, sample: PairSample, sharp: Tensor | None) -> dict[str, list[list[float]]]:
        """The truth of a pair, and, where this is its labels, what is found in the sharp picture, if there is one."""
        found = [] if sharp is None else self.found(sharp)
        if self.labels is None:
            return {"truth": [row for row in found if row[1] >= self.min_score]}
        return {"truth": self.labels.of(sample).to_rows(), **({} if sharp is None else {"sharp_objects": found})}

    def _knows(self, objects: Objects) -> bool:
        return bool(np.isin(objects.classes, np.arange(len(self.detector.class_names))).all())

    def _stored(self, rows: list[list[float]]) -> Objects:
        objects = Objects.from_rows(rows)
        if not self._knows(objects):
            raise ValueError("unknown classes")
        return objects

    def summarize(
        self, chosen: Sequence[int], values: Mapping[str, Lines], baseline: str, groups: Mapping[str, Groups]
    ) -> dict[str, Any]:
        """The scores of every restorer over the chosen pictures, by class, and by groups of pictures."""
        lines = values[baseline]
        try:
            truth = {i: self._stored(lines[i]["truth"]) for i in chosen}
            found = {
                name: {i: self._stored(of_name[i]["objects"]) for i in chosen if "objects" in of_name.get(i, {})}
                for name, of_name in values.items()
            }
            if all("sharp_objects" in lines[i] for i in chosen):
                found[SHARP] = {i: self._stored(lines[i]["sharp_objects"]) for i in chosen}
        except (KeyError, ValueError, TypeError):
            raise DatasetError("The stored detections are damaged.", fix="Discard the old results (force).") from None
        scores = {name: _Scores(objects, truth, self.min_score) for name, objects in found.items()}
        before = {
            name: scores[baseline] if len(objects) == len(chosen) else _Scores(
                {i: found[baseline][i] for i in objects}, truth, self.min_score
            )
            for name, objects in found.items()
        }  # fmt: skip
        counts = np.bincount(
            np.concatenate([t.classes[~t.ignored] for t in truth.values()]), minlength=len(self.detector.class_names)
        )
        return {
            "about": self.about(),
            "pictures": len(chosen),
            "objects": int(counts.sum()),
            "overall": {
                name: one.line(one.members, None if name == baseline else before[name], with_map=True)
                for name, one in scores.items()
            },
            "classes": [
                {
                    "class": self.detector.class_names[class_id],
                    "objects": int(counts[class_id]),
                    "restorers": {name: one.of_class(int(class_id)) for name, one in scores.items()},
                }
                for class_id in np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
            ],
            "groups": {
                title: [
                    {
                        "group": label,
                        "pictures": len(members),
                        "objects": int(sum((~truth[i].ignored).sum() for i in members)),
                        "restorers": {
                            name: one.line(members, None if name == baseline else before[name])
                            for name, one in scores.items()
                        },
                    }
                    for label, members in listed
                    if members
                ]
                for title, listed in groups.items()
            },
        }

    def protocol(self) -> dict[str, str]:
        """What is computed, to accompany the values."""
        truth = (
            f"what {self.detector.name} finds in the sharp picture with a score of {self.min_score:g} or more, which "
            "is no ground truth: it shows what blur and restoration change, not whether the detector is right"
            if self.labels is None
            else f"the labels in {self.labels.path.name}"
        )
        return {
            "detection: truth": truth,
            "detection: precision, recall, F1": f"of detections with a score of {self.min_score:g} or more and an IoU "
            "of .5 or more with an object of the same class, over all pictures and classes together",
            "detection: mAP": "average precision by COCO's rules (101 recalls, 100 detections per picture), the mean "
            "over classes with objects; .5: at an IoU of .5; .5:.95: the mean over IoU .5, .55 ... .95",
            "detection: gain": f"difference to no restoration on the same pictures, in percent points, with the 95 % "
            f"interval of {_SAMPLES} bootstrap samples of the pictures",
        }


class _Scores:
    """The matched detections of one restorer, and scores of any choice of its pictures.

    A choice is a row of ``weights`` ``[S, P]``: how often each of the P pictures counts.
    """

    def __init__(self, found: Mapping[int, Objects], truth: Mapping[int, Objects], min_score: float) -> None:
        self.members = list(found)
        self.matches: dict[int, ClassMatches] = match(list(found.values()), [truth[i] for i in found])
        self.counts = true_positives(self.matches, len(found), min_score)  # [P, 3]
        self._resampled: dict[tuple[bytes, bool], dict[str, NDArray[np.float64]]] = {}

    def line(self, members: Sequence[int], before: _Scores | None, *, with_map: bool = False) -> dict[str, Any]:
        """Scores of the pictures among ``members``, and gains over ``before``, which holds the same pictures."""
        place = {index: number for number, index in enumerate(self.members)}
        places = np.array([place[i] for i in members if i in place], np.int64)
        weights = np.zeros((1, len(self.members)), np.int64)
        weights[0, places] = 1
        right, counted, labels = (int(v) for v in weights[0] @ self.counts)
        here = self.scores(weights, with_map=True)
        found: dict[str, Any] = {
            "pictures": len(places),
            "objects": labels,
            "true_positives": right,
            "false_positives": counted - right,
            "precision": right / counted if counted else None,
            "recall": right / labels if labels else None,
            **{name: _number(value[0]) for name, value in here.items()},
        }
        if before is None or not labels:
            return found
        there = before.scores(weights, with_map=True)
        after, earlier = (scores.resampled(places, with_map=with_map) for scores in (self, before))
        for name in after:
            # Resampled sets without objects have no score.
            low, high = np.nanquantile(after[name] - earlier[name], [0.025, 0.975])
            gain = float(here[name][0] - there[name][0])
            found[f"gain_{name}"] = {"mean": gain, "low": float(low), "high": float(high)}
        return found

    def resampled(self, places: NDArray[np.int64], *, with_map: bool) -> dict[str, NDArray[np.float64]]:
        """Scores of sets drawn with replacement from these pictures; the same sets whatever was found in them."""
        key = (places.tobytes(), with_map)
        if key not in self._resampled:  # that of no restoration is compared with every restorer
            weights = np.zeros((_SAMPLES, len(self.members)), np.int64)
            weights[:, places] = resampled(len(places), _SAMPLES)
            self._resampled[key] = self.scores(weights, with_map=with_map)
        return self._resampled[key]

    def scores(self, weights: NDArray[np.int64], *, with_map: bool) -> dict[str, NDArray[np.float64]]:
        """F1, the harmonic mean of precision and recall, and mAP of each choice, ``[S]``; NaN without objects."""
        right, counted, labels = (weights @ self.counts).T
        f1 = np.divide(2 * right, counted + labels, out=np.full(len(weights), np.nan), where=labels > 0)
        if not with_map:
            return {"f1": f1}
        ap = self.mean_ap(weights)
        return {"f1": f1, "map_50": ap[:, 0], "map": ap.mean(axis=1)}

    def mean_ap(self, weights: NDArray[np.int64]) -> NDArray[np.float64]:
        """``[S, T]``: mean over the classes that have objects in these pictures."""
        total, classes = np.zeros((len(weights), len(IOU_THRESHOLDS))), np.zeros((len(weights), 1))
        for of_class in self.matches.values():
            if not of_class.labels.any():
                continue
            parts = -(-len(weights) * max(1, len(of_class.scores)) // _LARGEST_TABLE)
            ap = np.concatenate([average_precision(of_class, part) for part in np.array_split(weights, parts)])
            some = ~np.isnan(ap[:, :1])
            classes += some
            total += np.where(some, ap, 0.0)
        return np.asarray(np.divide(total, classes, out=np.full_like(total, np.nan), where=classes > 0))

    def of_class(self, class_id: int) -> dict[str, float | None]:
        """AP of a class at an IoU of .5, and the mean over IoU .5 to .95."""
        if class_id not in self.matches:
            return {"ap_50": None, "ap": None}
        ap = average_precision(self.matches[class_id])
        return {"ap_50": _number(ap[0]), "ap": _number(ap.mean())}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
