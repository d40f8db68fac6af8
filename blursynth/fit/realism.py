"""How well a small network tells synthetic photographs from real ones: a classifier two-sample test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.dataset.reader import open_dataset
from blursynth.errors import DatasetError, InvalidValueError, require
from blursynth.fit.statistics import GROUPS, tile_statistics

__all__ = ["LEAST_PICTURES", "Realism", "pictures_of_dataset", "two_sample_test"]

Array = NDArray[np.float64]

LEAST_PICTURES = 4
_FOLDS = 5
_HIDDEN = 24
_STEPS = 150
_LEAST_SAMPLE_PX = 80
_MOST_TILES = 40  # of a picture


@dataclass(frozen=True)
class Realism:
    """Result of :func:`two_sample_test`.

    Parameters
    ----------
    accuracy
        Share of tiles that are told apart, of pictures that the network did not learn from; .5: not at all.
    low, high
        95 % interval over pictures (bootstrap), since tiles of one picture are alike.
    by_picture
        Accuracy with the votes of all tiles of a picture.
    looked_at
        Loss of accuracy when a group of statistics is shuffled between tiles: what it looked at, largest first.
    real, synthetic
        Numbers of pictures.
    """

    accuracy: float
    low: float
    high: float
    by_picture: float
    looked_at: tuple[tuple[str, float], ...]
    real: int
    synthetic: int

    def __str__(self) -> str:
        interval = f"{100 * self.low:.1f} to {100 * self.high:.1f}"
        return f"{100 * self.accuracy:.1f} % of tiles told apart (95 % interval {interval}; 50 is chance)"


def two_sample_test(
    real: Sequence[NDArray[np.floating]],
    synthetic: Sequence[NDArray[np.floating]],
    *,
    seed: int = 0,
    on_fold: Callable[[int, int], None] = lambda done, total: None,
) -> Realism:
    """Cross-validated accuracy of a network with one hidden layer on the statistics of tiles.

    Both samples count alike, whatever their numbers of tiles. A fold holds whole pictures, so what a picture shows
    cannot be learned by heart. Chance is .5; a synthetic set that cannot be told from the real one has an interval
    that includes it.

    Parameters
    ----------
    real, synthetic
        Pictures ``[3, H, W]`` in codes 0..1, at least 64 px large, whose grid of 8 px begins at 0.
    seed
        Seed of folds and weights.

    Raises
    ------
    InvalidValueError
        There are fewer than four pictures of a kind.
    MissingExtraError
        torch is not installed.

    Not modeled: what statistics of tiles of 64 px do not show: the layout of scenes, blur that changes over the
    picture. Scenes of another kind (streets beside leaves) are told apart, too: compare with sharp pictures of the
    same kind.

    Source: Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    """
    torch = require("torch", extra="torch", purpose="Comparing pictures")
    for name, pictures in (("real", real), ("synthetic", synthetic)):
        if len(pictures) < LEAST_PICTURES:
            raise InvalidValueError(
                f"The comparison needs at least {LEAST_PICTURES} {name} pictures, got {len(pictures)}.",
                why="It learns from some of them and is tested on others.",
            )
    rng = np.random.Generator(np.random.Philox(key=[seed, 3]))
    tiles, labels, owners = [], [], []
    for owner, picture in enumerate([*real, *synthetic]):
        found = tile_statistics(picture)
        if len(found) > _MOST_TILES:
            found = found[rng.choice(len(found), _MOST_TILES, replace=False)]
        tiles.append(found)
        labels += [float(owner >= len(real))] * len(found)
        owners += [owner] * len(found)
    x, y, owner_of = np.concatenate(tiles), np.array(labels), np.array(owners)
    fold_of = np.empty(len(real) + len(synthetic), int)
    folds = min(_FOLDS, len(real), len(synthetic))
    for first, count in ((0, len(real)), (len(real), len(synthetic))):
        fold_of[first : first + count] = rng.permutation(np.arange(count) % folds)
    weight = np.where(y == 1, 0.5 / max((y == 1).sum(), 1), 0.5 / max((y == 0).sum(), 1)) * len(y)
    score = np.zeros(len(y))
    shuffled = {name: np.zeros(len(y)) for name in GROUPS}
    for fold in range(folds):
        test = fold_of[owner_of] == fold
        mean, deviation = x[~test].mean(axis=0), x[~test].std(axis=0) + 1e-6
        standard = np.clip((x - mean) / deviation, -6, 6)
        predict = _trained(torch, standard[~test], y[~test], weight[~test], seed + fold)
        score[test] = predict(standard[test])
        for name, columns in GROUPS.items():
            other = standard[test].copy()
            other[:, columns] = rng.permutation(other[:, columns])
            shuffled[name][test] = predict(other)
        on_fold(fold + 1, folds)
    right = ((score > 0) == (y == 1)).astype(np.float64)
    accuracy = float((weight * right).mean())
    per_picture = np.array([right[owner_of == o].mean() for o in range(len(fold_of))])
    votes = np.array([score[owner_of == o].mean() > 0 for o in range(len(fold_of))])
    is_made = np.arange(len(fold_of)) >= len(real)
    low, high = _interval(per_picture, is_made, rng)
    lost = {name: accuracy - float((weight * ((s > 0) == (y == 1))).mean()) for name, s in shuffled.items()}
    return Realism(
        accuracy,
        min(low, accuracy),
        max(high, accuracy),
        float((votes == is_made)[is_made].mean() + (votes == is_made)[~is_made].mean()) / 2,
        tuple(sorted(lost.items(), key=lambda item: -item[1])),
        len(real),
        len(synthetic),
    )


def _interval(per_picture: Array, is_made: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """2.5 and 97.5 % of the mean of both kinds over pictures drawn with replacement."""
    kinds = [per_picture[is_made], per_picture[~is_made]]
    means = [np.mean([rng.choice(k, len(k)).mean() for k in kinds]) for _ in range(1000)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _trained(torch: Any, x: Array, y: Array, weight: Array, seed: int) -> Callable[[Array], Array]:
    """Logits of a network that was trained on all of a sample at once."""
    nn = torch.nn
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(x.shape[1], _HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(_HIDDEN, 1))
        inputs, wanted, weights = (torch.from_numpy(np.asarray(v, np.float32)) for v in (x, y, weight))
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=3e-2)
        for _ in range(_STEPS):
            loss = nn.functional.binary_cross_entropy_with_logits(network(inputs)[:, 0], wanted, weight=weights)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()

    def predict(values: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(np.asarray(values, np.float32)))[:, 0], np.float64)

    return predict


def pictures_of_dataset(path: str | Path, *, most: int = 80) -> list[NDArray[np.float32]]:
    """Blurred pictures ``[3, H, W]`` of a data set in codes 0..1, every n-th, cut so that their 8 px grid begins at 0.

    Raises
    ------
    DatasetError
        It holds linear light, has pictures under 80 px, or cannot be read.
    """
    opened = open_dataset(path)
    found = []
    for index in np.unique(np.linspace(0, len(opened) - 1, min(most, len(opened))).astype(int)):
        sample = opened[int(index)]
        if sample.blurred.dtype.kind != "u" or min(sample.blurred.shape[:2]) < _LEAST_SAMPLE_PX:
            raise DatasetError(
                f"its pictures are {sample.blurred.shape[1]} x {sample.blurred.shape[0]} px of {sample.blurred.dtype}.",
                why=f"Photographs are compared with codes of at least {_LEAST_SAMPLE_PX} px.",
                fix="Generate larger samples with a recipe that ends in codes.",
                place=str(path),
            )
        top, left = -sample.window.top % 8, -sample.window.left % 8
        codes = sample.blurred[top:, left:].astype(np.float32) / np.float32(np.iinfo(sample.blurred.dtype).max)
        found.append(np.ascontiguousarray(np.moveaxis(codes, -1, 0)))
    return found
