"""A small network that reads the blur of a tile, trained on draws whose records hold the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import require
from blursynth.fit.components import COMPONENTS
from blursynth.fit.mixture import temperature_of
from blursynth.physics.color import LUMA

__all__ = ["ANGLES", "TILE_PX", "BlurReader", "blur_features", "readable", "readings_of", "tiles_of"]

TILE_PX = 128
ANGLES = 32
"""Directions in which cepstrum and spectrum are sampled, over half a turn."""
_LAGS_PX = np.arange(1.0, 61.0)
_LEAST_CONTRAST = 10.0 / 255.0  # standard deviation of luma within a tile; below it there is nothing to read
_LUMA = np.array(LUMA, np.float32)
_BATCH = 128

Floats = NDArray[np.float32]


def tiles_of(codes: NDArray[np.floating]) -> Floats:
    """``[N, 128, 128]`` luma tiles of a picture ``[3, H, W]`` in codes 0..1, next to one another in its middle."""
    luma = np.tensordot(_LUMA, codes.astype(np.float32), 1)
    rows, columns = luma.shape[0] // TILE_PX, luma.shape[1] // TILE_PX
    top, left = (luma.shape[0] - rows * TILE_PX) // 2, (luma.shape[1] - columns * TILE_PX) // 2
    cut = luma[top : top + rows * TILE_PX, left : left + columns * TILE_PX]
    return cut.reshape(rows, TILE_PX, columns, TILE_PX).transpose(0, 2, 1, 3).reshape(-1, TILE_PX, TILE_PX)


def readable(tiles: Floats) -> NDArray[np.bool_]:
    """Which tiles show enough contrast for their blur to be seen; blur itself takes little of it."""
    return np.asarray(tiles.std(axis=(1, 2)) >= _LEAST_CONTRAST)


@lru_cache(maxsize=1)
def _polar(radii: tuple[float, ...]) -> tuple[NDArray[np.int64], Floats]:
    """Places in a flattened array ``[128, 128]`` of that period, and weights, of bilinear samples at polar points."""
    angle = np.pi * np.arange(ANGLES)[:, None] / ANGLES
    x, y = np.array(radii) * np.cos(angle), np.array(radii) * np.sin(angle)
    corners, weights = [], []
    for right in (0, 1):
        for down in (0, 1):
            column, row = np.floor(x).astype(int) + right, np.floor(y).astype(int) + down
            weights.append((1 - np.abs(x - column)) * (1 - np.abs(y - row)))
            corners.append(row % TILE_PX * TILE_PX + column % TILE_PX)
    return np.stack(corners, -1), np.stack(weights, -1).astype(np.float32)


def blur_features(tiles: Floats) -> Floats:
    r"""``[N, 32, 60]`` cepstrum of tiles along 32 directions, at lags of 1 to 60 px.

    The logarithm of the spectrum turns a convolution into a sum, :math:`\log|X|^2 + \log|K|^2`, and its transform, the
    cepstrum, collects the ripples of a kernel's spectrum at lags as long as the kernel: a straight motion of L px
    has a dip L px from the middle, along its direction. Tiles are standardized (brightness and contrast are no blur)
    and windowed, lags weighted by their root. The spectrum itself is not used: how fast it falls says as much of the
    scene as of its blur.

    Source: Yitzhaky and Kopeika, "Identification of Blur Parameters from Motion Blurred Images", Graphical Models and
    Image Processing 59, 1997.
    """
    from scipy import fft

    hann = np.hanning(TILE_PX + 2)[1:-1].astype(np.float32)
    found = []
    for first in range(0, len(tiles), 64):
        x = tiles[first : first + 64].astype(np.float32)
        x = x - x.mean(axis=(1, 2), keepdims=True)
        x = x / (x.std(axis=(1, 2), keepdims=True) + np.float32(0.01))
        power = np.log(np.abs(fft.rfft2(x * (hann[:, None] * hann))) ** 2 + np.float32(1.0))
        cepstrum = fft.irfft2(power, s=(TILE_PX, TILE_PX))
        places, weights = _polar(tuple(_LAGS_PX.tolist()))
        sampled = (cepstrum.reshape(len(x), -1)[:, places] * weights).sum(axis=-1)
        found.append((sampled * (10 * np.sqrt(_LAGS_PX))).astype(np.float32))
    return np.concatenate(found) if found else np.zeros((0, ANGLES, len(_LAGS_PX)), np.float32)


class BlurReader:
    """Posterior probabilities of the components, and the direction of motion, from :func:`blur_features`.

    Two convolutions over direction (which is periodic) and lag, means and maxima over all directions, one hidden layer:
    some 75,000 weights. Turned and mirrored tiles, which only shift or reverse
    the directions, are shown at random in training.

    Parameters
    ----------
    seed
        Seed of the weights and of the order of training.

    Raises
    ------
    MissingExtraError
        torch is not installed.
    """

    def __init__(self, seed: int) -> None:
        torch = require("torch", extra="torch", purpose="Reading blur")
        nn, pad = torch.nn, torch.nn.functional.pad
        lags = len(_LAGS_PX)

        class Network(nn.Module):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                super().__init__()
                self.first = nn.Conv2d(1, 12, (3, 5), (1, 2), (0, 2))
                self.second = nn.Conv2d(12, 24, (3, 3), (1, 2), (0, 1))
                self.direction = nn.Linear(24 * lags // 4, 1)
                self.head = nn.Sequential(
                    nn.Dropout(0.3), nn.Linear(48 * lags // 4, 96), nn.ReLU(), nn.Dropout(0.3),
                    nn.Linear(96, len(COMPONENTS)),
                )  # fmt: skip

            def forward(self, x: Any) -> tuple[Any, Any]:
                c = x[:, None]
                for layer in (self.first, self.second):
                    c = layer(pad(c, (0, 0, 1, 1), mode="circular")).relu()
                along = c.transpose(1, 2).flatten(2)  # [N, angles, features]
                pooled = torch.cat([along.mean(dim=1), along.amax(dim=1)], dim=1)
                return self.head(pooled), self.direction(along)[..., 0]

        self.torch = torch
        self.seed = seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = Network()
        self.mean: Any = 0.0
        self.deviation: Any = 1.0
        self.temperature = 1.0

    def train(
        self,
        features: Floats,
        truth: NDArray[np.int64],
        angles_rad: NDArray[np.float64],
        held_out: NDArray[np.bool_],
        windows: NDArray[np.int64],
        *,
        epochs: int,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Learn from the features of tiles with their component, direction (NaN: none) and window, and calibrate.

        ``held_out`` tiles only calibrate: those of scenes that the others do not show, since the photographs are other
        scenes, too.
        """
        torch, functional = self.torch, self.torch.nn.functional
        rng = np.random.Generator(np.random.Philox(key=[self.seed, 1]))
        learn = np.flatnonzero(~held_out)
        self.mean, self.deviation = features[learn].mean(axis=(0, 1)), features[learn].std(axis=(0, 1)) + 1e-3
        x = (features - self.mean) / self.deviation
        moved = np.isfinite(angles_rad)
        bins = np.rint(np.where(moved, angles_rad, 0.0) % np.pi * ANGLES / np.pi).astype(np.int64) % ANGLES
        each = max(1, len(learn) // _BATCH)
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * each + 1)
        self.network.train()
        with torch.random.fork_rng(devices=[]):  # dropout
            torch.manual_seed(self.seed + 1)
            for epoch in range(epochs):
                order = rng.permutation(learn)
                for step in range(each):
                    chosen = order[step * _BATCH : (step + 1) * _BATCH]
                    part, angle = x[chosen], bins[chosen]
                    if rng.random() < 0.5:
                        part, angle = np.roll(part[:, ::-1], 1, axis=1), -angle
                    turn = int(rng.integers(ANGLES))
                    part, angle = np.roll(part, turn, axis=1), (angle + turn) % ANGLES
                    logits, directions = self.network(torch.from_numpy(np.ascontiguousarray(part)))
                    loss = functional.cross_entropy(logits, torch.from_numpy(truth[chosen]))
                    if (m := moved[chosen]).any():
                        right = torch.from_numpy(angle[m])
                        loss = loss + 0.2 * functional.cross_entropy(directions[torch.from_numpy(m)], right)
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    on_step(epoch * each + step + 1, epochs * each)
        groups = [held_out.nonzero()[0][windows[held_out] == window] for window in np.unique(windows[held_out])]
        logits, _ = self._outputs(features)
        means = np.stack([logits[group].mean(axis=0) for group in groups])
        self.temperature = 1.0 / temperature_of(means, truth[[group[0] for group in groups]])

    def _outputs(self, features: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        torch = self.torch
        self.network.eval()
        x = ((features - self.mean) / self.deviation).astype(np.float32)
        with torch.inference_mode():
            parts = [self.network(torch.from_numpy(x[i : i + 512])) for i in range(0, max(len(x), 1), 512)]
        logits, directions = (torch.cat(values) for values in zip(*parts, strict=True))
        return np.asarray(logits, np.float64), np.asarray(directions, np.float64)

    def read(
        self, features: Floats, groups: Sequence[NDArray[np.int64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Calibrated posteriors ``[G, J]`` under equal shares, and directions ``[G]`` in radians, 0 = right.

        A group of neighboring tiles is read together: the mean of their logits, calibrated on windows of such tiles.
        """
        from scipy.special import softmax

        logits, directions = self._outputs(features)
        means = np.stack([logits[group].mean(axis=0) for group in groups])
        share = softmax(np.stack([directions[group].mean(axis=0) for group in groups]), axis=1)
        turn = np.exp(2j * np.pi * np.arange(ANGLES) / ANGLES)
        return np.asarray(softmax(means / self.temperature, axis=1)), np.angle(share @ turn) / 2 % np.pi

    @property
    def weights(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


def readings_of(
    reader: BlurReader, pictures: Sequence[NDArray[np.floating]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Posteriors ``[N, J]`` of all 2 x 2 neighboring tiles of pictures of which at least two are readable, weights
    ``[N]`` that sum to 1 for each picture, directions ``[N]``, and whose picture each is."""
    posteriors, weights, directions, owners = [], [], [], []
    for owner, picture in enumerate(pictures):
        tiles = tiles_of(picture)
        groups = _neighbors(readable(tiles), picture.shape[1] // TILE_PX, picture.shape[2] // TILE_PX)
        if not groups:
            continue
        found, angles = reader.read(blur_features(tiles), groups)
        posteriors.append(found)
        directions.append(angles)
        weights.append(np.full(len(found), 1.0 / len(found)))
        owners.append(np.full(len(found), owner))
    if not posteriors:
        return np.zeros((0, len(COMPONENTS))), np.zeros(0), np.zeros(0), np.zeros(0, np.int64)
    return np.concatenate(posteriors), np.concatenate(weights), np.concatenate(directions), np.concatenate(owners)


def _neighbors(clear: NDArray[np.bool_], rows: int, columns: int) -> list[NDArray[np.int64]]:
    """Indices of the readable tiles of each 2 x 2 (less where the picture has but one row or column)."""
    grid, found = np.arange(rows * columns).reshape(rows, columns), []
    for row in range(max(rows - 1, 1)):
        for column in range(max(columns - 1, 1)):
            four = grid[row : row + 2, column : column + 2].ravel()
            four = four[clear[four]]
            if len(four) >= min(2, rows * columns):
                found.append(four)
    return found
