"""Base of blurs that depend on the depth of every pixel: occlusion, and the two forms without it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import BorderName, Degradation, cropped, in_groups, one_by_one
from blursynth.degradations.scene.composited import composited, on_cpu
from blursynth.degradations.scene.scene_depth import known_camera
from blursynth.errors import InvalidValueError
from blursynth.frame import Border, Frame, Window
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.point_spread_field import PointSpreadField
from blursynth.physics.scene import Scene, reach_of_layers_px, scene_of_layers

__all__ = ["DepthBlur", "Layers", "NodeGrid", "Place"]

LARGEST_RADIUS_PX = 200.0
_MEASURED_AT_PX = 20.0  # radius at which the parts' centroids are taken

Place = tuple[int, int]
"""Row and column of a grid."""


@dataclass(frozen=True)
class NodeGrid:
    """Places at which the shape of the blur is known, in px of the full picture; one place if it is uniform.

    Parameters
    ----------
    rows, columns
        Number of places.
    first_px
        Row and column of the first one.
    step_px
        Their distance.
    """

    rows: int = 1
    columns: int = 1
    first_px: tuple[float, float] = (0.0, 0.0)
    step_px: float = 1.0


@dataclass(frozen=True)
class Layers:
    """Nearness to the camera and size of the blur for every pixel of one picture.

    Parameters
    ----------
    nearness_px
        ``[H, W]`` inverse depth in px of radius, larger is nearer; an offset does not matter.
    radius_px
        ``[H, W]`` signed radius of the blur.
    radius_per_dioptre_px
        Derivative of the radius by inverse depth in 1/m.
    grid
        Places with different shapes across the picture.
    """

    nearness_px: NDArray[np.float64]
    radius_px: NDArray[np.float64]
    radius_per_dioptre_px: float
    grid: NodeGrid = field(default_factory=NodeGrid)


class DepthBlur(Degradation):
    """A blur with the same shape at every depth but a different size.

    It has three forms. ``occlusion``: the light of every surface is spread by its own blur, nearer surfaces cover
    farther ones, and a farther surface continues behind the edge of a nearer one. ``gather``: every pixel of the result
    is blurred by the size at its own depth; constants stay constant, and blurred surfaces end at hard edges.
    ``scatter``: the transpose; the light of every pixel is spread by its own blur; flux is kept, but constants are not.

    For tensors, gradients with respect to depth pass through ``gather`` and ``scatter``. ``occlusion`` has none, since
    the order of surfaces does not change smoothly.
    """

    varies: ClassVar[bool] = True
    blurs: ClassVar[bool] = True
    in_one_call: ClassVar[bool] = True

    form: Literal["occlusion", "gather", "scatter"] = Field(
        default="occlusion", description="how light from different depths is combined"
    )
    parts: int = Field(
        default=1, ge=1, le=1024, description="parts of the exposure with exact occlusion between them; of occlusion"
    )
    tolerance_px: float = Field(
        default=0.04, ge=0.001, le=1, description="largest error of the radius of a blur by rounding it to levels"
    )
    border: BorderName = "reflect"

    @abstractmethod
    def layers(self, frame: Frame) -> Layers:
        """The layers of a frame of one picture."""

    @abstractmethod
    def point_spreads(
        self, radius_px: Sequence[float], place: Sequence[Place], grid: NodeGrid, parts: int
    ) -> PointSpreads:
        """The parts of K blurs, each of a radius and at a place of the grid; part g of blur k is at ``g * K + k``."""

    @abstractmethod
    def blur_levels(self, radius_px: NDArray[np.float64]) -> NDArray[np.int32]:
        """The nearest of a scale of blurs for every signed radius, within the tolerance; 0 is no blur."""

    @abstractmethod
    def level_radius_px(self, level: int) -> float:
        """The radius of a level: the inverse of :meth:`blur_levels`."""

    @abstractmethod
    def node_place(self, radius_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where signed radii lie on the scale of the nodes of the forms without occlusion; 0 is no blur."""

    @abstractmethod
    def node_radius_px(self, node: int) -> float:
        """The radius at a node: the inverse of :meth:`node_place` at integers."""

    def reach_px(self, frame: Frame) -> int | None:
        return max(self._reach_of_one_px(one) for one in frame)

    def _reach_of_one_px(self, frame: Frame) -> int:
        layers = self.layers(frame)
        if self.form == "occlusion":
            nearness, radius = layers.nearness_px, layers.radius_px
            wider_px = self.tolerance_px + 1.0
            return reach_of_layers_px(nearness, radius, for_array(nearness), wider_px=wider_px, sloped=self.parts > 1)
        place = self.node_place(layers.radius_px)
        nodes = math.floor(float(place.min())), math.ceil(float(place.max()))
        return math.ceil(max(abs(self.node_radius_px(node)) for node in nodes)) + 1 if nodes != (0, 0) else 0

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        return cls.apply_within(steps, frame, (0, 0, *frame.size_px))

    @classmethod
    def apply_within(cls, steps: Sequence[Self], frame: Frame, window: Window) -> Frame:
        forms = in_groups(
            steps, frame, lambda step: step.form == "occlusion", lambda alike, part: _blurred(alike, part, window)
        )
        return cropped(frame, window).with_image(forms.image)

    def without_occlusion(self, frame: Frame) -> Any:
        """The image that ``gather`` or ``scatter`` makes of a frame of one picture."""
        layers = self.layers(frame)
        image, border = frame.image, Border(self.border)
        backend = for_array(image)
        field, place = self._field(frame, layers)
        levels = _like(place[None], image)
        if getattr(frame.depth_m, "requires_grad", False):
            levels = levels + self._slope(layers, frame.depth_m)
        if self.form == "gather":
            return backend.convolve_varying(image, field, levels, border=border)
        return backend.convolve_varying_adjoint(image, field.flipped(), levels, border=border)

    def scene(self, frame: Frame) -> Scene | None:
        """The scene of a frame of one picture; None if nothing is blurred."""
        layers, image = self.layers(frame), frame.image
        grid = layers.grid
        level = self.blur_levels(layers.radius_px)
        most = int(np.abs(level).max())
        if most == 0:
            return None
        span = 2 * most + 1
        numbers: NDArray[np.integer] = level + np.int32(most)
        if grid.rows * grid.columns > 1:
            rows, columns = (
                np.clip(np.rint((np.arange(size) + origin - first) / grid.step_px), 0, count - 1).astype(np.int64)
                for size, origin, first, count in zip(
                    frame.size_px, frame.origin_px[0], grid.first_px, (grid.rows, grid.columns), strict=True
                )
            )
            numbers = numbers + (rows[:, None] * grid.columns + columns[None, :]) * span

        def spreads(numbers: list[int]) -> PointSpreads:
            radius = [self.level_radius_px(number % span - most) for number in numbers]
            place = [divmod(number // span, grid.columns) for number in numbers]
            return self.point_spreads(radius, place, grid, self.parts)

        return scene_of_layers(
            image,
            layers.nearness_px[None],
            layers.radius_px[None],
            numbers[None],
            spreads,
            np.full(self.parts, 1.0 / self.parts),
            for_array(image),
            part_center=self._part_center(grid),
            circular=self.border == "circular",
        )

    def _part_center(self, grid: NodeGrid) -> NDArray[np.float64] | None:
        """``[G, 2]`` row and column of the centroid of every part in radii, in the middle of the picture."""
        if self.parts == 1:
            return None
        middle = grid.rows // 2, grid.columns // 2
        made = self.point_spreads([_MEASURED_AT_PX], [middle], grid, self.parts)
        return np.array([(one.weight @ one.dy, one.weight @ one.dx) for one in made]) / _MEASURED_AT_PX

    def _slope(self, layers: Layers, depth_m: Any) -> Any:
        """Zero ``[1, H, W]`` with the derivative of the place among the levels by a tensor of depths."""
        # The place is piecewise linear in the radius, so that a difference within a piece is the derivative.
        step = 1e-6
        up, down = (self.node_place(layers.radius_px + side) for side in (step, -step))
        nearness = 1.0 / depth_m
        slope = (up - down) / (2.0 * step) * layers.radius_per_dioptre_px
        return _like(slope[None], depth_m) * (nearness - nearness.detach())

    def _field(self, frame: Frame, layers: Layers) -> tuple[PointSpreadField, NDArray[np.float64]]:
        """Point spreads at the nodes, and the place of every pixel ``[H, W]`` among their levels."""
        place = self.node_place(layers.radius_px)
        first, last = math.floor(float(place.min())), math.ceil(float(place.max()))
        grid = layers.grid
        places = [(row, column) for row in range(grid.rows) for column in range(grid.columns)]
        nodes = [(self.node_radius_px(node), place) for node in range(first, last + 1) for place in places]
        origin = frame.origin_px[0]
        field = PointSpreadField(
            self.point_spreads([radius for radius, _ in nodes], [place for _, place in nodes], grid, 1),
            levels=last - first + 1,
            rows=grid.rows,
            columns=grid.columns,
            first_px=np.array([[grid.first_px[0] - origin[0], grid.first_px[1] - origin[1]]]),
            step_px=(grid.step_px, grid.step_px),
        )
        return field, place - first


def _blurred(steps: Sequence[DepthBlur], frame: Frame, window: Window) -> Frame:
    """All of these steps with occlusion, or none."""
    if steps[0].form != "occlusion":
        return cropped(one_by_one(steps, frame, lambda step, one: step.without_occlusion(one)), window)
    scenes = [step.scene(one) for step, one in zip(steps, on_cpu(frame), strict=True)]
    return composited(scenes, [Border(step.border) for step in steps], frame, window)


def inverse_depth_of(frame: Frame, *, kind: str) -> NDArray[np.float64]:
    """``[H, W]`` in 1/m, of a frame of one picture.

    Raises
    ------
    InvalidValueError
        The frame has no depth, or no camera.
    """
    if frame.depth_m is None:
        raise InvalidValueError(
            f"{kind} needs the depth of the picture, but the frame has none.",
            why="The blur of a pixel depends on its distance.",
            fix="Give read_frame depth=..., or put a step before it that synthesizes a depth, such as ground_depth.",
            field="depth_m",
        )
    why = "Focal length and pixel pitch convert meters to pixels."
    known_camera(frame.camera[0] if frame.camera else None, kind=kind, why=why)
    depth = frame.depth_m[0]
    return np.asarray(1.0 / np.asarray(depth.detach().cpu() if hasattr(depth, "detach") else depth, np.float64))


def demand_radius(largest_px: float, *, kind: str, fix: str) -> None:
    """Refuse excessively large blurs.

    Raises
    ------
    InvalidValueError
        The radius is more than 200 px.
    """
    if largest_px > LARGEST_RADIUS_PX:
        raise InvalidValueError(
            f"{kind} would blur by a radius of {largest_px:.0f} px; at most {LARGEST_RADIUS_PX:.0f} is possible.",
            why="The size follows from depth, focal length and pixel pitch; perhaps millimeters were given as meters.",
            fix=fix,
        )


def _like(values: NDArray[np.float64], image: Any) -> Any:
    """The values as an array of the image's kind."""
    return values.astype(image.dtype) if isinstance(image, np.ndarray) else image.new_tensor(values)
