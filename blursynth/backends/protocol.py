"""What a backend must offer, and the choice of one by the array's own type."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError
from blursynth.frame import Border, Window, array_library
from blursynth.physics.development import DevelopParameters
from blursynth.physics.object_layout import ObjectLayout
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.point_spread_field import PointSpreadField
from blursynth.physics.poses import Poses
from blursynth.physics.radiometry import SensorParameters
from blursynth.physics.resampling import Bands
from blursynth.physics.scene import Scene
from blursynth.physics.surface_edges import SurfaceEdges
from blursynth.physics.trajectory import WalkParameters
from blursynth.physics.warps import Warps

__all__ = ["OPERATIONS", "Backend", "for_array", "operations"]


class Backend(Protocol):
    """The operations on pictures that every backend offers.

    Unless an operation says otherwise, ``image`` is ``[B, C, H, W]`` of float32 or float64, with any strides; it is
    never changed, and the result has its type. ``border`` says how pictures continue beyond their edge; ``VALID`` is
    for :meth:`convolve` and its transpose alone. Parameters are given for each picture, or once for all. ``seed``
    ``[B]`` is the seed of each picture's noise, below 2**63, and ``origin_px`` ``[B, 2]`` the absolute row and column
    of its first pixel. Types, shapes, numbers and borders that do not fit raise ``InvalidValueError``.

    For numpy arrays most operations also take ``threads``, the number of threads for large pictures: by default
    ``NUMBA_NUM_THREADS`` (if that is not set, the cores granted), but one in a child process of ``multiprocessing``.
    The bytes of the result do not depend on it.

    For tensors on the CPU the numbers are those of arrays. Planes such as ``level`` lie where the picture does; point
    spreads, warps and scenes are made on the CPU wherever it is. On CUDA devices the numbers agree to rounding, and
    values that would be refused become NaN, since checking them would wait for the device. Unless an operation says
    otherwise, its result is differentiable by the picture any number of times.
    """

    def convolve(self, image: Any, psf: PointSpreads, *, border: Border) -> Any:
        """True convolution: ``y[b](p) = sum_t w_t x[b](p - (dy_t, dx_t))``, so that an impulse gives the PSF as it is.

        ``REFLECT`` and ``CIRCULAR`` fold or repeat the picture as often as the reach needs. ``VALID`` drops, on each
        side, as many rows or columns as the taps of the whole batch reach over it, and is refused if nothing is left.
        Tensors may bring their own ``weight`` ``[T]`` of the taps, by which the result is differentiable too: the way
        to a point spread that is learned or fitted.
        """
        ...

    def convolve_adjoint(self, image: Any, psf: PointSpreads, *, border: Border) -> Any:
        """The exact transpose of :meth:`convolve`, borders included: ``<convolve(x), y> = <x, convolve_adjoint(y)>``.

        For ``VALID`` the image has the small size that :meth:`convolve` returns, and the result the large one.
        """
        ...

    def convolve_varying(self, image: Any, field: PointSpreadField, level: Any | None = None, *, border: Border) -> Any:
        """The gather form, blur then mask: ``y(p) = sum_n w_n(p) (k_n * x)(p)``, n over the nodes of the field.

        The point spread belongs to the pixel where the light arrives. Constants are kept where the border keeps them;
        flux is not. ``level`` ``[B, H, W]`` is the place of every pixel on the scale of the field's levels, finite, and
        clipped to 0 .. levels - 1; it may be None if there is one level only. Tensors are differentiable by ``level``
        too (hence by depth), and by the ``weight`` ``[T]`` of all taps if it is given, which costs one pass per tap
        over the part of the picture that its node reaches; not by ``first_px``.
        """
        ...

    def convolve_varying_adjoint(
        self, image: Any, field: PointSpreadField, level: Any | None = None, *, border: Border
    ) -> Any:
        """The exact transpose of :meth:`convolve_varying`, borders included.

        With ``field.flipped()`` it is the scatter form, mask then blur, ``y = sum_n k_n * (w_n x)``: the point spread
        belongs to the pixel where the light comes from. Flux is kept (inside, and for a circular border); constants are
        not.
        """
        ...

    def warp_mean(
        self, image: Any, warps: Warps | Sequence[Warps], inverse_depth: Any | None = None, *, border: Border
    ) -> Any:
        """Weighted mean of the pictures a moving camera sees: ``y(p) = sum_t weight(row of p, t) x(place(p, t))``.

        Interpolation is bilinear. ``inverse_depth`` ``[B, H, W]`` in 1/m is finite; it may be None if the camera only
        rotates or zooms. With depth this is the gather form: each pixel of the result moves as far as its own depth
        says, and occlusion is not modeled (see :meth:`composite`). Refused are translation without depth, and pixels
        that look behind the camera (on CUDA and with depth these become NaN). Tensors are differentiable once by the
        inverse depth too, and not by the warps. A list has the warps of each picture, however many times each sees.
        """
        ...

    def warp_mean_adjoint(self, image: Any, warps: Warps, inverse_depth: Any | None = None, *, border: Border) -> Any:
        """The exact transpose of :meth:`warp_mean`, borders included: light is sent back to where it came from.

        On CUDA devices it is sent by atomic additions, whose order, and with it the last bits, differ from run to run;
        under ``torch.use_deterministic_algorithms(True)`` the CPU does it instead.
        """
        ...

    def surface_edges(
        self,
        image: Any,
        level: NDArray[np.float64],
        deep_px: NDArray[np.float64] | None,
        wide_px: NDArray[np.float64] | None,
        *,
        jump: float,
        slack_px: float,
    ) -> SurfaceEdges:
        """Which surface lies in front of every pixel, how much of it that covers, and what continues behind it.

        The definition is :func:`blursynth.backends.oracle.surface_edges.surface_edges`. Edges are found on the CPU
        wherever the picture is, and have no derivative.

        Parameters
        ----------
        image
            ``[B, C, H, W]`` linear light.
        level
            ``[B, H, W]`` nearness; larger is nearer.
        deep_px
            ``[B, H, W]`` how far behind the edge of a surface another one is seen: at a near pixel e and its farthest
            neighbor f up to ``deep[e] + deep[f]``. None: up to ``level[e] - level[f]``, where levels are in px.
        wide_px
            ``[B, H, W]`` how far beyond its edge it matters that a surface is missing. None: it does not matter.
        jump
            Difference of levels between two surfaces, > 0.
        slack_px
            Added to both reaches.
        """
        ...

    def farthest_seen(self, order: NDArray[np.int32], reach_px: NDArray[np.int32]) -> NDArray[np.int32]:
        """``[B, H, W]`` int32: the farthest slice that can be seen at every pixel; made on the CPU.

        The definition is :func:`blursynth.backends.oracle.farthest_seen.farthest_seen`.

        Parameters
        ----------
        order
            ``[B, H, W]`` slice of every pixel, int32; larger is nearer.
        reach_px
            ``[B, H, W]`` how far the blur of every pixel reaches, int32, >= 0.
        """
        ...

    def jumps(self, level: NDArray[np.float64], *, jump: float) -> NDArray[np.int64]:
        """Pairs of neighbors, diagonal ones included, that differ by more than ``jump``: ``[2, N]``.

        ``level`` is ``[H, W]``, the pairs ``row * W + column`` of the pixel with the higher level and of the other one,
        in the order of the one that comes first by rows, and the other one's.
        """
        ...

    def surface_slope(self, radius_px: NDArray[np.float64], *, jump: float) -> NDArray[np.float64]:
        """``[B, 2, H, W]`` derivative of a radius ``[B, H, W]`` by row and column, over one surface.

        Least squares through the pixel, over those within 3 px that differ by no more than ``jump / 2`` and
        ``0.7 jump`` per px of distance. So a jump does not count, and noise is averaged over 48 pixels.
        """
        ...

    def composite(
        self, image: Any, scene: Scene | Sequence[Scene], *, border: Border, window: Window | None = None
    ) -> Any:
        """Spread the light of every patch of a scene, with nearer slices covering farther ones.

        The definition is :func:`blursynth.backends.oracle.composite.composite`. With ``CONSTANT`` the scene continues
        as with ``REPLICATE``, but black. There is no derivative by the scene: which surface covers which is a matter of
        order, and the shares of light are cut off (``min``) where nearer surfaces leave no room. For a derivative
        through depth use :meth:`convolve_varying`, which has no occlusion. A list has the scene of each picture, with
        parts that are alike; the result is that of each by itself, in one launch on CUDA devices. With ``window`` the
        result is that part of the whole one.
        """
        ...

    def composite_adjoint(self, image: Any, scene: Scene, *, border: Border) -> Any:
        """The exact transpose of :meth:`composite` as a map of images, borders and hidden surfaces included.

        On CUDA devices light is sent back as in :meth:`warp_mean_adjoint`.
        """
        ...

    def resample(self, image: Any, rows: Bands, columns: Bands) -> Any:
        """A picture on another grid, ``[B, C, N, M]``.

        ``y[i, j] = sum_k sum_l r[i, k] c[j, l] x[row[i, k], column[j, l]]``. ``rows`` and ``columns`` are the banded
        linear maps along both axes, of N and M samples, the same for all pictures. Bands that were made for a larger
        picture are refused.
        """
        ...

    def resample_adjoint(self, image: Any, rows: Bands, columns: Bands, size_px: tuple[int, int]) -> Any:
        """The exact transpose of :meth:`resample`: ``[B, C, N, M]`` to ``[B, C, H, W]`` with ``size_px`` = (H, W)."""
        ...

    def rasterize(
        self,
        path: ArrayLike,
        duration: ArrayLike | None = None,
        *,
        center: bool = True,
        exposure: ArrayLike = (0.0, 1.0),
        unit_sum: bool = True,
    ) -> PointSpreads:
        """Exact PSF of polylines that a point of light draws at constant speed along each segment.

        ``k[m, n] = (1/T) integral of tri(y(t) - m) tri(x(t) - n) dt`` over the exposure, with
        ``tri(d) = max(0, 1 - abs(d))``. The integral is exact whatever the lengths of the segments, so splitting one
        changes nothing. All light is kept: the support is as large as the path, and a bounding box of more than 2^26 px
        is refused.

        Parameters
        ----------
        path
            ``[B, N, 2]`` or ``[N, 2]``, x (right) and y (down) in px, finite, N >= 2.
        duration
            ``[B, N - 1]`` or ``[N - 1]``, time spent in each segment in any unit, >= 0; by default all equal. A segment
            of no duration is a jump and leaves no light.
        center
            Move the path so that the mean position over the exposure is zero: the blurred picture is then not
            displaced.
        exposure
            Start and end of the exposure as fractions of the whole time, ``[2]`` or ``[B, 2]``, 0 <= start < end <= 1.
        unit_sum
            True: the taps sum to 1. False: to ``end - start``, as when a longer exposure gathers more light.

        Notes
        -----
        The bilinear weights add ``mean of u(1 - u)``, between 0 and 1/4 px^2, to the path's own variance along each
        axis, u being the fractional part of the position. Not modeled: the area of a pixel (convolve with a unit square
        for it).
        """
        ...

    def random_walk(self, parameters: WalkParameters, seed: ArrayLike) -> NDArray[np.float64]:
        """Markov random trajectories ``[B, N, 2]`` (x, y in px) that start at (0, 0); see ``physics.trajectory``.

        ``seed`` is ``[B]`` or one number, 0 <= seed < 2**64. The same seed and parameters give the same bits, in any
        batch.
        """
        ...

    def mean_poses(self, poses: Poses, first: NDArray[np.int64], weight: NDArray[np.float64]) -> Poses:
        """The mean pose of a camera over the exposure of every row of a picture.

        Row r sees the poses ``first[r] + n`` with the shares ``weight[r, n]`` ``[R, n]``, >= 0, of which only the
        ratios matter. The result has R poses: the mean of the positions, and the Karcher mean of the orientations, see
        :func:`blursynth.physics.poses.mean_rotation`, which must lie within a quarter turn of it.
        """
        ...

    def object_labels(
        self, layout: ObjectLayout, origin_px: tuple[int, int], size_px: tuple[int, int]
    ) -> NDArray[np.int32]:
        """Which object of a layout every pixel of a window shows, ``[H, W]``: the nearest one there, 0 = none.

        ``origin_px`` is the row and column of the window's first pixel in the full picture.
        """
        ...

    def poisson(self, mean: Any, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]) -> Any:
        """Poisson counts of means 0 to 1e8, exact, keyed per pixel (seed, absolute row, absolute column, channel).

        Counts have the picture's type; above 2**24 float32 holds only the nearest number that it can. A derivative
        raises ``InvalidValueError``: counts are a staircase.
        """
        ...

    def gaussian_noise(
        self, image: Any, sigma: NDArray[np.float64], seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
    ) -> Any:
        """``image + sigma[b] n``, n standard normal up to 9.2 standard deviations, keyed per pixel.

        ``sigma`` ``[B]`` is the standard deviation in units of the image, >= 0. The seed may be that of the picture's
        shot noise: they share no bits. The derivative is 1.
        """
        ...

    def sensor(
        self, image: Any, parameters: SensorParameters, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
    ) -> Any:
        """Linear light to DN: mosaic, electrons, shot noise, full well, read noise, gain, black level, converter.

        ``N = min(Poisson(max(M x, 0) white_level_e max(1 + prnu n1, 0) + dark_e), full_well_e)``, ``DN = clip(round(K
        (N + dsnu_e n2 + read + row + column) + O + offset), 0, top)``, x = 1 for white; see
        :class:`~blursynth.physics.radiometry.SensorParameters`. DN are 0..2**bit_depth - 1, integers where ``rounding``
        is on: ``[B, 1, H, W]`` with a mosaic, else of the image's shape. Sensors with colors (a mosaic, or a map from
        light) take three channels; the mosaic's phase is that of pixel (0, 0). Light must be finite and make at most
        1e8 electrons.

        Pixel noise is that of :meth:`poisson` and :meth:`gaussian_noise` with this seed. Noise of rows (columns) is
        keyed by absolute row (column) and channel, PRNU and DSNU by ``parameters.sensor_seed``, pixel and channel. On
        CUDA devices counts differ where their probability lies within 1e-12 of a step of the distribution function.

        The derivative is that of the mean number, not of the number of this exposure, which is a staircase:
        ``d DN / d x = gain_dn_per_e white_level_e (1 + prnu n1) m``, m the row of ``from_light`` that belongs to the
        pixel's color. It is 0 where the mean is clipped: light below 0, more electrons than the full well holds,
        numbers beyond an end of the converter. Noise, counting and rounding pass it straight through. It has no
        derivative of its own.
        """
        ...

    def develop(self, image: Any, parameters: DevelopParameters, *, origin_px: NDArray[np.int64]) -> Any:
        """DN to linear light: ``gain M demosaic(min(balance (DN - black) / (white - black), clip))``.

        ``image`` is ``[B, 1, H, W]`` of a mosaic of at least 2 x 2 px, whose phase follows from ``origin_px``, or
        ``[B, C, H, W]`` of all channels (three, if there are a white balance or a color matrix). The result is
        ``[B, 3, H, W]`` with a mosaic, else of the image's shape; values below 0 are kept. Beyond the border a mosaic
        is reflected, which keeps its phase. On CUDA devices the values differ by 1e-6 of white in float32.

        The derivative is the transpose, with 0 where the picture is clipped at white; it has none of its own.
        ``edge_aware`` has no derivative.
        """
        ...

    def self_guided(self, image: Any, strength: NDArray[np.float64], radius_px: NDArray[np.int64]) -> Any:
        """What edge-preserving smoothing adds, ``E[s m] - E[s] x``: the guided filter with itself as the guide.

        E is the mean over a square window of ``2 radius_px + 1``, ``m = E[x]``, ``s = c^2 / (c^2 + E[(x - m)^2])``. c
        is the ``strength`` ``[B, C]``: the contrast of which half is smoothed, in the picture's units, >= 0; 0 gives 0.
        ``radius_px`` ``[B, C]`` is >= 1. Each channel is its own guide; the border is reflected. Differentiable by the
        picture, once.
        """
        ...

    def weighted_sum(self, image: Any, weights: Sequence[float]) -> Any:
        """``sum_c weights_c x_c`` ``[B, 1, H, W]`` of the channels of a picture, such as its luma."""
        ...

    def luma_chroma(self, image: Any) -> Any:
        """``Y, R - Y, B - Y`` ``[B, 3, H, W]`` of an encoded picture, ``Y = .299 R + .587 G + .114 B``."""
        ...

    def change_luma_chroma(self, image: Any, change: Any) -> Any:
        """The picture ``[B, 3, H, W]`` with ``change`` added to its :meth:`luma_chroma`, clipped to 0..1.

        ``change`` is ``[B, 3, H, W]``, or ``[B, 1, H, W]`` of the luma alone. NaN stays NaN. The derivative is 0 where
        the result is clipped.
        """
        ...

    def smooth_depth(
        self,
        inverse_depth: Any,
        guide: Any,
        step: NDArray[np.float64],
        radius_px: NDArray[np.int64],
        contrast: NDArray[np.float64],
        snap_px: NDArray[np.int64],
    ) -> Any:
        """Inverse depth ``[B, H, W]``, float64, smoothed within surfaces by planes that are fitted to it.

        Jumps stay, and move to edges of the guide. Depth is smoothed on the CPU wherever it is, and has no derivative:
        which pixels are one surface does not change smoothly.

        Parameters
        ----------
        inverse_depth
            ``[B, H, W]``, > 0.
        guide
            ``[B, C, H, W]`` the picture in sRGB values 0..1.
        step
            ``[B]`` the largest difference of neighbors within one surface, as a share of the nearer one's inverse
            depth.
        radius_px
            ``[B]`` half widths of the fits, >= 1.
        contrast
            ``[B]`` the difference of colors, root mean square over the channels, that counts as one.
        snap_px
            ``[B]`` how far jumps may move to edges of the picture, >= 0.
        """
        ...

    def response_decode(self, image: Any, table: NDArray[np.float64]) -> Any:
        """Light of display values, clipped to 0..1, by a table; see :mod:`blursynth.physics.response`.

        ``table`` ``[B or 1, NODES]`` holds the light of the values ``k / (NODES - 1)``. The result is exact at 0 and 1;
        otherwise within 4e-7 times the steepness of the table of its interpolation in float32, 1e-15 times in float64.
        NaN stays NaN. The derivative is the slope of the table, 0 where values are clipped.
        """
        ...

    def response_encode(
        self, image: Any, table: NDArray[np.float64], *, levels: Sequence[int | None] | None = None
    ) -> Any:
        """Display values of light, clipped to 0..1, by a table, rounded to codes.

        ``table`` ``[B or 1, NODES]`` holds the values of the light ``(k / (NODES - 1)) ** ROOT``. ``levels`` is, for
        each picture, the highest code (255 of an 8-bit file, at most 65535), or None for no rounding; None for no
        rounding of any. The result is ``code / levels``, with the code of the table's interpolation in float64; without
        rounding that interpolation within 4e-7 times the steepness of the table in float32. NaN stays NaN.

        The derivative is that of the table over the root of the light, 0 where the light is clipped; between 0 and the
        first node, where a root is infinitely steep, that of the chord. Rounding passes it straight through.
        """
        ...

    def srgb_decode(self, image: Any) -> Any:
        """sRGB values 0..1, of any shape, to linear light (IEC 61966-2-1).

        Beyond 0..1 decoding continues: an odd function below 0, the same power above 1 (up to 1e10 in float32). For the
        codes k / 255 the result is the definition in float64, rounded to the image's type (on the CPU); otherwise it is
        within 1e-6 of it in float32 and 1e-12 in float64, relatively. The derivative is that of the curve.
        """
        ...

    def srgb_encode(self, image: Any, *, levels: Sequence[int | None] | None = None) -> Any:
        """Linear light to sRGB, clipped to 0..1 and rounded to codes.

        ``levels`` is as in :meth:`response_encode`. The result is ``code / levels`` with exactly the code of
        :func:`blursynth.physics.color.srgb_codes`; without rounding it is within 1e-6 of the definition in float32,
        1e-12 in float64. NaN stays NaN. The derivative is that of the curve, 0 where the picture is clipped; rounding
        passes it straight through, since its own is 0 almost everywhere and would tell an optimizer nothing.
        """
        ...

    def to_codes(self, image: Any) -> NDArray[np.uint8]:
        """8-bit codes ``round(255 x)`` of finite display values, clipped to 0..255, of the same shape, halves to even.

        They are an array on the CPU, where codecs and files are.
        """
        ...

    def from_codes(self, codes: NDArray[np.uint8], dtype: Any = np.float32, device: Any = "cpu") -> Any:
        """Display values ``k / 255`` of 8-bit codes, float32 or float64, of the same shape, on the given device."""
        ...


OPERATIONS = tuple(name for name in vars(Backend) if not name.startswith("_"))
"""The names of all operations."""


def operations(package: str) -> dict[str, Callable[..., Any]]:
    """The operations that the files of a package define, by name: a backend is the package that offers them.

    Triton files are left out: they are loaded when a kernel is first needed.
    """
    files = [
        name for _, name, _ in pkgutil.iter_modules(import_module(package).__path__) if not name.endswith("_triton")
    ]
    modules = [import_module(f"{package}.{name}") for name in files]
    return {name: getattr(module, name) for module in modules for name in module.__all__ if name in OPERATIONS}


def for_array(array: Any) -> Backend:
    """The backend of an array: numpy -> numba on the CPU; torch -> custom operators, numba or Triton by the device.

    Raises
    ------
    InvalidValueError
        There is no backend for this type of array.
    """
    library = array_library(array)
    if isinstance(array, np.ndarray):
        from blursynth.backends import cpu  # numba is loaded on first use, not on import

        return cast(Backend, cpu)
    if library is not None and library.__name__ == "torch":
        from blursynth.backends import torch  # whoever has a tensor has loaded torch

        return cast(Backend, torch)
    raise InvalidValueError(
        f"There is no backend for {type(array).__module__}.{type(array).__name__}.",
        fix="Use a numpy array or a torch tensor of float32 or float64.",
    )
