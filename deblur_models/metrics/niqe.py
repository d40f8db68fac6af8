"""NIQE: distance of an image's local statistics from those of sharp photographs, without a reference."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.ndimage import correlate1d
from scipy.special import gammaln
from torch import Tensor

from blursynth.errors import InvalidValueError, PictureError
from blursynth.io.folders import expanded
from deblur_models.metrics.metric import Metric, luma

__all__ = ["BLOCK_PX", "Niqe", "NiqeParameters", "fit_niqe", "niqe_features", "read_niqe_parameters"]

BLOCK_PX = 96
"""Side of the blocks over which statistics are computed, at the finer of the two scales."""

Array = NDArray[np.float64]

_FEATURES = 36
_SHIPPED = "niqe_bundled_photographs.json"


@dataclass(frozen=True, eq=False)
class NiqeParameters:
    """Mean ``[36]`` and covariance ``[36, 36]`` of the features of sharp photographs, and their source."""

    mean: Array
    covariance: Array
    source: str

    def __post_init__(self) -> None:
        if self.mean.shape != (_FEATURES,) or self.covariance.shape != (_FEATURES, _FEATURES):
            raise InvalidValueError(
                f"NIQE's parameters are a mean [36] and a covariance [36, 36], got {list(self.mean.shape)} and "
                f"{list(self.covariance.shape)}."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.covariance).all()):
            raise InvalidValueError("NIQE's parameters must be finite.")

    def to_json(self) -> str:
        """JSON with seven digits per value, and one half of the covariance, row by row from the diagonal."""
        upper = self.covariance[np.triu_indices(_FEATURES)]
        values = {
            "source": self.source,
            "mean": [float(f"{v:.7g}") for v in self.mean],
            "covariance_upper": [float(f"{v:.7g}") for v in upper],
        }
        return json.dumps(values, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str) -> NiqeParameters:
        try:
            values = json.loads(text)
            mean = np.asarray(values["mean"], np.float64)
            upper = np.asarray(values["covariance_upper"], np.float64)
            covariance = np.zeros((_FEATURES, _FEATURES))
            covariance[np.triu_indices(_FEATURES)] = upper
            source = str(values["source"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidValueError(
                "This is not a file with NIQE parameters: it needs source, mean and covariance_upper.",
                fix="Write one with NiqeParameters.to_json.",
            ) from error
        return NiqeParameters(mean, covariance + np.triu(covariance, 1).T, source)


class Niqe(Metric):
    """Distance of an image's local statistics from those of sharp photographs: 0 is best, blur and noise increase it.

    The image is converted to 8-bit luma, and local brightness and contrast are normalized. For each block of 96 x 96 px
    (48 x 48 at half size), the shapes of the distributions of values and of products of neighbors are fitted: 36
    values. With ``m, S`` their mean and covariance over blocks, and ``n, T`` those of sharp photographs,
    ``NIQE = sqrt((m - n)^T ((S + T) / 2)^-1 (m - n))``.

    Parameters
    ----------
    parameters
        A file with ``n, T``: a ``.mat`` or ``.npz`` of the original (``mu_prisparam``, ``cov_prisparam``) or a
        ``.json`` of :func:`fit_niqe`. None: the bundled ones, fitted to a few of scikit-image's photographs. **Their
        values are not comparable with published NIQE**; they only rank the same images among themselves.

    Raises
    ------
    InvalidValueError
        An image has fewer than two whole blocks (sides of at least 96 and 192 px), or its blocks are flat.

    Not modeled: color. Sharpened images and images with ringing can score better than the sharp original, and values of
    small images vary strongly, since they contain few blocks.

    Source: A. Mittal, R. Soundararajan, A. Bovik, "Making a completely blind image quality analyzer", IEEE SPL 2013.
    """

    higher_is_better = False
    needs_sharp = False

    parameters: str | None = Field(default=None, description="file of the sharp photographs' statistics")

    @property
    def name(self) -> str:
        return "niqe" if self.parameters is not None else "niqe_bundled"

    @property
    def protocol(self) -> str:
        source = "fitted to bundled photographs, not comparable to published values"
        if self.parameters is not None:
            source = f"parameters {Path(self.parameters).name} ({read_niqe_parameters(self.parameters).source})"
        return f"NIQE of the luma (BT.601) rounded to 8 bits, blocks of 96 px, two scales; {source}"

    def check_ready(self) -> None:
        read_niqe_parameters(self.parameters)

    def measure(self, restored: Tensor, sharp: Tensor) -> Tensor:
        pristine = read_niqe_parameters(self.parameters)
        return torch.tensor([_distance(picture, pristine) for picture in _grays(restored)], device=restored.device)


def read_niqe_parameters(path: str | None = None) -> NiqeParameters:
    """The statistics of sharp photographs from a ``.mat``, ``.npz`` or ``.json`` file; None: the bundled ones."""
    if path is None:
        return _shipped()
    path = str(expanded(path))
    if not Path(path).is_file():
        raise PictureError(
            f"The file {path} with NIQE parameters does not exist.",
            fix="Use the .mat of the original release, or a .json written by fit_niqe.",
        )
    return _read(path, Path(path).stat().st_mtime_ns)


@lru_cache(maxsize=1)
def _shipped() -> NiqeParameters:
    return NiqeParameters.from_json((files("deblur_models.metrics") / _SHIPPED).read_text(encoding="utf-8"))


@lru_cache(maxsize=4)
def _read(path: str, changed: int) -> NiqeParameters:
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        return NiqeParameters.from_json(Path(path).read_text(encoding="utf-8"))
    if suffix == ".mat":
        from scipy.io import loadmat

        values = dict(loadmat(path))
    elif suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            values = {name: archive[name] for name in archive.files}
    else:
        raise InvalidValueError(f"NIQE's parameters are a .mat, .npz or .json file, got {path}.")
    found = []
    for names in (("mu_prisparam", "mu_pris_param"), ("cov_prisparam", "cov_pris_param")):
        name = next((n for n in names if n in values), None)
        if name is None:
            raise InvalidValueError(
                f"{path} has no array {names[0]!r}; it has {sorted(n for n in values if not n.startswith('_'))}.",
                fix="Use the file of the original release (modelparameters.mat).",
            )
        found.append(np.asarray(values[name], np.float64))
    return NiqeParameters(found[0].reshape(-1), found[1], Path(path).name)


def fit_niqe(pictures: Iterable[Tensor], *, source: str, sharpness: float = 0.75) -> NiqeParameters:
    """The statistics of sharp photographs, for :class:`Niqe`.

    Parameters
    ----------
    pictures
        ``[3, H, W]`` each, 0..1, free of blur, noise and artifacts; any sizes. The original used 125 photographs.
    source
        The source of the statistics, shown in reports.
    sharpness
        Blocks are used if their local contrast is above this fraction of that of the sharpest block in the same image
        (.75 in the original); the others are out of focus or empty.

    Raises
    ------
    InvalidValueError
        There are fewer than 37 blocks in total, so that their covariance is singular.
    """
    if not 0 <= sharpness < 1:
        raise InvalidValueError(f"sharpness must be >= 0 and < 1, got {sharpness}.")
    chosen = []
    for picture in pictures:
        (gray,) = _grays(picture[None].clamp(0.0, 1.0))
        features, contrast = niqe_features(gray)
        chosen.append(features[contrast > sharpness * contrast.max()])
    rows = np.concatenate(chosen) if chosen else np.empty((0, _FEATURES))
    rows = rows[np.isfinite(rows).all(axis=1)]
    if len(rows) <= _FEATURES:
        raise InvalidValueError(
            f"The images have {len(rows)} sharp blocks of 96 px, but at least {_FEATURES + 1} are needed.",
            fix="Use more or larger photographs, or lower sharpness.",
        )
    return NiqeParameters(rows.mean(axis=0), np.cov(rows, rowvar=False), source)


def niqe_features(gray: Array) -> tuple[Array, Array]:
    """Features ``[N, 36]`` of each block of codes 0..255 ``[H, W]``, NaN for flat blocks, and contrasts ``[N]``."""
    rows, columns = gray.shape[0] // BLOCK_PX, gray.shape[1] // BLOCK_PX
    if rows * columns == 0:
        raise InvalidValueError(f"NIQE needs blocks of 96 x 96 px, got an image of {gray.shape[0]} x {gray.shape[1]}.")
    gray = gray[: rows * BLOCK_PX, : columns * BLOCK_PX]
    window = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    window /= window.sum()
    features, contrast = [], np.empty(0)
    for scale in (1, 2):
        mean = _smoothed(gray, window)
        deviation = np.sqrt(np.abs(_smoothed(gray * gray, window) - mean * mean))
        side = BLOCK_PX // scale
        if scale == 1:
            contrast = _blocks(deviation, side).mean(axis=(1, 2))
        features.append(_shapes(_blocks((gray - mean) / (deviation + 1), side)))
        gray = _halved(gray)
    return np.concatenate(features, axis=1), contrast


def _grays(pictures: Tensor) -> list[Array]:
    codes = (pictures.detach().double().cpu() * 255).round()
    return list(luma(codes)[:, 0].round().numpy())


def _distance(gray: Array, pristine: NiqeParameters) -> float:
    features, _ = niqe_features(gray)
    complete = features[np.isfinite(features).all(axis=1)]
    if len(complete) < 2:
        raise InvalidValueError(
            f"NIQE needs two blocks of 96 x 96 px that are not flat; an image of {gray.shape[0]} x {gray.shape[1]} has "
            f"{len(complete)}.",
            fix="Use larger images.",
        )
    # Means over all valid values, covariances of complete blocks, as the original's nanmean and nancov.
    difference = np.nanmean(features, axis=0) - pristine.mean
    inverse = np.linalg.pinv((np.cov(complete, rowvar=False) + pristine.covariance) / 2)
    return math.sqrt(max(float(difference @ inverse @ difference), 0.0))


def _smoothed(picture: Array, window: Array) -> Array:
    out = correlate1d(correlate1d(picture, window, axis=0, mode="nearest"), window, axis=1, mode="nearest")
    return np.asarray(out, np.float64)


def _blocks(picture: Array, side: int) -> Array:
    """``[N, side, side]``, in column-major order, as in the original."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    return picture.reshape(rows, side, columns, side).transpose(2, 0, 1, 3).reshape(-1, side, side)


def _halved(picture: Array) -> Array:
    """Half size by a cubic kernel (a = -.5) stretched by two, with mirrored borders: MATLAB's ``imresize(x, .5)``."""
    distance = np.array([0.25, 0.75, 1.25, 1.75])
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    side = np.where(distance <= 1, near, far)
    taps = np.concatenate([side[::-1], side])
    taps /= taps.sum()
    for axis in (0, 1):
        length = picture.shape[axis]
        padded = np.pad(picture, [(3, 3) if a == axis else (0, 0) for a in (0, 1)], mode="symmetric")
        picture = np.sum(
            [w * np.take(padded, np.arange(k, k + length, 2), axis=axis) for k, w in enumerate(taps)], axis=0
        )
    return picture


def _shapes(blocks: Array) -> Array:
    """The 18 features of each block at one scale."""
    shape, left, right = _asymmetric_gaussian(blocks)
    out = [shape, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        shape, left, right = _asymmetric_gaussian(blocks * np.roll(blocks, shift, axis=(1, 2)))
        mean = (right - left) * np.exp(gammaln(2 / shape) - gammaln(1 / shape))
        out += [shape, mean, left, right]
    return np.stack(out, axis=1)


_SHAPES = np.arange(200, 10_001) / 1000
_RATIOS = np.exp(2 * gammaln(2 / _SHAPES) - gammaln(1 / _SHAPES) - gammaln(3 / _SHAPES))  # increasing with the shape


def _asymmetric_gaussian(
    blocks: Array,
) -> tuple[Array, Array, Array]:
    """Shape and the two scales of an asymmetric generalized Gaussian, by moments; NaN for flat blocks."""
    values = blocks.reshape(len(blocks), -1)
    squares = values * values
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt((squares * (values < 0)).sum(axis=1) / (values < 0).sum(axis=1))
        right = np.sqrt((squares * (values > 0)).sum(axis=1) / (values > 0).sum(axis=1))
        skew = left / right
        ratio = np.abs(values).mean(axis=1) ** 2 / squares.mean(axis=1)
        wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    known = np.isfinite(wanted)
    target = np.where(known, wanted, _RATIOS[0])
    above = np.clip(np.searchsorted(_RATIOS, target), 1, len(_RATIOS) - 1)
    place = above - (target - _RATIOS[above - 1] <= _RATIOS[above] - target)
    shape = np.where(known, _SHAPES[place], np.nan)
    scale = np.exp(0.5 * (gammaln(1 / shape) - gammaln(3 / shape)))
    return shape, left * scale, right * scale
