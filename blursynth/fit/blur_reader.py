"""A small network that reads the blur of a window, trained on draws whose records hold the truth."""

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

__all__ = ["ANGLES", "TILE_PX", "WINDOW_PX", "BlurReader", "Windows", "blur_features", "readings_of", "windows_of"]

TILE_PX = 128
WINDOW_PX = 256
"""Blur is read from a window: the mean over its tiles, each half over the next."""
ANGLES = 32
"""Directions in which the cepstrum is sampled, over half a turn."""
_LAGS_PX = np.arange(1.0, 61.0)
_STEP_PX = TILE_PX // 2
_SIDE = 1 + (WINDOW_PX - TILE_PX) // _STEP_PX  # tiles along a window
_LEAST_CONTRAST = 10.0 / 255.0  # standard deviation of luma within a tile; below it there is nothing to read
_LEAST_READABLE = 1 / 3  # of the tiles of a window
_LUMA = np.array(LUMA, np.float32)
_BATCH = 128

Floats = NDArray[np.float32]
Windows = tuple[NDArray[np.float16], NDArray[np.bool_]]
"""Features ``[N, 9, 32, 60]`` of the tiles of N windows, and ``[N, 9]`` which of them are readable."""


def windows_of(codes: NDArray[np.floating]) -> Windows:
    """The windows of a picture ``[3, H, W]`` in codes 0..1, next to one another in its middle.

    A tile is readable if it shows enough contrast, of which blur itself takes little, and a window if a third of its
    tiles are. Smaller pictures of 128 px and more are one window with fewer tiles.
    """
    luma = np.tensordot(_LUMA, codes.astype(np.float32), 1)
    top, left = ((size - TILE_PX) % _STEP_PX // 2 for size in luma.shape)
    tiles = np.lib.stride_tricks.sliding_window_view(luma, (TILE_PX, TILE_PX))[top::_STEP_PX, left::_STEP_PX]
    rows, columns = tiles.shape[:2]
    clear = tiles.std(axis=(2, 3)) >= _LEAST_CONTRAST
    features = blur_features(tiles.reshape(-1, TILE_PX, TILE_PX)).reshape(rows, columns, ANGLES, -1)
    step = _SIDE - 1
    corners = [(r, c) for r in range(0, max(rows - step, 1), step) for c in range(0, max(columns - step, 1), step)]
    found = np.zeros((len(corners), _SIDE, _SIDE, *features.shape[2:]), np.float16)
    readable = np.zeros((len(corners), _SIDE, _SIDE), np.bool_)
    for at, (r, c) in enumerate(corners):
        inside = clear[r : r + _SIDE, c : c + _SIDE]
        if inside.mean() >= _LEAST_READABLE:
            readable[at, : inside.shape[0], : inside.shape[1]] = inside
            found[at, : inside.shape[0], : inside.shape[1]] = features[r : r + _SIDE, c : c + _SIDE]
    chosen = readable.any(axis=(1, 2))
    return found[chosen].reshape(-1, _SIDE**2, *features.shape[2:]), readable[chosen].reshape(-1, _SIDE**2)


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
    """Posterior probabilities of the components, from the mean :func:`blur_features` of a window.

    The mean over overlapping tiles (Welch's) leaves what they share: their blur. Three convolutions over direction
    (which is periodic) and lag, means and maxima over directions, one hidden layer: some 66,000 weights. Turned and
    mirrored windows, which only shift or reverse the directions, and means of fewer tiles are shown in training.

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

        class Network(nn.Module):  # type: ignore[name-defined,misc]
            def __init__(self) -> None:
                super().__init__()
                self.layers = nn.ModuleList([
                    nn.Conv2d(1, 16, (3, 5), (1, 2), (0, 2)),
                    nn.Conv2d(16, 32, 3, 2, (0, 1)),
                    nn.Conv2d(32, 32, 3, 2, (0, 1)),
                ])  # fmt: skip
                self.head = nn.Sequential(
                    nn.Dropout(0.3), nn.Linear(64 * -(-len(_LAGS_PX) // 8), 96), nn.ReLU(), nn.Dropout(0.3),
                    nn.Linear(96, len(COMPONENTS)),
                )  # fmt: skip

            def forward(self, x: Any) -> Any:
                c = x[:, None]
                for layer in self.layers:
                    c = layer(pad(c, (0, 0, 1, 1), mode="circular")).relu()
                along = c.transpose(1, 2).flatten(2)  # [N, directions, features]
                return self.head(torch.cat([along.mean(dim=1), along.amax(dim=1)], dim=1))

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
        windows: Windows,
        truth: NDArray[np.int64],
        held_out: NDArray[np.bool_],
        *,
        epochs: int,
        on_step: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """Learn from windows with their components, and calibrate.

        ``held_out`` windows only calibrate: those of scenes that the others do not show, since the photographs are
        other scenes, too.
        """
        torch, functional = self.torch, self.torch.nn.functional
        rng = np.random.Generator(np.random.Philox(key=[self.seed, 1]))
        features, readable = windows[0][~held_out], windows[1][~held_out]
        right = truth[~held_out]
        whole = _mean(features, readable)
        self.mean, self.deviation = whole.mean(axis=(0, 1)), whole.std(axis=(0, 1)) + np.float32(1e-3)
        each = max(1, len(right) // _BATCH)
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=epochs * each + 1)
        self.network.train()
        with torch.random.fork_rng(devices=[]):  # dropout
            torch.manual_seed(self.seed + 1)
            for epoch in range(epochs):
                order = rng.permutation(len(right))
                for step in range(each):
                    chosen = order[step * _BATCH : (step + 1) * _BATCH]
                    fewer = readable[chosen] & (rng.random((len(chosen), 1)) * 0.8 > rng.random(readable[chosen].shape))
                    fewer = np.where(fewer.any(axis=1, keepdims=True), fewer, readable[chosen])
                    x = (_mean(features[chosen], fewer) - self.mean) / self.deviation
                    if rng.random() < 0.5:
                        x = np.roll(x[:, ::-1], 1, axis=1)
                    x = np.ascontiguousarray(np.roll(x, int(rng.integers(ANGLES)), axis=1))
                    loss = functional.cross_entropy(self.network(torch.from_numpy(x)), torch.from_numpy(right[chosen]))
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    on_step(epoch * each + step + 1, epochs * each)
        logits = self._logits((windows[0][held_out], windows[1][held_out]))
        self.temperature = 1.0 / temperature_of(logits, truth[held_out])

    def _logits(self, windows: Windows) -> NDArray[np.float64]:
        self.network.eval()
        x = (_mean(*windows) - self.mean) / self.deviation
        with self.torch.inference_mode():
            parts = [self.network(self.torch.from_numpy(x[i : i + 512])) for i in range(0, max(len(x), 1), 512)]
        return np.asarray(self.torch.cat(parts), np.float64)

    def read(self, windows: Windows) -> NDArray[np.float64]:
        """Calibrated posteriors ``[N, J]`` under equal shares."""
        from scipy.special import softmax

        return np.asarray(softmax(self._logits(windows) / self.temperature, axis=1))

    @property
    def weights(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


def _mean(features: NDArray[np.float16], chosen: NDArray[np.bool_]) -> Floats:
    """``[N, 32, 60]`` means of the features ``[N, 9, 32, 60]`` of the chosen tiles."""
    share = (chosen / chosen.sum(axis=1, keepdims=True)).astype(np.float32)
    return np.asarray(np.einsum("nk,nkal->nal", share, features, dtype=np.float32, casting="same_kind"))


def readings_of(
    reader: BlurReader, pictures: Sequence[NDArray[np.floating]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Posteriors ``[N, J]`` of the readable windows of pictures, and weights ``[N]`` that sum to 1 for each picture."""
    posteriors, weights = [np.zeros((0, len(COMPONENTS)))], [np.zeros(0)]
    for picture in pictures:
        windows = windows_of(picture)
        if len(windows[0]):
            posteriors.append(reader.read(windows))
            weights.append(np.full(len(windows[0]), 1.0 / len(windows[0])))
    return np.concatenate(posteriors), np.concatenate(weights)
