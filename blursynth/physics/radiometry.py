"""From light to electrons to numbers: the linear camera model of EMVA 1288, as functions that can be checked by hand.

``mu = max(M x, 0) white_level_e (1 + prnu n1)``, ``N = min(Poisson(mu + dark), full_well_e)``,
``V = N + dsnu_e n2 + read + row + column``, ``DN = clip(round(K V + O + offset), 0, 2^b - 1)``.

x is linear light (1 = white), M the map from linear sRGB to the channels of the sensor, of which a mosaic keeps one per
pixel; mu, N and V are electrons, K the gain in DN per electron, O the black level in DN, b the bit depth. n1 and n2 are
standard normal numbers that belong to the pixel of the sensor, the same in all of its frames.

White at the top code makes ``white_level_e = (2^b - 1 - O) / K`` electrons, which is not the full well. In units of
white, the noise has the variance ``a x + b`` with ``a = 1 / white_level_e`` and ``b = (s_r / white_level_e)^2`` (Foi et
al.), where s_r is the read noise. Both are variances: in published tables, the read parameter of "Unprocessing Images"
is a variance, too, but that of RSBlur is a standard deviation.

Not modeled: blooming, smear, crosstalk between pixels, dark current that differs between pixels other than in its mean
offset, random telegraph noise, non-linearity.

Sources: EMVA Standard 1288 release 4.0; Foi, Trimeche, Katkovnik, Egiazarian, "Practical Poissonian-Gaussian noise
modeling and fitting for single-image raw-data", IEEE TIP 17(10):1737-1754, 2008.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.batches import of_shape

__all__ = [
    "LARGEST_PRNU",
    "QUANTISATION_VARIANCE_DN2",
    "TUKEY_SHAPES",
    "SensorParameters",
    "dn_variance",
    "tukey_lambda_sd",
]

TUKEY_SHAPES = (-0.4, 1.0)
"""Range of the shape of Tukey-lambda noise."""

LARGEST_PRNU = 0.2

_APERY = 1.2020569031595942

QUANTISATION_VARIANCE_DN2 = 1.0 / 12.0
"""Variance that rounding to whole DN adds, when the noise is wide enough to spread over several of them."""


@dataclass(frozen=True, eq=False)
class SensorParameters:
    """The sensors of a batch, one number per picture.

    Scalars and shorter arrays are broadcast against each other to ``[B]``.

    Parameters
    ----------
    white_level_e
        ``[B]`` electrons at linear 1.0 in this exposure, > 0.
    full_well_e
        ``[B]`` electrons that a pixel can hold, > 0; infinity for no limit.
    read_noise_e
        ``[B]`` standard deviation of the read noise in electrons, >= 0.
    row_noise_e
        ``[B]`` standard deviation of the noise shared by a row of one channel, in electrons, >= 0.
    gain_dn_per_e
        ``[B]`` the gain K in DN per electron, > 0.
    black_level_dn
        ``[B]`` the DN of no light.
    bit_depth
        ``[B]`` bits of the converter, 1 to 24 (float32 holds no more integers).
    shot_noise
        ``[B]`` whether electrons are counted one by one.
    rounding
        ``[B]`` whether the converter rounds to whole DN. It clips in any case.
    column_noise_e
        ``[B]`` standard deviation of the noise shared by a column of one channel, in electrons, >= 0.
    read_noise_shape
        ``[B]`` the shape lambda of a Tukey-lambda distribution for the read noise, -0.4 to 1 (.14 is nearly normal,
        less has heavier tails), or NaN for a normal one. Its standard deviation is ``read_noise_e`` in either case.
    dark_e
        ``[B]`` mean electrons of the dark current in this exposure, >= 0.
    prnu
        ``[B]`` relative standard deviation of the pixels' responses (photo-response non-uniformity), 0 to 0.2.
    dsnu_e
        ``[B]`` standard deviation in electrons of the pixels' dark offsets (dark-signal non-uniformity), >= 0.
    sensor_seed
        ``[B]`` seed of the sensor: of the patterns that are fixed per pixel (PRNU, DSNU).
    mosaic
        ``[B]`` 0 where every channel is measured at every pixel, else 1 + the index of the pattern in
        :data:`blursynth.frame.MOSAICS`. All pictures of a batch have one, or none.
    from_light
        ``[B, 3, 3]`` from linear sRGB to the response of the red, green and blue pixels; the identity by default. Other
        numbers of channels than three only with the identity.
    offset_dn
        ``[B, 4]`` offsets of the black level in DN for the colors R, G (in rows with R), G (in rows with B), B;
        without a mosaic the first, the second and the fourth stand for the three channels.

    Raises
    ------
    InvalidValueError
        A value is out of its range, or arrays do not fit each other.

    Examples
    --------
    >>> SensorParameters(white_level_e=1000.0, full_well_e=[2000.0, 500.0]).white_level_e
    array([1000., 1000.])
    """

    white_level_e: NDArray[np.float64]
    full_well_e: NDArray[np.float64]
    read_noise_e: NDArray[np.float64] = 0.0  # type: ignore[assignment]  # scalars are broadcast below
    row_noise_e: NDArray[np.float64] = 0.0  # type: ignore[assignment]
    gain_dn_per_e: NDArray[np.float64] = 1.0  # type: ignore[assignment]
    black_level_dn: NDArray[np.float64] = 0.0  # type: ignore[assignment]
    bit_depth: NDArray[np.int64] = 16  # type: ignore[assignment]
    shot_noise: NDArray[np.bool_] = True  # type: ignore[assignment]
    rounding: NDArray[np.bool_] = True  # type: ignore[assignment]
    column_noise_e: NDArray[np.float64] = 0.0  # type: ignore[assignment]
    read_noise_shape: NDArray[np.float64] = math.nan  # type: ignore[assignment]
    dark_e: NDArray[np.float64] = 0.0  # type: ignore[assignment]
    prnu: NDArray[np.float64] = 0.0  # type: ignore[assignment]
    dsnu_e: NDArray[np.float64] = 0.0  # type: ignore[assignment]
    sensor_seed: NDArray[np.uint64] = 0  # type: ignore[assignment]
    mosaic: NDArray[np.int64] = 0  # type: ignore[assignment]
    from_light: NDArray[np.float64] = None  # type: ignore[assignment]
    offset_dn: NDArray[np.float64] = 0.0  # type: ignore[assignment]

    def __post_init__(self) -> None:
        names = tuple(name for name in self.__dataclass_fields__ if name not in ("from_light", "offset_dn"))
        kinds: dict[str, type[np.generic]] = {
            "bit_depth": np.int64,
            "shot_noise": np.bool_,
            "rounding": np.bool_,
            "sensor_seed": np.uint64,
            "mosaic": np.int64,
        }
        given: list[NDArray[Any]] = [np.asarray(getattr(self, name), kinds.get(name, np.float64)) for name in names]
        given = [values if values.ndim else values.reshape(1) for values in given]
        whole: Sequence[NDArray[Any]] = given
        try:
            if any(a.shape != given[0].shape for a in given):
                whole = np.broadcast_arrays(*given)
        except ValueError as error:
            shapes = ", ".join(f"{name} {a.shape}" for name, a in zip(names, given, strict=True))
            raise InvalidValueError(
                f"The parameters of a sensor must all have one number per picture, got {shapes}.",
                fix="Pass scalars or arrays of equal length.",
            ) from error
        if whole[0].ndim != 1:
            raise InvalidValueError(
                f"The parameters of a sensor must be numbers or arrays [B], got shape {whole[0].shape}.",
                fix="A map with one number per pixel is not modeled.",
            )
        for name, values in zip(names, whole, strict=True):
            object.__setattr__(self, name, np.ascontiguousarray(values))
        self._check("white_level_e", 0.0, inclusive=False)
        self._check("full_well_e", 0.0, inclusive=False, infinite=True)
        self._check("read_noise_e", 0.0)
        self._check("row_noise_e", 0.0)
        self._check("gain_dn_per_e", 0.0, inclusive=False)
        self._check("black_level_dn", -sys.float_info.max)
        if not all(1 <= bits <= 24 for bits in self.bit_depth.tolist()):
            raise InvalidValueError(
                f"bit_depth must be 1 to 24, got {self.bit_depth.tolist()}.",
                why="float32 holds integers up to 2^24 only.",
            )
        self._check("column_noise_e", 0.0)
        self._check("dark_e", 0.0)
        self._check("prnu", 0.0)
        self._check("dsnu_e", 0.0)
        for b, (shape, prnu) in enumerate(zip(self.read_noise_shape.tolist(), self.prnu.tolist(), strict=True)):
            if not (math.isnan(shape) or TUKEY_SHAPES[0] <= shape <= TUKEY_SHAPES[1]):
                raise InvalidValueError(
                    f"read_noise_shape must be {TUKEY_SHAPES[0]} to {TUKEY_SHAPES[1]}, or NaN for normal noise, "
                    f"got {shape} for picture {b}.",
                    why="Below -0.5 the distribution has no standard deviation.",
                )
            if prnu > LARGEST_PRNU:
                raise InvalidValueError(
                    f"prnu must be at most {LARGEST_PRNU}, got {prnu} for picture {b}.",
                    why="It is a share of the signal, .003 to .01 in good sensors; beyond this pixels turn negative.",
                )
        mosaics = self.mosaic.tolist()
        if not (all(m == 0 for m in mosaics) or all(1 <= m <= 4 for m in mosaics)):
            raise InvalidValueError(
                f"mosaic must be 0 for all pictures of a batch, or 1 to 4 for all, got {mosaics}.",
                why="A mosaicked picture has one channel, others have three.",
                fix="Process them apart.",
            )
        batch = self.white_level_e.size
        identity = np.eye(3)
        try:
            matrix = of_shape(identity if self.from_light is None else self.from_light, (batch, 3, 3), np.float64)
            offset = of_shape(self.offset_dn, (batch, 4), np.float64)
        except ValueError:
            raise InvalidValueError(
                f"from_light must be [{batch}, 3, 3] and offset_dn [{batch}, 4], got {np.shape(self.from_light)} and "
                f"{np.shape(self.offset_dn)}."
            ) from None
        if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
            raise InvalidValueError("from_light and offset_dn must be finite numbers.")
        object.__setattr__(self, "from_light", matrix)
        object.__setattr__(self, "offset_dn", offset)
        # Plain, since compilers trace no values.
        mosaic = any(mosaics)
        object.__setattr__(self, "_has_mosaic", mosaic)
        object.__setattr__(self, "_has_colors", mosaic or bool((matrix != identity).any()))

    def _check(self, name: str, low: float, *, inclusive: bool = True, infinite: bool = False) -> None:
        high = math.inf if infinite else sys.float_info.max
        # As plain numbers: for batches of usual size that is faster than a handful of array operations.
        for b, value in enumerate(getattr(self, name).tolist()):
            if not ((value >= low if inclusive else value > low) and value <= high):
                raise InvalidValueError(
                    f"{name} must be {'>=' if inclusive else '>'} {low:g}{'' if infinite else ' and finite'}, "
                    f"got {value} for picture {b}."
                )

    def __len__(self) -> int:
        return int(self.white_level_e.size)

    @property
    def has_mosaic(self) -> bool:
        """Whether the pixels see one color each, so that one channel comes out."""
        return bool(self._has_mosaic)  # type: ignore[attr-defined]

    @property
    def has_colors(self) -> bool:
        """Whether light of three channels is needed: a mosaic, or a map of colors."""
        return bool(self._has_colors)  # type: ignore[attr-defined]

    @property
    def top_dn(self) -> NDArray[np.float64]:
        """``[B]`` the highest code ``2^b - 1``."""
        return np.asarray(2.0**self.bit_depth - 1.0)


def tukey_lambda_sd(shape: float) -> float:
    """Standard deviation of the standard Tukey-lambda distribution, ``Q(u) = (u^l - (1 - u)^l) / l``.

    ``Var = 2 / l^2 (1 / (1 + 2 l) - Gamma(l + 1)^2 / Gamma(2 l + 2))``; pi^2 / 3 for l = 0 (logistic).

    >>> round(tukey_lambda_sd(0.0), 6), round(tukey_lambda_sd(1.0), 6)
    (1.813799, 0.57735)
    """
    if abs(shape) < 3e-5:  # the difference below would lose its digits
        return math.sqrt(math.pi**2 / 3.0 - (2.0 * math.pi**2 / 3.0 + 4.0 * _APERY) * shape)
    ratio = math.exp(2.0 * math.lgamma(shape + 1.0) - math.lgamma(2.0 * shape + 2.0))
    return math.sqrt(2.0 / shape**2 * (1.0 / (1.0 + 2.0 * shape) - ratio))


def dn_variance(
    mean_e: ArrayLike,
    gain_dn_per_e: ArrayLike,
    read_noise_e: ArrayLike = 0.0,
    row_noise_e: ArrayLike = 0.0,
    *,
    rounding: bool = True,
) -> NDArray[np.float64]:
    """Variance law ``Var[DN] = K^2 (mu + s_r^2 + s_row^2) + 1/12``, away from both ends and from the full well.

    Against the mean ``K mu`` this is a straight line of slope K: the photon transfer curve.

    >>> float(dn_variance(100.0, 0.5, read_noise_e=2.0, rounding=False))
    26.0
    """
    gain = np.asarray(gain_dn_per_e, np.float64)
    read, row = np.asarray(read_noise_e, np.float64), np.asarray(row_noise_e, np.float64)
    noise = gain**2 * (np.asarray(mean_e, np.float64) + read**2 + row**2)
    return np.asarray(noise + (QUANTISATION_VARIANCE_DN2 if rounding else 0.0))
