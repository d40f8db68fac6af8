"""Point spread functions as ragged lists of taps, and the ones that have a closed form.

Each constructor gives a batch of one; :meth:`PointSpreads.concatenate` makes a batch of several. All have
non-negative taps that sum to 1 and their centroid at zero shift, :func:`measured` to the nearest pixel only. x is to
the right, y downwards, angles go from +x towards +y.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError, demand

__all__ = [
    "PointSpreads",
    "airy",
    "centering_shift",
    "circle_area",
    "covered_area",
    "disk",
    "gaussian",
    "measured",
    "polygon",
    "rasterize_samples",
]


@dataclass(frozen=True, eq=False)
class PointSpreads:
    """The point spreads of a batch: only their occupied taps.

    Tap ``t`` of picture ``b`` (``start[b] <= t < start[b + 1]``) sends the light of pixel ``p`` to
    ``p + (dy[t], dx[t])`` with the share ``weight[t]``: ``y(p) = sum_t weight[t] x(p - (dy[t], dx[t]))``.

    Parameters
    ----------
    start
        ``[B + 1]``, the first tap of every picture; the last entry is the number of taps.
    dy, dx
        ``[T]`` row and column offset in px, int32, sorted by (dy, dx) and unique within a picture.
    weight
        ``[T]`` share of the light, float64.
    lost
        ``[B]`` share of the light that a limited support cut off, before the rest was scaled up to a sum of 1 (if it
        was); 0 where the support holds everything.
    """

    start: NDArray[np.int64]
    dy: NDArray[np.int32]
    dx: NDArray[np.int32]
    weight: NDArray[np.float64]
    lost: NDArray[np.float64]

    @staticmethod
    def from_dense(
        kernels: Sequence[NDArray[np.floating]], centers: Sequence[tuple[int, int]] | None = None
    ) -> PointSpreads:
        """Taps of dense kernels ``[h, w]``; zeros are left out.

        ``centers`` gives the (row, column) of each kernel's origin; by default the middle ``(h // 2, w // 2)``.

        Raises
        ------
        InvalidValueError
            A kernel is not two-dimensional, is empty, or holds values that are not finite.
        """
        start, dy, dx, weight = [0], [], [], []
        for b, kernel in enumerate(kernels):
            dense = np.asarray(kernel, np.float64)
            if dense.ndim != 2 or dense.size == 0 or not np.isfinite(dense).all():
                raise InvalidValueError(
                    f"Kernel {b} must be a finite array [h, w], got shape {dense.shape}"
                    f"{'' if np.isfinite(dense).all() else ' with NaN or infinite values'}.",
                    fix="Pass one two-dimensional kernel per picture.",
                )
            row, column = centers[b] if centers is not None else (dense.shape[0] // 2, dense.shape[1] // 2)
            rows, columns = np.nonzero(dense)
            start.append(start[-1] + rows.size)
            dy.append((rows - row).astype(np.int32))
            dx.append((columns - column).astype(np.int32))
            weight.append(dense[rows, columns])
        return PointSpreads(
            np.array(start, np.int64),
            np.concatenate(dy),
            np.concatenate(dx),
            np.concatenate(weight),
            np.zeros(len(kernels)),
        )

    @staticmethod
    def concatenate(parts: Sequence[PointSpreads]) -> PointSpreads:
        """One batch of several."""
        if len(parts) == 1:
            return parts[0]
        start = np.zeros(1 + sum(map(len, parts)), np.int64)
        np.cumsum(np.concatenate([np.diff(p.start) for p in parts]), out=start[1:])
        return PointSpreads(
            start,
            np.concatenate([p.dy for p in parts]),
            np.concatenate([p.dx for p in parts]),
            np.concatenate([p.weight for p in parts]),
            np.concatenate([p.lost for p in parts]),
        )

    def __len__(self) -> int:
        return self.start.size - 1

    def __iter__(self) -> Iterator[PointSpreads]:
        return (self[b] for b in range(len(self)))

    def __getitem__(self, b: int | slice) -> PointSpreads:
        """The point spread of one picture, as a batch of one; or those of a run of pictures."""
        first, last, _ = b.indices(len(self)) if isinstance(b, slice) else (b, b + 1, 1)
        taps = slice(self.start[first], self.start[last])
        return PointSpreads(
            self.start[first : last + 1] - self.start[first],
            self.dy[taps],
            self.dx[taps],
            self.weight[taps],
            self.lost[first:last],
        )

    def sums(self) -> NDArray[np.float64]:
        """``[B]`` the light that arrives: 1 for a normalized point spread."""
        return np.array([one.weight.sum() for one in self])

    def centroids(self) -> NDArray[np.float64]:
        """``[B, 2]`` (row, column) of the center of mass in px; (0, 0) for a centered point spread."""
        sums = np.array([(one.weight @ one.dy, one.weight @ one.dx) for one in self], np.float64).reshape(-1, 2)
        return sums / self.sums()[:, None]

    def reach_px(self) -> NDArray[np.int64]:
        """``[B]`` the largest offset in rows or columns."""
        # A tap more, where a point spread without any would begin behind the last one.
        farthest = np.append(np.maximum(np.abs(self.dy), np.abs(self.dx)), 0)
        reach = np.maximum.reduceat(farthest, self.start[:-1])
        return np.where(self.start[1:] > self.start[:-1], reach, 0).astype(np.int64)

    def to_dense(self, b: int = 0, *, size_px: int | None = None) -> NDArray[np.float64]:
        """One kernel as a square array with the origin in its middle; ``size_px`` is odd, by default as large as
        needed.

        Raises
        ------
        InvalidValueError
            ``size_px`` is even or too small to hold all taps.
        """
        taps = slice(self.start[b], self.start[b + 1])
        needed = 2 * int(self.reach_px()[b]) + 1
        size = needed if size_px is None else size_px
        if size % 2 == 0 or size < needed:
            raise InvalidValueError(
                f"size_px must be odd and at least {needed}, got {size}.",
                why="A smaller canvas would cut off light, an even one has no middle.",
            )
        dense = np.zeros((size, size))
        np.add.at(dense, (self.dy[taps] + size // 2, self.dx[taps] + size // 2), self.weight[taps])
        return dense


def gaussian(
    sigma_major_px: float, sigma_minor_px: float | None = None, angle_rad: float = 0.0, *, cut: float = 1e-6
) -> PointSpreads:
    """A Gaussian, integrated over the area of each pixel.

    ``k[m, n] = integral over the pixel of exp(-q/2) / (2 pi s1 s2)``, ``q = (a/s1)^2 + (b/s2)^2`` with a and b the
    coordinates along and across the direction ``angle_rad``.

    The variance of the taps along x or y is that of the Gaussian, s^2, plus 1/12 px^2 of the pixel, less what whole
    pixels cannot resolve: ``4 sum_j (-1)^(j + 1) (s^2 + 1 / (2 pi j)^2) exp(-2 (pi j s)^2)``. That is below .008 px^2
    from s = .5 on. A narrower Gaussian lies almost entirely within one pixel, and its kernel has less variance than
    itself: at s = .4, .3 and .2 the variance is .2118, .0956 and .0124 px^2, where s^2 + 1/12 is .2433, .1733 and
    .1233.

    Parameters
    ----------
    sigma_major_px
        s1, 0..500, standard deviation along the direction, in px; 0 is no blur. It need not be the larger one.
    sigma_minor_px
        s2, 0..500, across the direction; by default the same.
    angle_rad
        Direction of s1.
    cut
        Largest share of the light that the support may leave out, 0 < cut < 1; the rest is scaled to a sum of 1, and
        the share is in ``lost``.

    Notes
    -----
    Along the axes, and where both sigmas are equal, the integral is exact (error function). Otherwise one of its two
    dimensions is done by Gauss-Legendre quadrature, with an error below 1e-12 per tap (1e-6 where one sigma is below a
    thousandth of the other).
    """
    minor = sigma_major_px if sigma_minor_px is None else sigma_minor_px
    for name, value in (("sigma_major_px", sigma_major_px), ("sigma_minor_px", minor)):
        demand(math.isfinite(value) and 0 <= value <= 500, name, value, "0..500", "It is a standard deviation in px.")
    demand(math.isfinite(angle_rad), "angle_rad", angle_rad, "finite", "")
    demand(0 < cut < 1, "cut", cut, "between 0 and 1", "A Gaussian never ends, so something is left out.")
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    along_x = math.hypot(sigma_major_px * cosine, minor * sine)
    along_y = math.hypot(sigma_major_px * sine, minor * cosine)
    covariance = (sigma_major_px**2 - minor**2) * sine * cosine
    # A quarter of the cut to each of the four sides of the box; half is kept for the taps dropped below.
    reach = NormalDist().inv_cdf(1.0 - cut / 8.0)
    if abs(covariance) <= 1e-14 * (along_x**2 + along_y**2):
        # A column times a row keeps all its taps: a convolution takes it in two passes, and pays for each tap apart.
        dense = _gaussian_row(along_y, reach)[:, None] * _gaussian_row(along_x, reach)[None, :]
        return _normalized(dense, lost=True)
    if along_x >= along_y:
        dense = _oriented_gaussian(along_x, along_y, covariance, sigma_major_px * minor, reach)
    else:
        dense = _oriented_gaussian(along_y, along_x, covariance, sigma_major_px * minor, reach).T
    return _normalized(dense, cut=cut)


def disk(radius_px: float) -> PointSpreads:
    """A disk of constant weight: the blur of a round aperture out of focus, exact in area.

    ``k[m, n]`` is the area of the disk inside the pixel, divided by ``pi r^2``.

    Parameters
    ----------
    radius_px
        Half of the circle of confusion (which is a DIAMETER), in px, 0..2000; 0 is no blur.

    Notes
    -----
    Not modeled: diffraction, the shape of the blades (:func:`polygon`), vignetting towards the corners, aberrations.
    The common disk of whole pixels has 9 pixels instead of 7.07 at r = 1.5.
    """
    demand(math.isfinite(radius_px) and 0 <= radius_px <= 2000, "radius_px", radius_px, "0..2000", "")
    if radius_px <= 0.5:
        return _delta()
    # One quadrant, because the four are alike: the first cell of an axis is half a pixel wide.
    reach = math.ceil(radius_px - 0.5)
    low = np.concatenate([[0.0], np.arange(reach) + 0.5])
    high = np.arange(reach + 1) + 0.5
    squared = radius_px * radius_px
    # Area over [x0, x1] between y0 and y1: the full height up to where the circle crosses y1, then down the arc to y0.
    full_to = np.sqrt(np.maximum(squared - high * high, 0.0))[:, None]
    arc_to = np.sqrt(np.maximum(squared - low * low, 0.0))[:, None]
    x0 = np.clip(full_to, low, high)
    x1 = np.clip(arc_to, low, high)
    arc = circle_area(x1, radius_px) - circle_area(x0, radius_px) - low[:, None] * (x1 - x0)
    quadrant = (high - low)[:, None] * (x0 - low) + np.maximum(arc, 0.0)
    # Symmetric to the last bit, so that the PSF commutes with flips and quarter turns.
    quadrant = 0.5 * (quadrant + quadrant.T)
    quadrant[0] *= 2.0
    quadrant[:, 0] *= 2.0
    half = np.concatenate([quadrant[:0:-1], quadrant])
    return _normalized(np.concatenate([half[:, :0:-1], half], axis=1))


def polygon(radius_px: float, blades: int, rotation_rad: float = 0.0) -> PointSpreads:
    """A regular polygon of constant weight: the blur of an aperture with straight blades out of focus, exact in area.

    Parameters
    ----------
    radius_px
        From the center to a corner, in px, 0..2000; 0 is no blur. Its area is ``blades/2 r^2 sin(2 pi/blades)``.
    blades
        Number of blades, 3..1000; usual lenses have 5 to 9.
    rotation_rad
        Direction of the first corner.

    Notes
    -----
    With an odd number of blades the centroid of the pixels is not that of the polygon; the polygon is then moved, by
    0.1 px at r = 1 and less than 0.01 px from r = 10 on, so that the pixels have theirs at zero shift. Such a polygon
    is not symmetric about its center, and a blur has it upside down on the other side of the focus: rotate it by pi
    there. Not modeled: rounded blades, vignetting, diffraction.
    """
    demand(math.isfinite(radius_px) and 0 <= radius_px <= 2000, "radius_px", radius_px, "0..2000", "")
    demand(3 <= blades <= 1000, "blades", blades, "3..1000", "A polygon has at least three sides.")
    demand(math.isfinite(rotation_rad), "rotation_rad", rotation_rad, "finite", "")
    if radius_px <= 0.5:
        return _delta()
    angle = rotation_rad + 2.0 * math.pi * np.arange(blades) / blades
    corner = radius_px * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    # A polygon with an even number of corners is its own half turn, so its pixels are centered already.
    return _normalized(covered_area(corner) if blades % 2 == 0 else covered_area(corner + centering_shift(corner)))


def airy(
    f_number: float,
    wavelength_nm: float,
    pixel_pitch_um: float,
    *,
    cut: float = 0.01,
    reach_px: int | None = None,
) -> PointSpreads:
    """Diffraction at a round aperture, integrated over the area of each pixel.

    ``k(r) = pi/(4 s^2) (2 J1(v)/v)^2`` with ``v = pi r/s`` and ``s = wavelength f_number / pixel pitch`` in px. The
    first dark ring is at 1.22 s.

    Parameters
    ----------
    f_number
        Focal length / aperture diameter, > 0.
    wavelength_nm
        One wavelength, in nm; green is 550.
    pixel_pitch_um
        Distance of pixel centers in um; 1.4 in a phone.
    cut
        Largest share of the light that the support may leave out. The rings fade slowly: 1 % lies beyond 20 s, 0.1 %
        beyond 200 s. The rest is scaled to a sum of 1, and the share that was cut is in ``lost``.
    reach_px
        Radius of the support in px instead of the one that follows from ``cut``.

    Raises
    ------
    InvalidValueError
        A number that is not positive, or a support of more than 2000 px radius.

    Notes
    -----
    The integral over a pixel is a Gauss-Legendre rule in both directions, with an error below 1e-12 per tap. Not
    modeled: the width of the spectrum (average several wavelengths), aberrations, the central obstruction of
    mirrors.
    """
    for name, value in (
        ("f_number", f_number),
        ("wavelength_nm", wavelength_nm),
        ("pixel_pitch_um", pixel_pitch_um),
    ):
        demand(math.isfinite(value) and value > 0, name, value, "> 0", "")
    demand(0 < cut < 1, "cut", cut, "between 0 and 1", "The rings never end, so something is left out.")
    from scipy.special import j1  # takes a tenth of a second, and most blurs do without

    scale = wavelength_nm * 1e-3 * f_number / pixel_pitch_um
    # Beyond v lies J0^2 + J1^2, nearly 2/(pi v).
    radius = math.ceil(2.0 / (math.pi**2 * cut) * scale + 0.5) if reach_px is None else int(reach_px)
    if not 0 <= radius <= 2000:
        raise InvalidValueError(
            f"The support would have a radius of {radius} px; at most 2000 is possible.",
            why=f"The pattern's scale is {scale:.3g} px and {cut:.3g} of the light may be cut.",
            fix="Allow a larger cut, or give reach_px.",
        )
    # Across a pixel the phase of the rings turns by pi/scale.
    count = math.ceil(math.pi / scale) + 7
    node, weight = np.polynomial.legendre.leggauss(min(count, 256))
    node, weight = 0.5 * node, 0.5 * weight
    # One octant: 0 <= column <= row, inside the circle.
    rows, columns = np.tril_indices(radius + 1)
    inside = rows * rows + columns * columns <= radius * radius + 1
    rows, columns = rows[inside], columns[inside]
    octant = np.empty(rows.size)
    chunk = max(1, 1_000_000 // node.size**2)
    for first in range(0, rows.size, chunk):
        part = slice(first, first + chunk)
        y = (rows[part, None] + node)[:, :, None]
        x = (columns[part, None] + node)[:, None, :]
        v = (math.pi / scale) * np.sqrt(y * y + x * x)
        ratio = np.divide(2.0 * j1(v), v, out=np.ones_like(v), where=v > 1e-9)
        octant[part] = np.einsum("prc,r,c->p", ratio * ratio, weight, weight) * (math.pi / (4.0 * scale * scale))
    dense = np.zeros((2 * radius + 1, 2 * radius + 1))
    for row, column in ((rows, columns), (columns, rows)):
        for sign_y in (1, -1):
            for sign_x in (1, -1):
                dense[radius + sign_y * row, radius + sign_x * column] = octant
    return _normalized(dense, lost=True)


def measured(kernel: ArrayLike, *, recenter: bool = True) -> PointSpreads:
    """A kernel from a measurement or a file, scaled to a sum of 1.

    Parameters
    ----------
    kernel
        ``[h, w]``, finite, not negative beyond rounding (down to -1e-6 of the largest value, which is set to 0), not
        zero.
    recenter
        True: the pixel nearest to the centroid becomes the origin. Moving by a fraction of a pixel would blur the
        kernel further, so up to half a pixel remains (see ``centroids()``). False: the origin is the middle
        ``(h // 2, w // 2)``.

    Raises
    ------
    InvalidValueError
        The array is not a kernel, and why.

    Notes
    -----
    Kernels are meant for convolution: a point of light becomes the kernel as it is stored. Some data sets (Levin
    et al. 2009) store it rotated by 180 degrees: pass ``kernel[::-1, ::-1]``.
    """
    dense = np.asarray(kernel)
    if dense.ndim != 2 or dense.size == 0 or not np.issubdtype(dense.dtype, np.number) or np.iscomplexobj(dense):
        raise InvalidValueError(
            f"A kernel must be an array [h, w] of real numbers, got shape {dense.shape} of {dense.dtype}.",
            fix="Take one channel of a color picture, and convert it to numbers.",
        )
    dense = dense.astype(np.float64)
    if not np.isfinite(dense).all():
        raise InvalidValueError("A kernel must be finite, got NaN or infinite values.", fix="Repair the measurement.")
    largest = float(dense.max())
    if largest <= 0:
        raise InvalidValueError(
            "A kernel must hold light, got no value above 0.", why="It cannot be scaled to a sum of 1."
        )
    if float(dense.min()) < -1e-6 * largest:
        raise InvalidValueError(
            f"A kernel must not be negative, got {float(dense.min()):.3g} beside a largest value of {largest:.3g}.",
            why="Light adds up; negative weights are sharpening.",
            fix="Set small negative values to 0 yourself if they are noise of the measurement.",
        )
    dense = np.maximum(dense, 0.0)
    dense /= dense.sum()
    origin = (dense.shape[0] // 2, dense.shape[1] // 2)
    if recenter:
        # Half a pixel is rounded down whatever the sign, so that the result does not depend on the padding.
        row = math.ceil(float(dense.sum(axis=1) @ np.arange(dense.shape[0])) - 0.5)
        column = math.ceil(float(dense.sum(axis=0) @ np.arange(dense.shape[1])) - 0.5)
        origin = (row, column)
    return PointSpreads.from_dense([dense], [origin])


def rasterize_samples(
    position_px: ArrayLike,
    *,
    canvas_px: int = 64,
    exposure_end: float = 1.0,
    origin_px: int | None = None,
    counted_from: int = 0,
) -> PointSpreads:
    """The PSF of a sampled path as Boracchi and Foi and DeblurGAN make it, for repeating their publications.

    ``k[m, n] = (1/N) sum_t w_t tri(y_t - m) tri(x_t - n)``, with ``w_t`` the overlap of [t - 1, t] with [0, T N]:
    samples instead of the path between them, on a fixed canvas. ``rasterize`` of a backend is the exact form.

    Parameters
    ----------
    position_px
        ``[N, 2]`` or ``[B, N, 2]``, x and y on the canvas; see ``trajectory.published_placement``.
    canvas_px
        Height and width of the canvas (published: 64).
    exposure_end
        T, the exposed part of the path from its start, 0 < T <= 1. The taps sum to T where no light is lost.
    origin_px
        Row and column of the canvas, from 0, that is zero shift; by default ``(canvas_px - 1) // 2``, where
        DeblurGAN's convolution has it.
    counted_from
        1: samples and pixels are counted from 1, as in the MATLAB original. 0: from 0, as in DeblurGAN's port, which
        keeps the original's formulas: its path lies one pixel further down and right, and its first sample has no
        weight.

    Notes
    -----
    The PSF is not centered: in the port the middle of the path lies 1.75 px off the origin on average, down and right.
    Samples outside the canvas lose their light, as recorded in ``lost``; the port stops with an index error
    where a path touches the last pixel.
    """
    position = np.asarray(position_px, np.float64)
    if position.ndim == 2:
        position = position[None]
    if position.ndim != 3 or position.shape[1] < 1 or position.shape[2] != 2 or not np.isfinite(position).all():
        raise InvalidValueError(f"position_px must be finite, [N, 2] or [B, N, 2], got shape {np.shape(position_px)}.")
    demand(canvas_px >= 3, "canvas_px", canvas_px, ">= 3", "It must hold a pixel and its neighbors.")
    demand(0 < exposure_end <= 1, "exposure_end", exposure_end, "0 < T <= 1", "It is a part of the path.")
    demand(counted_from in (0, 1), "counted_from", counted_from, "0 or 1", "")
    samples = position.shape[1]
    origin = (canvas_px - 1) // 2 if origin_px is None else int(origin_px)
    end = np.arange(samples) + counted_from
    weight = np.maximum(np.minimum(end, exposure_end * samples) - np.maximum(end - 1, 0.0), 0.0) / samples
    kernels = []
    for path in position:
        dense = np.zeros((canvas_px + 2, canvas_px + 2))
        low = np.clip(np.floor(path), 1, canvas_px - 1).astype(np.int64)
        for dy in (0, 1):
            for dx in (0, 1):
                cell = low + np.array([dx, dy])
                tent = np.maximum(1.0 - np.abs(path - cell), 0.0).prod(axis=1)
                np.add.at(dense, (cell[:, 1], cell[:, 0]), weight * tent)
        kernels.append(dense[counted_from : canvas_px + counted_from, counted_from : canvas_px + counted_from])
    made = PointSpreads.from_dense(kernels, [(origin, origin)] * len(kernels))
    return replace(made, lost=np.maximum(exposure_end - made.sums(), 0.0))


def _delta() -> PointSpreads:
    """All light in one pixel."""
    return PointSpreads.from_dense([np.ones((1, 1))])


def _normalized(dense: NDArray[np.float64], *, cut: float = 0.0, lost: bool = False) -> PointSpreads:
    """A kernel with its origin in the middle, scaled to a sum of 1.

    With ``cut`` > 0, taps so faint that all of them together hold less than half of it are dropped. With ``cut`` or
    ``lost`` the sum before scaling is the share of the light that is inside.
    """
    if cut > 0:
        dense = np.where(dense < 0.5 * cut / dense.size, 0.0, dense)
    total = float(dense.sum())
    made = PointSpreads.from_dense([dense / total])
    return replace(made, lost=np.array([max(1.0 - total, 0.0)])) if lost or cut > 0 else made


def _gaussian_row(sigma: float, reach: float) -> NDArray[np.float64]:
    """Integrals of a normal density over pixels, ``[2 r + 1]``."""
    if sigma == 0:
        return np.ones(1)
    radius = max(math.ceil(reach * sigma - 0.5), 0)
    # The upper tail function keeps its precision far out, where differences of the error function would not.
    tail = np.array([math.erfc((i + 0.5) / (sigma * math.sqrt(2.0))) for i in range(radius + 1)])
    side = 0.5 * (tail[:-1] - tail[1:])
    return np.concatenate([side[::-1], [1.0 - tail[0]], side])


def _oriented_gaussian(
    outer: float, inner: float, covariance: float, product: float, reach: float
) -> NDArray[np.float64]:
    """Pixel integrals ``[inner axis, outer axis]`` of a Gaussian with the given standard deviations along the axes.

    Given the outer coordinate, the inner one is normal with mean ``covariance/outer^2 t`` and deviation
    ``product/outer``, so that only the outer integral needs a quadrature, with enough points for the narrower of the
    two scales on which it changes.
    """
    from scipy.special import ndtr

    slope = covariance / (outer * outer)
    deviation = max(product / outer, 1e-12)
    radius_outer = max(math.ceil(reach * outer - 0.5), 0)
    radius_inner = max(math.ceil(reach * inner - 0.5), 0)
    edges = np.arange(-radius_inner, radius_inner + 2) - 0.5
    # Panels end at the borders of the pixels, and where the ridge of a thin Gaussian crosses those of the other axis;
    # between them they are as narrow as the integrand's own scale, where that is affordable.
    limit = min(radius_outer + 0.5, (reach + 1.0) * outer)
    scale = min(outer, deviation / abs(slope))
    ends = np.concatenate(
        [
            np.arange(-radius_outer, radius_outer + 2) - 0.5,
            edges / slope if scale < 0.25 else edges[:0],
            np.linspace(-limit, limit, min(math.ceil(limit / scale), 1000) + 1),
        ]
    )
    ends = np.unique(ends[np.abs(ends) <= limit])
    node, weight = _legendre(12)
    half = 0.5 * np.diff(ends)[:, None]
    t = (0.5 * (ends[:-1] + ends[1:])[:, None] + half * node).ravel()
    density = (half * weight).ravel() * np.exp(-0.5 * (t / outer) ** 2) / (outer * math.sqrt(2.0 * math.pi))
    # From the middle outwards in the lower tail, where the distribution function is precise.
    z = (edges[:, None] - slope * t) / deviation
    lower, upper = ndtr(z), ndtr(-z)
    inside = np.where(z[1:] > 0, upper[:-1] - upper[1:], lower[1:] - lower[:-1])
    panels = (inside * density).reshape(len(edges) - 1, len(ends) - 1, node.size).sum(axis=2)
    column = np.floor(0.5 * (ends[:-1] + ends[1:]) + 0.5).astype(np.int64) + radius_outer
    dense = np.zeros((2 * radius_outer + 1, len(edges) - 1))
    np.add.at(dense, column, panels.T)
    return np.asarray(0.5 * (dense + dense[::-1, ::-1]).T)


@lru_cache
def _legendre(points: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    node, weight = np.polynomial.legendre.leggauss(points)
    return node, weight


def circle_area(x: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """``integral of sqrt(r^2 - t^2) dt`` from 0 to x."""
    inside = np.minimum(x, radius)
    return np.asarray(
        0.5 * (inside * np.sqrt((radius - inside) * (radius + inside)) + radius**2 * np.arcsin(inside / radius))
    )


def covered_area(corner: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area of each pixel that a polygon ``[n, 2]`` (x, y) covers; a square array with pixel (0, 0) in its middle.

    By Green's theorem the area is the sum over the boundary of dy times what lies to the right. Every edge is cut at
    the pixel borders; a piece then adds ``dy (1 - u)`` to its own pixel, u being its mean position in it, and ``dy``
    to all further right in its row.
    """
    reach = math.ceil(float(np.abs(corner).max()) - 0.5)
    size = 2 * reach + 1
    start = corner + (reach + 0.5)  # pixel i of the array now is [i, i + 1]
    step = np.roll(start, -1, axis=0) - start
    # Every edge is cut at every border; where it does not cross one, the piece is empty and adds nothing.
    border = np.arange(size + 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        cuts = ((border[:, None] - start[:, None, :]) / step[:, None, :]).reshape(len(corner), -1)
    time = np.sort(np.clip(np.nan_to_num(cuts, nan=0.0), 0.0, 1.0), axis=1)
    time = np.concatenate([np.zeros((len(corner), 1)), time, np.ones((len(corner), 1))], axis=1)
    middle = start[:, None, :] + (0.5 * (time[:, 1:] + time[:, :-1]))[:, :, None] * step[:, None, :]
    cell = np.clip(np.floor(middle).astype(np.int64), 0, size - 1)
    height = (time[:, 1:] - time[:, :-1]) * step[:, 1:]
    u = middle[:, :, 0] - cell[:, :, 0]
    index = (cell[:, :, 1] * (size + 1) + cell[:, :, 0]).ravel()
    total = size * (size + 1)
    added = np.bincount(index, (height * (1.0 - u)).ravel(), total)
    added += np.bincount(index + 1, (height * u).ravel(), total + 1)[:total]
    area = np.abs(np.cumsum(added.reshape(size, size + 1), axis=1)[:, :size])
    # What remains of the running sum to the right of the polygon is rounding, not light.
    return np.where(area < 1e-12, 0.0, area)


def centering_shift(corner: NDArray[np.float64], *, steps: int = 300) -> NDArray[np.float64]:
    """The shift (x, y) of a polygon that puts the centroid of its pixels at zero, to 1e-11 px.

    Summing over pixels moves the centroid, as rounding positions to whole pixels does. Solved by Broyden's method, in
    small steps because the centroid does not depend on the position at all while the polygon is inside one pixel.
    """
    shift, slope = np.zeros(2), np.eye(2)
    area = covered_area(corner)
    centroid = _centroid(area)
    for number in range(steps):
        if np.abs(centroid).max() <= 1e-11:
            break
        step = -np.linalg.pinv(slope) @ centroid
        step *= min(1.0, 0.1 / float(np.hypot(step[0], step[1])))
        shift = shift + step
        if number == steps - 1:
            break
        area = covered_area(corner + shift)
        moved = _centroid(area)
        slope += np.outer(moved - centroid - slope @ step, step) / (step @ step)
        centroid = moved
    return shift


def _centroid(area: NDArray[np.float64]) -> NDArray[np.float64]:
    """x and y of the centroid of a kernel with its origin in the middle."""
    offset = np.arange(area.shape[0]) - area.shape[0] // 2
    return np.array([area.sum(axis=0) @ offset, area.sum(axis=1) @ offset], np.float64) / float(area.sum())
