"""Photon transfer: gain, read noise and black level of a sensor from its own pictures.

The temporal variance of a pixel of a linear sensor is a linear function of its mean (EMVA 1288):
``Var = K (mean - O) + K^2 s_r^2 + 1/12`` in DN^2, with the gain K in DN per electron, the black level O and the read
noise s_r in electrons. Dark frames give O and the intercept, and pairs of flat fields give points of the line: the
difference of two frames of one exposure has no fixed pattern, and twice the variance. The noise shared by whole rows
and columns is subtracted first and estimated separately.

Confidence intervals are 95 % intervals. They come from the statistics of variances: the sample variance of n pixels
with variance v and fourth cumulant k4 has the variance ``(2 v^2 + k4) / n``. For shot noise, k4 and the error of the
mean cancel along the line (for Poisson counts ``k4 = K^4 mu``, and mean and variance of the same pixels err together),
so that ``2 v^2`` remains; for the read noise, k4 is measured in the dark frames, since its tails may be heavy. Errors
that points share (the black level, row noise in the mean) are part of their covariances.

Tails so heavy that variances of variances hardly exist (Tukey-lambda below -.2) make the interval of the read noise too
narrow: its coverage is about 90 % there.

Not modeled: light that flickers between the frames of a pair beyond a common factor, dark current that differs
between dark frames and flats, sensors that are not linear.

Sources: EMVA Standard 1288 release 4.0, sections 2 and 6; Janesick, "Photon Transfer", SPIE 2007.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.mosaic import color_sites, mosaic_code
from blursynth.physics.radiometry import QUANTISATION_VARIANCE_DN2

__all__ = [
    "CUT_AT_BLACK",
    "CUT_AT_WHITE",
    "LINEAR_SHARE",
    "NEAR_SATURATION",
    "NEAR_WHITE",
    "NO_NOISE",
    "SATURATED",
    "Estimate",
    "NoiseLine",
    "PhotonTransfer",
    "TransferPoint",
    "fit_noisy_clean",
    "fit_photon_transfer",
]

LINEAR_SHARE = 0.7
"""Points up to this share of saturation are fitted (EMVA 1288)."""

SATURATED = "saturated"
NEAR_SATURATION = f"above {LINEAR_SHARE:.0%} of saturation".replace("%", " %")
CUT_AT_BLACK = "noise cut off at black"
CUT_AT_WHITE = "noise cut off at white"
NEAR_WHITE = "too close to white"
NO_NOISE = "no noise in it"

_SMALLEST_VARIANCE_DN2 = 0.24
"""Below this the converter's steps hide the read noise (EMVA 1288)."""

_Z = 1.959963984540054  # 95 % of a normal distribution lie within +- this
_GROUPS = ("red", "green beside red", "green beside blue", "blue")
_MOST_CLIPPED = 1e-3  # share of pixels at an end of the converter that a variance can bear
_MOST_OF_A_FRAME = 0.5  # with this share of its pixels cut off, a frame tells nothing
_MOSAIC_SHARE = 0.03  # sites of a pattern whose signals differ by less may be steps of a readout


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @staticmethod
    def of(value: float, se: float, *, least: float = -math.inf) -> Estimate:
        """From a standard error."""
        return Estimate(max(value, least), max(value - _Z * se, least), max(value + _Z * se, least))

    @staticmethod
    def root(square: float, se: float) -> Estimate:
        """The root of a number that is not negative, from the number and its standard error."""
        ends = (max(v, 0.0) for v in (square, square - _Z * se, square + _Z * se))
        return Estimate(*(math.sqrt(v) for v in ends))

    def scaled(self, factor: float) -> Estimate:
        """In another unit."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    def holds(self, truth: float) -> bool:
        """Whether the interval contains a number."""
        return self.low <= truth <= self.high

    def texts(self) -> tuple[str, str, str]:
        """Value and ends, with as many digits as the interval justifies."""
        width = self.high - self.low
        digits = min(max(2 - math.floor(math.log10(width)), 0), 12) if width > 0 else 6
        value, low, high = (f"{number:.{digits}f}" for number in (self.value, self.low, self.high))
        return value, low, high

    def __str__(self) -> str:
        value, low, high = self.texts()
        return f"{value} ({low} to {high})"


@dataclass(frozen=True)
class TransferPoint:
    """A point of the photon transfer curve.

    ``signal_dn`` is the mean above the black level, ``variance_dn2`` the temporal variance without the noise of rows
    and columns, ``se_dn2`` its standard error, ``plane`` the color of the pattern, ``pair`` the number of the pair
    (counted from 1), and ``why_not`` the reason if it was not ``used``: :data:`SATURATED` or :data:`NEAR_SATURATION`.
    """

    plane: str
    signal_dn: float
    variance_dn2: float
    se_dn2: float
    used: bool
    pair: int = 0
    why_not: str = ""


@dataclass(frozen=True)
class PhotonTransfer:
    """The result of photon transfer for a sensor at one setting, with 95 % intervals.

    Parameters
    ----------
    gain_dn_per_e
        The gain K.
    read_noise_e, read_noise_dn
        Standard deviation of the read noise, without the noise of rows and columns and without rounding.
    black_level_dn
        Mean of the dark frames.
    black_of_plane_dn
        The same for red, green beside red, green beside blue and blue; a single value without a pattern.
    row_noise_e, column_noise_e
        Standard deviation of the noise shared by whole rows and columns.
    prnu, dsnu_e
        Relative standard deviation of the pixels' responses, and of their dark offsets in electrons.
    saturation_dn
        Value at which the sensor or its converter saturates.
    points
        All points; those that are ``used`` were fitted.
    intercept_dn2
        Variance in the dark: the start of the line.
    misfit
        Chi-squared per degree of freedom: about 1 for a linear sensor in steady light.
    """

    gain_dn_per_e: Estimate
    read_noise_e: Estimate
    read_noise_dn: Estimate
    black_level_dn: Estimate
    black_of_plane_dn: tuple[Estimate, ...]
    row_noise_e: Estimate
    column_noise_e: Estimate
    prnu: Estimate
    dsnu_e: Estimate
    saturation_dn: float
    points: tuple[TransferPoint, ...]
    intercept_dn2: float
    covariance: NDArray[np.float64]  # [2, 2] of gain and intercept
    misfit: float

    def line(self, signal_dn: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The fitted variance at signals above black, and half the width of its 95 % band."""
        return _line(signal_dn, self.gain_dn_per_e.value, self.intercept_dn2, self.covariance)


@dataclass(frozen=True)
class NoiseLine:
    """Noise against brightness from one noisy picture and its clean one: ``variance = gain signal + intercept``.

    ``gain`` is the variance per unit of signal, ``read_noise`` the standard deviation at black, both in the units of
    the pictures; ``signal``, ``variance`` and ``se`` are the points, ``used`` says which of them were fitted, and
    ``why_not`` why a point was not: :data:`CUT_AT_BLACK`, :data:`CUT_AT_WHITE`, :data:`NEAR_WHITE` or :data:`NO_NOISE`.
    """

    gain: Estimate
    read_noise: Estimate
    intercept: float
    covariance: NDArray[np.float64]
    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    se: NDArray[np.float64]
    used: NDArray[np.bool_]
    why_not: tuple[str, ...] = ()

    def line(self, signal: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The fitted variance, and half the width of its 95 % band."""
        return _line(signal, self.gain.value, self.intercept, self.covariance)


def _line(
    signal: ArrayLike, gain: float, intercept: float, covariance: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = np.asarray(signal, np.float64)
    half = _Z * np.sqrt(covariance[0, 0] * x**2 + 2 * covariance[0, 1] * x + covariance[1, 1])
    return intercept + gain * x, half


def _planes(mosaic: str | None) -> tuple[tuple[slice, slice], ...]:
    """Slices of a pattern's colors: red, green beside red, green beside blue, blue; without one, all pixels."""
    if mosaic is None:
        return ((slice(None), slice(None)),)
    sites = color_sites(mosaic_code(mosaic), (0, 0), (2, 2))
    place = {int(c): (int(r), int(k)) for (r, k), c in np.ndenumerate(sites)}  # greens overwrite each other
    red, blue = place[0], place[2]
    wanted = (red, (red[0], 1 - red[1]), (blue[0], 1 - blue[1]), blue)
    return tuple((slice(r, None, 2), slice(c, None, 2)) for r, c in wanted)


def _without_rows_and_columns(frame: NDArray[np.float64]) -> NDArray[np.float64]:
    """Residuals from the means of rows and columns; ``(h - 1)(w - 1)`` degrees of freedom are left."""
    rows = frame.mean(axis=-1, keepdims=True)
    columns = frame.mean(axis=-2, keepdims=True)
    return np.asarray(frame - rows - columns + frame.mean(axis=(-2, -1), keepdims=True))


def _frame(frame: ArrayLike, what: str, shape: tuple[int, ...] | None, top_dn: float) -> NDArray[np.float64]:
    array = np.asarray(frame)
    if array.ndim != 2:
        raise InvalidValueError(
            f"{what} must be raw values [H, W], got shape {list(array.shape)}.",
            fix="Give the mosaic itself, or one channel; a developed picture is not a raw frame.",
        )
    if shape is not None and array.shape != shape:
        raise InvalidValueError(
            f"{what} is {array.shape[1]} x {array.shape[0]} px, the first frame {shape[1]} x {shape[0]}.",
            fix="Use frames of one camera, all of one size.",
        )
    if min(array.shape) < 16:
        raise InvalidValueError(f"{what} must be at least 16 x 16 px, got {array.shape[1]} x {array.shape[0]}.")
    wide = np.asarray(array, np.float64)
    if not np.isfinite(wide).all() or wide.min() < 0 or wide.max() > top_dn:
        raise InvalidValueError(
            f"{what} must hold values from 0 to {top_dn:g}, got {wide.min():g} to {wide.max():g}.",
            fix="Give the bit depth of the converter; values that were shifted to 16 bits have bit depth 16.",
        )
    return wide


def _true_moments(mean_dn: float, variance_dn2: float) -> tuple[float, float]:
    """Mean and variance of normal noise before rounding, from those after it.

    Sheppard's correction by 1/12 holds for noise wider than a step; for narrower noise, both depend on the position of
    the mean between two codes.
    """
    if variance_dn2 > 1.5:  # there the correction is exact to 1e-10
        return mean_dn, variance_dn2 - QUANTISATION_VARIANCE_DN2
    codes = math.floor(mean_dn) + np.arange(-8, 10)
    from scipy.special import ndtr

    def rounded(mean: float, variance: float) -> tuple[float, float]:
        edges = (np.append(codes - 0.5, codes[-1] + 0.5) - mean) / math.sqrt(variance)
        share = np.diff(ndtr(edges))
        middle = float((share * codes).sum())
        return middle, float((share * (codes - middle) ** 2).sum())

    mean, variance = mean_dn, max(variance_dn2 - QUANTISATION_VARIANCE_DN2, 0.02)
    for _ in range(60):
        found = rounded(mean, variance)
        mean += mean_dn - found[0]
        variance = max(variance + 0.7 * (variance_dn2 - found[1]), 0.02)
    return mean, variance


@dataclass(frozen=True)
class _Dark:
    """Statistics of the dark frames of one plane."""

    mean_dn: float
    variance_dn2: float  # with what rounding adds to it
    true_variance_dn2: float  # without
    se_dn2: float
    fourth_cumulant: float
    pixels: int
    fixed_dn2: float  # variance of the dark offsets
    fixed_se: float


def _dark_plane(frames: NDArray[np.float64]) -> _Dark:
    """``frames [N, h, w]`` of one plane."""
    count, height, width = frames.shape
    average = frames.mean(axis=0)
    residual = _without_rows_and_columns(frames - average)
    free = (height - 1) * (width - 1)
    variance = float((residual**2).sum() / (free * (count - 1)))
    pixels = height * width
    # The residuals of N frames from their mean have this share of the fourth cumulant of one frame.
    share = (1 - 1 / count) ** 4 + (count - 1) / count**4
    raw = float((residual**4).mean() - 3 * (residual**2).mean() ** 2)
    cumulant = max(raw / share, -1.2 * variance**2)
    se = math.sqrt(max(2 * variance**2 / (count - 1) + cumulant / count, 0.0) / free)
    measured = float(frames.mean())
    mean, true = _true_moments(measured, variance)
    step = 1e-3 * variance
    se *= (_true_moments(measured, variance + step)[1] - true) / step  # 1 but for narrow noise
    left = _without_rows_and_columns(average)
    spread = float((left**2).sum() / free)
    fixed = spread - variance / count
    fixed_se = math.sqrt(2.0 / free) * math.hypot(spread, variance / count / math.sqrt(count - 1))
    return _Dark(mean, variance, true, se, cumulant, pixels, fixed, fixed_se)


def _shared_variance(frames: NDArray[np.float64], pixel_dn2: float, axis: int) -> tuple[float, float]:
    """Variance and its standard error of the noise shared by rows (axis 2) or columns (1) of frames ``[N, H, W]``."""
    lines = (frames - frames.mean(axis=0)).mean(axis=axis)
    lines = lines - lines.mean(axis=1, keepdims=True)
    count = len(lines)
    free = (count - 1) * (lines.shape[1] - 1)
    whole = float((lines**2).sum() / free)
    return whole - pixel_dn2 / frames.shape[axis], whole * math.sqrt(2.0 / free)


def fit_photon_transfer(
    dark: Sequence[ArrayLike],
    flats: Sequence[tuple[ArrayLike, ArrayLike]],
    *,
    bit_depth: int,
    mosaic: str | None = None,
    dark_names: Sequence[str] | None = None,
    flat_names: Sequence[tuple[str, str]] | None = None,
) -> PhotonTransfer:
    """Estimate gain, read noise, black level and more from dark frames and pairs of flat fields at one setting.

    Parameters
    ----------
    dark
        At least two raw frames ``[H, W]`` without light, with the exposure time of the flats (or a short one).
    flats
        Pairs of raw frames of an evenly lit, defocused surface; both frames of a pair have the same exposure, and pairs
        differ. At least two must not be saturated; eight up to 70 % of saturation are a good choice.
    bit_depth
        Bit depth of the converter; the top code is ``2^bit_depth - 1``.
    mosaic
        The Bayer pattern, as in :data:`blursynth.frame.MOSAICS`; None for a monochrome sensor.
    dark_names, flat_names
        Names of the frames in messages, such as their files; by default their numbers.

    Saturated pairs are left out, which their points record.

    Raises
    ------
    InvalidValueError
        There are too few frames, frames differ in size, dark frames are not dark or are clipped at 0, two frames are
        not a pair, fewer than two pairs of flats lie below saturation, or flats of a Bayer sensor are given without its
        pattern.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> def frame(mean_e):
    ...     return np.rint(0.5 * (rng.poisson(mean_e, (64, 64)) + rng.normal(0, 4, (64, 64))) + 100)
    >>> fitted = fit_photon_transfer(
    ...     [frame(0) for _ in range(4)], [(frame(e), frame(e)) for e in (500, 1000, 2000)], bit_depth=12
    ... )
    >>> fitted.gain_dn_per_e.holds(0.5), fitted.read_noise_e.holds(4.0), round(fitted.black_level_dn.value)
    (True, True, 100)
    """
    if isinstance(bit_depth, bool) or not isinstance(bit_depth, int) or not 2 <= bit_depth <= 16:
        raise InvalidValueError(f"bit_depth must be 2 to 16, got {bit_depth!r}.")
    top = float(2**bit_depth - 1)
    dark, flats = list(dark), list(flats)
    if len(dark) < 2:
        raise InvalidValueError(
            f"At least two dark frames are needed, got {len(dark)}.",
            why="A single one gives the black level, but not the noise from frame to frame.",
            fix="Take four to sixteen with the cap on the lens.",
        )
    if len(flats) < 2:
        raise InvalidValueError(
            f"At least two pairs of flat fields are needed, got {len(flats)}.",
            why="A line is determined by two points.",
            fix="Take pairs at eight exposures, up to 70 % of saturation.",
        )
    if any(len(pair) != 2 for pair in flats):
        raise InvalidValueError("Flat fields must be pairs of equal exposure.", fix="Give two frames of each exposure.")
    called = list(dark_names or [f"Dark frame {i}" for i in range(1, len(dark) + 1)])
    pair_called = list(flat_names or [(f"Flat field {i}a", f"Flat field {i}b") for i in range(1, len(flats) + 1)])
    if len(called) != len(dark) or len(pair_called) != len(flats):
        raise InvalidValueError(
            f"Every frame needs one name, got {len(called)} names of {len(dark)} dark frames and {len(pair_called)} "
            f"of {len(flats)} pairs."
        )
    first = _frame(dark[0], called[0], None, top)
    shape = first.shape
    darks = np.stack([first, *(_frame(d, n, shape, top) for d, n in zip(dark[1:], called[1:], strict=True))])
    if (darks == darks[0]).all():
        raise InvalidValueError(
            "The dark frames are all the same.", why="They are copies of one frame, or the converter hides all noise."
        )
    if (darks <= 0).mean() > _MOST_CLIPPED:
        raise InvalidValueError(
            f"{(darks <= 0).mean():.1%} of the dark pixels are 0.",
            why="The lower half of the noise is clipped, so neither black level nor read noise can be estimated.",
            fix="Use raw values that still include the black level.",
        )
    planes = _planes(mosaic)
    names = _GROUPS if mosaic is not None else ("all",)
    found = [_dark_plane(darks[:, rows, columns]) for rows, columns in planes]
    pixel_dn2 = float(np.mean([d.variance_dn2 for d in found]))
    row_dn2, row_se = _shared_variance(darks, pixel_dn2, 2)
    column_dn2, column_se = _shared_variance(darks, pixel_dn2, 1)

    size = darks[0][planes[0]].shape
    free = (size[0] - 1) * (size[1] - 1)
    rows_share, columns_share = max(row_dn2, 0.0) / size[0], max(column_dn2, 0.0) / size[1]

    def shared(one: int, other: int) -> float:
        """Covariance of the means of two planes of one frame due to the noise of rows and columns."""
        same_rows = planes[one][0] == planes[other][0]
        same_columns = planes[one][1] == planes[other][1]
        return float(rows_share * same_rows + columns_share * same_columns)

    count = len(darks)
    black_covariance = np.array(
        [[shared(p, q) / count for q in range(len(planes))] for p in range(len(planes))], np.float64
    )
    black_covariance += np.diag([d.variance_dn2 / (count * d.pixels) for d in found])
    black = np.array([d.mean_dn for d in found])

    signal, variance, plane_of, exposure_of, clipped, ceilings, averages = [], [], [], [], [], [], []
    sites: list[_Sites] = []
    cut_pairs: list[str] = []
    for i, (pair, both_called) in enumerate(zip(flats, pair_called, strict=True), 1):
        a, b = (_frame(f, n, shape, top) for f, n in zip(pair, both_called, strict=True))
        cuts = [_ceiling(a[place], b[place], top) for place in planes]
        cut, ceiling = max(cuts)
        _check_pair(a, b, both_called, float(black.mean()), pixel_dn2 + row_dn2, cut > _MOST_OF_A_FRAME)
        if cut >= _MOST_CLIPPED:
            cut_pairs.append(
                f"of {both_called[0]} and {both_called[1]} up to {cut:.1%} of the pixels are at {ceiling:.0f} DN"
            )
        if mosaic is None:
            sites.append(_sites(a, b, darks))
        for p, (rows, columns) in enumerate(planes):
            half = _without_rows_and_columns(a[rows, columns] - b[rows, columns])
            both = 0.5 * (a[rows, columns] + b[rows, columns])
            signal.append(float(both.mean()) - black[p])
            variance.append(float((half**2).sum() / (2 * free)))
            plane_of.append(p)
            exposure_of.append(i)
            clipped.append(cuts[p][0])
            ceilings.append(cuts[p][1])
            averages.append(float((_without_rows_and_columns(both) ** 2).sum() / free))
    x, y = np.array(signal), np.array(variance)
    of_plane, of_exposure = np.array(plane_of), np.array(exposure_of)
    if x.max() < 3 * math.sqrt(pixel_dn2 / size[0]):
        raise InvalidValueError(
            "The flat fields are as dark as the dark frames.", fix="Check the order: first dark frames, then flats."
        )
    if mosaic is None:
        _check_sites(sites)
    cut_off = np.array(clipped) >= _MOST_CLIPPED
    # Software may clip below the top code.
    end = float(np.array(ceilings)[cut_off].min()) if cut_off.any() else top
    saturation = min(_saturation(x + black[of_plane], y, np.array(clipped), top), end)
    limit = LINEAR_SHARE * (saturation - black[of_plane])
    used = (x <= limit) & (x + black[of_plane] + 4 * np.sqrt(y) <= saturation) & ~cut_off
    left = len(set(of_exposure[used].tolist()))
    if left < 2:
        what = f"Only {left} of {len(flats)} pairs of flat fields lie below 70 % of saturation ({saturation:.0f} DN)."
        why, fix = "Above it, noise is cut off, and the line ends.", "Take more at shorter exposures."
        if cut_pairs:
            what += f" {len(cut_pairs)} are saturated: {cut_pairs[0]}."
            why = "Noise is cut off there, so its variance tells nothing."
            fix = "Take the flat fields at shorter exposures: the brightest at 70 % of saturation."
            if len(cut_pairs) == len(flats):
                what = f"All {len(flats)} pairs of flat fields are saturated: {cut_pairs[0]}"
                what += "." if len(cut_pairs) == 1 else ", and so on."
            if saturation < top:
                why += f" The top code of the given bit depth is {top:.0f}, but the pixels end below it: the sensor "
                why += "saturates earlier, or software clipped the frames."
                fix += " Check that the bit depth is the converter's."
        raise InvalidValueError(what, why=why, fix=fix)

    # The pooled dark variance, and the line through all points that are used.
    weights = np.array([1 / max(d.se_dn2, 1e-300) ** 2 for d in found])
    # In the light, noise is wide and rounding adds 1/12; in the dark it may add another amount, which is corrected.
    dark_dn2 = float((weights * [d.true_variance_dn2 for d in found]).sum() / weights.sum()) + QUANTISATION_VARIANCE_DN2
    dark_se2 = float(1 / weights.sum())
    cumulant = float(np.mean([d.fourth_cumulant for d in found]))
    xs, ys, ps, es = x[used], y[used], of_plane[used], of_exposure[used]
    design = np.column_stack([np.append(xs, 0.0), np.ones(len(xs) + 1)])
    observed = np.append(ys, dark_dn2)
    gain, intercept = float((ys - dark_dn2).sum() / xs.sum()), dark_dn2
    same_exposure = es[:, None] == es[None, :]
    means = np.array([[shared(int(p), int(q)) for q in ps] for p in ps]) / 2 * same_exposure
    means = means + black_covariance[np.ix_(ps, ps)]
    fit = np.zeros((2, 2))
    own = np.zeros(len(xs))
    for _ in range(6):
        model = np.maximum(intercept + gain * xs, 0.5 * ys)
        own = (2 * model**2 + max(cumulant, -(model.min() ** 2)) / 2 + gain**2 * intercept / 2) / free
        whole = np.zeros((len(xs) + 1, len(xs) + 1))
        whole[:-1, :-1] = np.diag(own) + gain**2 * means
        whole[-1, -1] = dark_se2
        inverse = np.linalg.inv(whole)
        fit = np.linalg.inv(design.T @ inverse @ design)
        gain, intercept = (float(v) for v in fit @ design.T @ inverse @ observed)
    if not gain > 0:
        raise InvalidValueError(
            f"The variance does not grow with the light: the fitted gain is {gain:.3g}.",
            fix="Check the order of the frames, and that they are raw values.",
        )
    rest = observed - design @ [gain, intercept]
    misfit = float(rest @ inverse @ rest) / max(len(observed) - 2, 1)

    read_dn2 = max(intercept - QUANTISATION_VARIANCE_DN2, 0.0)
    read_e = math.sqrt(read_dn2) / gain
    slopes = np.array([-read_e / gain, 1 / (2 * max(read_e, 1e-12) * gain**2)])
    read_noise_e = Estimate.of(read_e, float(np.sqrt(slopes @ fit @ slopes)), least=0.0)
    read_noise_dn = Estimate.root(read_dn2, math.sqrt(fit[1, 1]))
    if intercept < _SMALLEST_VARIANCE_DN2:
        most = math.sqrt(_SMALLEST_VARIANCE_DN2)
        read_noise_dn = Estimate(read_noise_dn.value, 0.0, most)
        read_noise_e = Estimate(read_noise_e.value, 0.0, most / gain)

    errors = 2 * y**2 / free  # of all points; the fit knows better those that it used
    errors[used] = own
    pattern, pattern_se = _pattern(np.array(averages)[used], ys, xs, found, ps, free)
    return PhotonTransfer(
        gain_dn_per_e=Estimate.of(gain, math.sqrt(fit[0, 0])),
        read_noise_e=read_noise_e,
        read_noise_dn=read_noise_dn,
        black_level_dn=Estimate.of(float(black.mean()), math.sqrt(float(black_covariance.mean()))),
        black_of_plane_dn=tuple(
            Estimate.of(float(b), math.sqrt(float(v))) for b, v in zip(black, np.diag(black_covariance), strict=True)
        ),
        row_noise_e=Estimate.root(row_dn2, row_se).scaled(1 / gain),
        column_noise_e=Estimate.root(column_dn2, column_se).scaled(1 / gain),
        prnu=Estimate.root(pattern, pattern_se),
        dsnu_e=Estimate.root(
            float(np.mean([d.fixed_dn2 for d in found])),
            math.sqrt(sum(d.fixed_se**2 for d in found)) / len(found),
        ).scaled(1 / gain),
        saturation_dn=saturation,
        points=tuple(
            TransferPoint(names[p], xi, yi, math.sqrt(ei), u, i, "" if u else SATURATED if c else NEAR_SATURATION)
            for p, i, xi, yi, ei, u, c in zip(
                plane_of, exposure_of, signal, variance, errors.tolist(), used.tolist(), cut_off, strict=True
            )
        ),
        intercept_dn2=intercept,
        covariance=fit,
        misfit=misfit,
    )


def _ceiling(a: NDArray[np.float64], b: NDArray[np.float64], top: float) -> tuple[float, float]:
    """Share of clipped pixels, of the frame that has more of them, and the code at which they are clipped.

    That is the top code, or a lower one where pixels pile up: unimodal noise thins out towards its highest code, so a
    highest code with far more pixels than the next lower one is not due to noise.
    """
    highest = float(max(a.max(), b.max()))
    if highest >= top:
        return float(max((a >= top).mean(), (b >= top).mean())), top
    whole = np.concatenate([a.ravel(), b.ravel()])
    at, below = int((whole == highest).sum()), whole[whole < highest]
    beneath = int((below == below.max()).sum()) if below.size else 0
    if at > 2 * beneath + 5 * math.sqrt(beneath) + 5:
        return float(max((a == highest).mean(), (b == highest).mean())), highest
    return 0.0, highest


_Sites = tuple[NDArray[np.float64], float]


def _sites(a: NDArray[np.float64], b: NDArray[np.float64], darks: NDArray[np.float64]) -> _Sites:
    """Means ``[2, 2]`` above black of the four sites of a 2 x 2 pattern in a pair, and their largest standard error."""
    light = 0.5 * (a + b) - darks.mean(axis=0)
    means, errors = np.zeros((2, 2)), []
    for r, c in np.ndindex(2, 2):
        site = light[r::2, c::2]
        means[r, c] = site.mean()
        # Of neighbors' differences: light that falls off towards the corners is not noise of rows and columns.
        lines = [float(np.diff(site.mean(axis=axis)).var()) / (2 * site.shape[1 - axis]) for axis in (0, 1)]
        errors.append(math.sqrt(float(_without_rows_and_columns(site).var()) / site.size + sum(lines)))
    return means, max(errors)


def _check_sites(pairs: Sequence[_Sites]) -> None:
    """Refuse flats of a Bayer sensor without a pattern: the colors would be taken for PRNU.

    The sites of a 2 x 2 pattern are recognized by means that differ by more than 10 standard errors and 3 % of the
    signal, and by greens that are alike: if both diagonals differ, it is a readout of several amplifiers.
    """
    means, se_dn = max(pairs, key=lambda one: float(np.ptp(one[0])))
    if not np.ptp(means) > max(10 * se_dn, _MOSAIC_SHARE * abs(float(means.mean()))):
        return
    main, other = abs(float(means[0, 0] - means[1, 1])), abs(float(means[0, 1] - means[1, 0]))
    if min(main, other) > 0.5 * float(np.ptp(means)):
        return
    # Of a scene without color both diagonals may be alike: red and blue are those that are darker than green.
    greens_beside = bool(means[0, 1] + means[1, 0] > means.trace()) if abs(main - other) < se_dn else main > other
    likely = "RGGB or BGGR" if greens_beside else "GRBG or GBRG"
    raise InvalidValueError(
        "The flat fields look like those of a Bayer sensor, but no pattern was given: the four sites of a 2 x 2 "
        f"pattern have means above black of {', '.join(f'{m:.0f}' for m in means.ravel())} DN.",
        why="Without a pattern the colors would be taken for differences between pixels (PRNU).",
        fix=f"Give the pattern, by the alike sites {likely}: --pattern, pattern in an index.toml, or mosaic in Python.",
    )


def _check_pair(
    a: NDArray[np.float64], b: NDArray[np.float64], called: tuple[str, str], black: float, dark_dn2: float, cut: bool
) -> None:
    """Refuse two frames that differ by more than slightly varying light; ``cut``: most of one frame is clipped."""
    means = float(a.mean()) - black, float(b.mean()) - black
    slack = 0.05 * max(abs(m) for m in means) + 5 * math.sqrt(max(dark_dn2, 0.0) / min(a.shape))
    if abs(means[0] - means[1]) > slack:
        raise InvalidValueError(
            f"{called[0]} and {called[1]} are not a pair: their means above black are {means[0]:.1f} and "
            f"{means[1]:.1f} DN.",
            why="The two frames of a pair have the same exposure.",
            fix="Check the order of the frames: the two of a pair are adjacent.",
        )
    if (a == b).all():
        if cut and max(means) > slack:
            return  # saturated: two such frames may well be equal
        if np.ptp(a) == 0:
            raise InvalidValueError(
                f"{called[0]} and {called[1]} have the value {a.flat[0]:.0f} everywhere, at the black level.",
                why="A raw frame has noise.",
                fix="Use raw values as the camera wrote them, of a lit surface.",
            )
        raise InvalidValueError(
            f"{called[0]} and {called[1]} are the same picture.", fix="Take two frames of each exposure."
        )


def _saturation(
    mean: NDArray[np.float64], variance: NDArray[np.float64], clipped: NDArray[np.float64], top: float
) -> float:
    """Saturation of the sensor: the top code, or the mean beyond which the variance falls (EMVA 1288)."""
    open_ = clipped < _MOST_CLIPPED
    if not open_.any():
        return top
    best = int(np.argmax(np.where(open_, variance, -1.0)))
    beyond = (mean > mean[best]) & open_
    if beyond.any() and float(variance[beyond].min()) < 0.8 * float(variance[best]):
        return float(mean[best])
    return top


def _pattern(
    averages: NDArray[np.float64],
    temporal: NDArray[np.float64],
    signal: NDArray[np.float64],
    dark: Sequence[_Dark],
    planes: NDArray[np.int64],
    free: int,
) -> tuple[float, float]:
    """Squared PRNU and its standard error: ``spread - temporal / 2 - offsets = prnu^2 x^2`` of the means of pairs."""
    offsets = np.array([dark[p].fixed_dn2 for p in planes])
    squares = averages - temporal / 2 - offsets
    spread = (2 * averages**2 + 2 * (temporal / 2) ** 2) / free + np.array([dark[p].fixed_se ** 2 for p in planes])
    weights = signal**4 / spread
    # Points of one plane share their pattern, so its number of pixels counts only once.
    value = float((squares / signal**2 * weights).sum() / weights.sum())
    shared = 2 * max(value, 0.0) ** 2 / (free * len(set(planes.tolist())))
    return value, math.sqrt(float(1 / weights.sum()) + shared)


def fit_noisy_clean(
    noisy: ArrayLike,
    clean: ArrayLike,
    *,
    black: float,
    white: float,
    rounding_variance: ArrayLike = 0.0,
    bins: int = 24,
) -> NoiseLine:
    """Estimate the line of noise against brightness from a noisy and a clean picture of the same scene.

    The residual is sorted by the clean brightness into bins of equal size; the variance of each, without outliers
    (edges that moved, dust), is a point of the line. It gives the gain and the read noise of raw values whose black
    level is known. It does not give the black level, and does not separate noise of rows from noise of pixels; the
    remaining noise of the clean picture adds to it. For developed pictures it gives an apparent noise: demosaicking,
    denoising and sharpening have averaged or amplified it, and neighbors are no longer independent.

    Parameters
    ----------
    noisy, clean
        Arrays of one shape with linear values.
    black, white
        Values of no light and of saturation; bins whose noise extends beyond them are not fitted.
    rounding_variance
        Variance added by rounding: one number, or one per pixel.
    bins
        Number of points.

    Raises
    ------
    InvalidValueError
        The shapes differ, there is no noise, or the range of brightness is too small.
    """
    one, other = np.asarray(noisy, np.float64).ravel(), np.asarray(clean, np.float64).ravel()
    if np.shape(noisy) != np.shape(clean):
        raise InvalidValueError(
            f"The noisy and the clean picture must have one size, got {list(np.shape(noisy))} and "
            f"{list(np.shape(clean))}."
        )
    if one.size < 50 * bins:
        raise InvalidValueError(f"At least {50 * bins} pixels are needed for {bins} points, got {one.size}.")
    if not white > black:
        raise InvalidValueError(f"white must lie above black, got {white} and {black}.")
    if (one == other).all():
        raise InvalidValueError("The noisy and the clean picture are the same.")
    rounding = np.broadcast_to(np.asarray(rounding_variance, np.float64).ravel(), one.shape)
    order = np.argsort(other, kind="stable")
    x, y, se, reasons = [], [], [], []
    for part in np.array_split(order, bins):
        residual = one[part] - other[part]
        middle = np.median(residual)
        scale = 1.4826 * float(np.median(np.abs(residual - middle)))
        step = math.sqrt(12 * float(rounding[part].mean()))
        kept = residual[np.abs(residual - middle) <= 4 * scale + step]
        spread = float(kept.var(ddof=1))
        fourth = float(((kept - kept.mean()) ** 4).mean())
        x.append(float(other[part].mean()) - black)
        y.append(spread - float(rounding[part].mean()))
        se.append(math.sqrt(max(fourth - spread**2, spread**2) / kept.size))
        if float((one[part] >= white).mean()) >= 0.01:
            reasons.append(CUT_AT_WHITE)
        elif float((one[part] <= min(black, one.min())).mean()) >= 0.01:
            reasons.append(CUT_AT_BLACK)
        elif not spread > 0:
            reasons.append(NO_NOISE)
        else:
            reasons.append(NEAR_WHITE if x[-1] > 0.95 * (white - black) else "")
    signal, variance, error = np.array(x), np.array(y), np.array(se)
    used = np.array([not reason for reason in reasons])
    if used.sum() < 3 or np.ptp(signal[used]) < 0.05 * (white - black):
        raise InvalidValueError(
            "The pictures have too small a range of brightness, or are clipped: no line can be fitted.",
            fix="Use a scene with dark and bright parts.",
        )
    design = np.column_stack([signal[used], np.ones(int(used.sum()))])
    relative = error[used] / np.maximum(variance[used], 1e-300)
    gain, intercept = np.polyfit(signal[used], variance[used], 1, w=1 / error[used])
    fit = np.zeros((2, 2))
    for _ in range(6):  # weights from the model; those from the points would favor points that are low by chance
        model = np.maximum(design @ [gain, intercept], 0.25 * variance[used])
        weights = 1 / (relative * model) ** 2
        fit = np.linalg.inv(design.T @ (weights[:, None] * design))
        gain, intercept = fit @ design.T @ (weights * variance[used])
    left = variance[used] - design @ [gain, intercept]
    fit = fit * max(float((weights * left**2).sum()) / max(int(used.sum()) - 2, 1), 1.0)
    return NoiseLine(
        gain=Estimate.of(float(gain), math.sqrt(fit[0, 0])),
        read_noise=Estimate.root(float(intercept), math.sqrt(fit[1, 1])),
        intercept=float(intercept),
        covariance=fit,
        signal=signal,
        variance=variance,
        se=error,
        used=used,
        why_not=tuple(reasons),
    )
