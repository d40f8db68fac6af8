"""What a picture shows in order of distance, and what its nearer parts hide."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.point_spread import PointSpreads

__all__ = ["Scene"]


@dataclass(frozen=True, eq=False)
class Scene:
    """The surfaces behind the pixels of a batch of pictures, and how each one's light is spread.

    Every pixel shows one small opaque patch of a surface. Patches lie in slices; a nearer slice covers a farther one,
    patches of one slice lie side by side. Behind a pixel a second patch may be hidden: the nearest farther surface goes
    on there, with the colour, slice and point spread of the pixel ``hidden`` names.

    The exposure (over the aperture, or over time) may be cut into parts. Within a part, light of two slices is assumed
    to come from different places of the aperture as far as there is room (which is exact for one continuous surface,
    and where only one of two is blurred); between the parts occlusion is exact. One part per point of the aperture
    is the exact mean of pinhole pictures.

    Parameters
    ----------
    order
        ``[B, H, W]`` slice of every pixel, int32; larger is nearer. Only the order of the numbers matters.
    kernel
        ``[B, H, W]`` point spread of every pixel's light, int32, a number from 0 to K - 1.
    hidden
        ``[B, H, W]`` int32: ``row * W + column`` of the pixel whose surface goes on behind this one; -1 where nothing
        is hidden.
    psf
        ``G * K`` point spreads; that of part g and kernel k stands at ``g * K + k``. Each sums to 1.
    part_weight
        ``[G]`` share of each part; they sum to 1.

    Raises
    ------
    InvalidValueError
        Shapes or numbers that do not fit.
    """

    order: NDArray[np.int32]
    kernel: NDArray[np.int32]
    hidden: NDArray[np.int32]
    psf: PointSpreads
    part_weight: NDArray[np.float64] = field(default_factory=lambda: np.ones(1))

    def __post_init__(self) -> None:
        weight = np.asarray(self.part_weight, np.float64)
        object.__setattr__(self, "part_weight", weight)
        shapes = {np.shape(a) for a in (self.order, self.kernel, self.hidden)}
        if len(shapes) > 1 or len(next(iter(shapes))) != 3:
            raise InvalidValueError(f"order, kernel and hidden must be alike, [B, H, W], got {sorted(shapes)}.")
        for name in ("order", "kernel", "hidden"):
            if getattr(self, name).dtype != np.int32:
                raise InvalidValueError(f"{name} must be int32, got {getattr(self, name).dtype}.")
        if weight.ndim != 1 or not len(weight) or len(self.psf) % len(weight) or not len(self.psf):
            raise InvalidValueError(f"{len(self.psf)} point spreads do not fit {weight.shape} parts.")
        if not (weight > 0).all() or abs(weight.sum() - 1) > 1e-9:
            raise InvalidValueError(f"part_weight must be > 0 and sum to 1, got {weight}.")
        pixels = int(np.prod(self.kernel.shape[1:]))
        if self.kernel.size and not (self.kernel.min() >= 0 and self.kernel.max() < self.kernels):
            raise InvalidValueError(f"kernel must lie in 0 .. {self.kernels - 1}.")
        if self.hidden.size and not (self.hidden.min() >= -1 and self.hidden.max() < pixels):
            raise InvalidValueError(f"hidden must lie in -1 .. {pixels - 1}.")

    @property
    def parts(self) -> int:
        """G, parts of the exposure."""
        return len(self.part_weight)

    @property
    def kernels(self) -> int:
        """K, point spreads of each part."""
        return len(self.psf) // len(self.part_weight)
