"""What a backend must offer, and the choice of one by the array's own type."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError
from blursynth.frame import Border, array_library
from blursynth.physics.development import DevelopParameters
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.point_spread_field import PointSpreadField
from blursynth.physics.radiometry import SensorParameters
from blursynth.physics.resampling import Bands
from blursynth.physics.scene import Scene
from blursynth.physics.surface_edges import SurfaceEdges
from blursynth.physics.trajectory import WalkParameters
from blursynth.physics.warps import Warps

__all__ = ["OPERATIONS", "Backend", "for_array", "operations"]


class Backend(Protocol):
    """Operations on ``[B, C, H, W]`` images, float32 or float64, kept as given. Inputs are never changed."""

    def convolve(self, image: Any, psf: PointSpreads, *, border: Border) -> Any:
        """``y[b] = k[b] * x[b]``: true convolution (an impulse gives the PSF, not flipped, not shifted)."""
        ...

    def convolve_adjoint(self, image: Any, psf: PointSpreads, *, border: Border) -> Any:
        """The exact transpose of :meth:`convolve`, borders included."""
        ...

    def convolve_varying(self, image: Any, field: PointSpreadField, level: Any | None = None, *, border: Border) -> Any:
        """The gather form, ``y(p) = sum_n w_n(p) (k_n * x)(p)``: blur with every node's point spread, then blend.

        ``level`` is ``[B, H, W]`` of the image's kind, on the scale of the field's levels.
        """
        ...

    def convolve_varying_adjoint(
        self, image: Any, field: PointSpreadField, level: Any | None = None, *, border: Border
    ) -> Any:
        """The exact transpose of :meth:`convolve_varying`; with ``field.flipped()`` it is the scatter form."""
        ...

    def warp_mean(self, image: Any, warps: Warps, inverse_depth: Any | None = None, *, border: Border) -> Any:
        """The weighted mean of the pictures that a moving camera sees; ``inverse_depth`` ``[B, H, W]`` in 1/m."""
        ...

    def warp_mean_adjoint(self, image: Any, warps: Warps, inverse_depth: Any | None = None, *, border: Border) -> Any:
        """The exact transpose of :meth:`warp_mean`."""
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
        """Which surfaces lie on both sides of every edge, and how pixels there are mixed; see :class:`Scene`."""
        ...

    def surface_slope(self, radius_px: NDArray[np.float64], *, jump: float) -> NDArray[np.float64]:
        """``[B, 2, H, W]`` derivative of a radius ``[B, H, W]`` by row and column, over one surface."""
        ...

    def composite(self, image: Any, scene: Scene, *, border: Border) -> Any:
        """Spread the light of every patch of a scene, nearer slices covering farther ones."""
        ...

    def composite_adjoint(self, image: Any, scene: Scene, *, border: Border) -> Any:
        """The exact transpose of :meth:`composite` as a map of images."""
        ...

    def resample(self, image: Any, rows: Bands, columns: Bands) -> Any:
        """A picture on another grid, ``[B, C, N, M]``: a banded linear map along each axis."""
        ...

    def resample_adjoint(self, image: Any, rows: Bands, columns: Bands, size_px: tuple[int, int]) -> Any:
        """The exact transpose of :meth:`resample`, to pictures of ``size_px``."""
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
        """Exact PSF of the polylines ``path`` ``[B, N, 2]`` (x, y in px), by default with its centroid at zero."""
        ...

    def random_walk(self, parameters: WalkParameters, seed: ArrayLike) -> NDArray[np.float64]:
        """Markov random trajectories ``[B, N, 2]``, one seed per path; see ``physics.trajectory``."""
        ...

    def poisson(self, mean: Any, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]) -> Any:
        """Poisson counts of the given means, keyed per pixel (seed, absolute row, absolute column, channel)."""
        ...

    def gaussian_noise(
        self, image: Any, sigma: NDArray[np.float64], seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
    ) -> Any:
        """``image + sigma[b] * n``, n standard normal, keyed per pixel; independent of ``poisson`` of the same seed."""
        ...

    def sensor(
        self, image: Any, parameters: SensorParameters, seed: NDArray[np.uint64], *, origin_px: NDArray[np.int64]
    ) -> Any:
        """Linear light to DN: mosaic, electrons, shot noise, full well, read noise, gain, black level, converter.

        ``[B, 1, H, W]`` with a mosaic, else of the image's shape.
        """
        ...

    def develop(self, image: Any, parameters: DevelopParameters, *, origin_px: NDArray[np.int64]) -> Any:
        """DN to linear light: levels, white balance, white clip, demosaic, colors, gain; keeps negative values."""
        ...

    def self_guided(self, image: Any, strength: NDArray[np.float64], radius_px: NDArray[np.int64]) -> Any:
        """What smoothing that keeps edges adds, ``E[s m] - E[s] x``: the guided filter with itself as the guide.

        ``strength`` ``[B]`` is the contrast of which half is smoothed, ``radius_px`` ``[B]`` the half width of windows.
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
        """Inverse depth ``[B, H, W]``, float64, smoothed within surfaces; jumps stay and move to edges of the guide.

        ``guide`` is ``[B, C, H, W]`` in sRGB values; the numbers are one per picture.
        """
        ...

    def response_decode(self, image: Any, table: NDArray[np.float64]) -> Any:
        """Light of display values by a table ``[B or 1, NODES]``; see ``physics.response``."""
        ...

    def response_encode(
        self, image: Any, table: NDArray[np.float64], *, levels: Sequence[int | None] | None = None
    ) -> Any:
        """Display values of light by a table, clipped, rounded to ``levels[b]`` codes where not None."""
        ...

    def srgb_decode(self, image: Any) -> Any:
        """sRGB 0..1 to linear light; exact for k / 255, odd below 0, the same power above 1."""
        ...

    def srgb_encode(self, image: Any, *, levels: Sequence[int | None] | None = None) -> Any:
        """Linear light to sRGB 0..1, clipped, rounded to ``levels[b]`` codes (e.g. 255) where not None."""
        ...

    def to_codes(self, image: Any) -> NDArray[np.uint8]:
        """8-bit codes ``round(255 x)`` of display values, clipped, of the same shape, where codecs are: on the CPU."""
        ...

    def from_codes(self, codes: NDArray[np.uint8], dtype: Any = np.float32, device: Any = "cpu") -> Any:
        """Display values ``k / 255`` of 8-bit codes, of the same shape, on a device that the backend has."""
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
