"""Defocus of a lens, from the depth of every pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from blursynth.degradations.lens.depth_blur import DepthBlur, Layers, NodeGrid, Place, demand_radius, inverse_depth_of
from blursynth.degradations.scene.scene_depth import view_of
from blursynth.frame import Frame
from blursynth.physics.aperture import Aperture
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.scene import blur_levels, level_radius_px
from blursynth.physics.thin_lens import blur_per_dioptre_px, inverse_focus
from blursynth.physics.warps import principal_point_px

__all__ = ["Defocus"]

_CLIP_STEP = 1 / 16  # radii, by which the clipping circle moves from one cell of the picture to the next


class Defocus(DepthBlur):
    """Defocus of a thin lens: every point spreads over the shape of the aperture, in proportion to ``1/s_f - 1/s``.

    The diameter of the blur is ``c = A f s_f/(s_f - f) |1/s_f - 1/s|``, A = focal length / ``f_number``; beyond the
    focus it has the shape of the aperture, in front of it that shape rotated by 180 degrees. It needs the frame's depth
    and camera.

    With ``parts``, the aperture is divided into parts of equal area. Within a part, the light of two surfaces is
    assumed to come from different places as far as there is room. One part is exact if one of two surfaces is in focus.

    ``cats_eye`` is the distance by which the rim of the lens, seen obliquely, moves across the aperture from the center
    of the picture to its corner, in radii of the aperture, in steps of 1/16. The centroid of the remaining aperture is
    the viewpoint of the sharp picture, so that blur displaces nothing. Every cell of the picture then has its own point
    spreads, which take seconds to compute for a large picture; a coarser ``tolerance_px`` means fewer of them.

    A pixel at the edge of a nearer surface is a mixture, and is separated by the colors of the two surfaces beside it
    where they differ. Depth is one surface where neighbors differ by less than 1.75 px of radius, or by no more than
    its local unevenness; steps and slopes let no light through such a surface, nor does noise of a tenth of a pixel of
    radius. Noise of a quarter of a pixel or more does; a ``depth_smoothing`` step before this one removes it. Where a
    surface fills all of a pixel's blur, nothing behind it is seen, even with coarser steps; nearer to its edge steps of
    more than 1.75 px of radius still let some light through.

    Easily confused: ``f_number`` is not the "equivalent" one; f/1.8 at 4 mm blurs like f/13 at 28 mm on full frame.

    Not modeled: diffraction, aberrations, focus breathing, vignetting of light; more than two surfaces at one pixel of
    the sharp picture; what is hidden behind a surface: it is taken to be as far as what is seen beside the surface, and
    as smooth as a mean of what is seen there in four directions.
    """

    f_number: float = Field(
        gt=0, le=1000, examples=[1.8], description="focal length / aperture diameter; typical lenses 1.4 to 22"
    )
    focus_distance_m: float = Field(
        gt=0,
        le=1e6,
        examples=[0.3],
        description="distance of the plane in focus on the optical axis; 1e6 is as good as infinity",
    )
    blades: int = Field(default=0, ge=0, le=100, description="corners of the aperture; 0 is round, typically 5 to 9")
    angle_deg: float = Field(default=0.0, ge=-360, le=360, description="direction of the aperture's first corner")
    cats_eye: float = Field(
        default=0.0, ge=0, le=1, description="shift of the lens's rim at the corners of the picture, in radii"
    )
    tilt_deg: float = Field(
        default=0.0, ge=-89, le=89, description="angle of the plane in focus against the sensor's; 0 is parallel"
    )
    tilt_azimuth_deg: float = Field(
        default=0.0, ge=-360, le=360, description="direction in which the tilted plane recedes; 0 = right, 90 = down"
    )

    @model_validator(mode="after")
    def _check_blades(self) -> Self:
        if self.blades in (1, 2):
            raise ValueError(
                f"blades must be 0 (round) or >= 3, got {self.blades}. A polygon has at least three sides."
            )
        return self

    def layers(self, frame: Frame) -> Layers:
        nearness = inverse_depth_of(frame, kind="defocus")
        camera = frame.camera[0]
        growth = blur_per_dioptre_px(
            camera.focal_length_mm, self.f_number, self.focus_distance_m, camera.pixel_pitch_um
        )
        focus: float | NDArray[np.float64] = 1.0 / self.focus_distance_m
        if self.tilt_deg != 0:
            y, x = view_of(frame, kind="defocus", why="The tilted plane of focus depends on the angle of view.")
            tilt, azimuth = -math.radians(self.tilt_deg), math.radians(self.tilt_azimuth_deg)
            focus = inverse_focus(self.focus_distance_m, tilt, azimuth, y, x)
        radius = focus - nearness
        radius *= 0.5 * growth
        demand_radius(
            max(float(radius.max()), -float(radius.min())),
            kind="defocus",
            fix="Use a larger f_number, focus farther away, or check that depth_m is in meters.",
        )
        # In front of and behind the focus alike, from infinity.
        nearness *= 0.5 * growth
        return Layers(nearness, radius, -0.5 * growth, self._grid(frame))

    def _grid(self, frame: Frame) -> NodeGrid:
        if self.cats_eye == 0:
            return NodeGrid()
        center, corner = self._center_and_corner_px(frame)
        step = _CLIP_STEP / self.cats_eye * corner
        # Around the optical axis, to the far edges of the full picture.
        size = frame.full_size_px[0]
        half = [max(0, math.ceil(max(c, s - 1 - c) / step - 0.5)) for c, s in zip(center, size, strict=True)]
        return NodeGrid(
            2 * half[0] + 1, 2 * half[1] + 1, (center[0] - half[0] * step, center[1] - half[1] * step), step
        )

    def _center_and_corner_px(self, frame: Frame) -> tuple[tuple[float, float], float]:
        """The optical axis, and the distance of the middle of the picture from its corners."""
        height, width = (float(size) for size in frame.full_size_px[0])
        return principal_point_px(frame.camera[0], frame.full_size_px[0]), 0.5 * math.hypot(height, width)

    def aperture(self, place: tuple[int, int], grid: NodeGrid) -> Aperture:
        """The aperture as it is seen from a place of the grid."""
        return Aperture(
            self.blades,
            math.radians(self.angle_deg) if self.blades else 0.0,
            (place[1] - grid.columns // 2) * _CLIP_STEP,
            (place[0] - grid.rows // 2) * _CLIP_STEP,
        )

    def point_spreads(
        self, radius_px: Sequence[float], place: Sequence[Place], grid: NodeGrid, parts: int
    ) -> PointSpreads:
        made = []
        for radius, where in zip(radius_px, place, strict=True):
            aperture = self.aperture(where, grid)
            # Both sides of the focus share point spreads where they are alike.
            symmetric = aperture.is_symmetric and parts == 1
            made.append(aperture.point_spreads(abs(radius) if symmetric else radius, parts))
        return PointSpreads.concatenate([one[g] for g in range(parts) for one in made] if parts > 1 else made)

    def blur_levels(self, radius_px: NDArray[np.float64]) -> NDArray[np.int32]:
        return blur_levels(radius_px, self.tolerance_px)

    def level_radius_px(self, level: int) -> float:
        return level_radius_px(level, self.tolerance_px)

    def node_place(self, radius_px: NDArray[np.float64]) -> NDArray[np.float64]:
        # Between nodes r_n = 1/2 + 2 tolerance n^2 the blend of two disks is off by no more than a radius that is
        # wrong by the tolerance: (difference of the nodes)^2 / (8 r).
        size = np.maximum(np.abs(radius_px) - 0.5, 0.0) / (2.0 * self.tolerance_px)
        node = np.floor(np.sqrt(size))
        return np.asarray(np.copysign(node + (size - node**2) / (2.0 * node + 1.0), radius_px))

    def node_radius_px(self, node: int) -> float:
        return math.copysign(0.5 + 2.0 * self.tolerance_px * node**2, node) if node else 0.0
