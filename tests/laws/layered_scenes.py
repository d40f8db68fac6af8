"""The scenes that blur at edges of depth is held against: by the tests beside this file and benchmarks/depth_edges.py.

Edges at any angle and between pixels, wires, grids, hair, discs with texture, slanted sheets; each as analytic layers.
The product sees the picture, the depth and the labels at pixels, and its result is compared with that of rays in a
window far enough from the borders, in codes of an 8-bit sRGB file, which are finer in the dark: .02 beside .8 is a
contrast of 40 : 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import analytic_layers as al
import numpy as np
from analytic_layers import Layer
from numpy.typing import NDArray

import blursynth as bs

__all__ = [
    "CAMERA",
    "DARK",
    "FOCUS_PER_M",
    "WHITE",
    "LayeredScene",
    "MotionScene",
    "depth_scenes",
    "edge",
    "frame_of_radius",
    "lens",
    "motion_scenes",
    "moving_edge",
    "sheet",
    "slope_scenes",
]

CAMERA = bs.Intrinsics(focal_length_mm=50.0, pixel_pitch_um=5.0)
FOCUS_PER_M = 0.5  # 2 m
# Half the diameter of the aperture times the image distance: f/2 at 50 mm, focused at 2 m, on pixels of 5 um.
RADIUS_PER_DIOPTRE_PX = 0.5 * 25.0 * (50.0 / (1.0 - 50.0 / 2000.0)) / 5.0

DARK, BRIGHT, WHITE = (0.02, 0.02, 0.02), (0.8, 0.8, 0.8), (1.0, 1.0, 1.0)
BROWN, WALL = (0.05, 0.04, 0.02), (0.8, 0.7, 0.75)
Color = tuple[float, float, float]


def lens(**more: Any) -> bs.kinds.Defocus:
    """The lens through which a radius is what :func:`frame_of_radius` says."""
    return bs.kinds.Defocus(f_number=2.0, focus_distance_m=1.0 / FOCUS_PER_M, **more)


def frame_of_radius(image: NDArray[np.float64], radius_px: NDArray[np.float64]) -> bs.Frame:
    """A picture with the depth at which every pixel has this radius, larger being nearer and 0 in focus."""
    nearness = FOCUS_PER_M + radius_px / RADIUS_PER_DIOPTRE_PX
    return bs.Frame(image[None], "linear", depth_m=1.0 / nearness[None], camera=CAMERA)


@dataclass(frozen=True)
class LayeredScene:
    """Layers, the size of their picture, and the part of it that is compared.

    Parameters
    ----------
    layers
        From near to far.
    height, width
        Size of the picture.
    window
        The part that no border reaches.
    boxes
        See :func:`analytic_layers.rays`.
    """

    layers: tuple[Layer, ...]
    height: int
    width: int
    window: al.Window
    boxes: int = 0

    @property
    def seen(self) -> tuple[slice, slice]:
        top, left, rows, columns = self.window
        return slice(top, top + rows), slice(left, left + columns)

    def frame(self, *, depth_moved: tuple[float, float] = (0.0, 0.0), noise_px: float = 0.0) -> bs.Frame:
        """What the product sees; optionally with the nearest layer's edge elsewhere in depth, or with noise.

        Parameters
        ----------
        depth_moved
            How far down and to the right the edge of the nearest layer is misplaced in the depth map.
        noise_px
            Standard deviation of white Gaussian noise of depth, in px of the radius of blur.
        """
        image, most = al.picture(self.layers, self.height, self.width)
        if depth_moved != (0.0, 0.0):
            beside = (self.layers[0].moved(*depth_moved), *self.layers[1:])
            most = al.picture(beside, self.height, self.width)[1]
        radius = al.signed_radius(self.layers, most)
        if noise_px:
            radius = radius + noise_px * np.random.default_rng(0).standard_normal(radius.shape)
        return frame_of_radius(image, radius)

    def truth(self, each: int = 36) -> NDArray[np.float64]:
        """``[3, rows, columns]`` the window through a round aperture, with ``each`` rays for every sub-pixel."""
        return al.rays(self.layers, self.window, al.disk_points(each), boxes=self.boxes)

    def error(self, result: bs.Frame, truth: NDArray[np.float64]) -> NDArray[np.float64]:
        """``[rows, columns]`` the largest difference of the channels in codes."""
        made = np.asarray(result.image[0], np.float64)[:, *self.seen]
        return np.asarray(np.abs(al.codes(made) - al.codes(truth)).max(axis=0))


@dataclass(frozen=True)
class MotionScene(LayeredScene):
    """Objects that move, and the step that moves them; the last layer is the background."""

    step: bs.kinds.ObjectMotion | None = None

    def frame(self, *, depth_moved: tuple[float, float] = (0.0, 0.0), noise_px: float = 0.0) -> bs.Frame:
        """What the product sees; optionally with the edge of the object in front misplaced in the labels."""
        assert noise_px == 0
        image, most = al.picture(self.layers, self.height, self.width)
        if depth_moved != (0.0, 0.0):
            beside = (self.layers[0].moved(*depth_moved), *self.layers[1:])
            most = al.picture(beside, self.height, self.width)[1]
        labels = (len(self.layers) - 1 - most).astype(np.int32)
        return bs.Frame(image[None], "linear", labels=labels[None])

    def truth(self, each: int = 16) -> NDArray[np.float64]:
        return al.rays(self.layers, self.window, each, boxes=self.boxes)


def _size(reach_px: float, rows: int = 12, columns: int = 32) -> tuple[int, int, al.Window]:
    margin = math.ceil(reach_px) + 7
    return rows + 2 * margin, columns + 2 * margin, (margin, margin, rows, columns)


def _scene(
    reach_px: float, near: Layer, far: Layer, *, rows: int = 12, columns: int | None = None, boxes: int = 0
) -> LayeredScene:
    """Two layers given about the middle of the picture as (0, 0)."""
    columns = columns or max(32, 2 * math.ceil(reach_px) + 8)
    height, width, window = _size(reach_px, rows, columns)
    return LayeredScene(centered((near, far), height, width), height, width, window, boxes)


def centered(layers: Sequence[Layer], height: int, width: int) -> tuple[Layer, ...]:
    """Layers that are given about (0, 0), about the middle of a picture, radii and colors included."""
    y, x = height / 2, width / 2
    out = []
    for layer in layers:
        (down, right), (darker_down, darker_right) = layer.slope, layer.gradient
        share = 1.0 - darker_down * y - darker_right * x
        color = tuple(c * share for c in layer.color)
        out.append(
            Layer(
                layer.moved(y, x).shapes,
                layer.radius_px - down * y - right * x,
                layer.slope,
                (color[0], color[1], color[2]),
                (darker_down / share, darker_right / share),
                layer.texture,
                layer.path_px,
            )
        )
    return tuple(out)


def edge(
    angle_deg: float,
    offset_px: float,
    near_px: float,
    far_px: float,
    near: Color = DARK,
    far: Color = BRIGHT,
    **more: Any,
) -> LayeredScene:
    """A straight edge between two layers of constant depth, ``offset_px`` to the right of the middle."""
    return _scene(
        max(abs(near_px), abs(far_px)),
        Layer((al.half_plane(angle_deg, offset_px, 0.0),), near_px, color=near),
        Layer((al.everywhere(),), far_px, color=far),
        **more,
    )


def sheet(
    slope: float, angle_deg: float, *, far_px: float = -9.0, far_slope: float = 0.0, near_px: float = 8.0
) -> LayeredScene:
    """A dark sheet whose radius grows to the right, before a white one: ``near_px`` and ``far_px`` in the middle."""
    steepest, largest = max(abs(slope), abs(far_slope)), max(abs(near_px), abs(far_px))
    return _scene(
        (largest + 20.0 * steepest) / (1.0 - steepest),  # what still reaches the window
        Layer((al.half_plane(angle_deg, 0.0, 0.0),), near_px, slope=(0.0, slope), color=DARK),
        Layer((al.everywhere(),), far_px, slope=(0.0, far_slope), color=WHITE),
        columns=32,
    )


def slope_scenes() -> dict[str, LayeredScene]:
    """Sheets with slopes in px of radius per px: the edge across the slope, along it, oblique, and two that slope."""
    scenes = {}
    for slope in (0.05, 0.1, 0.2, 0.4):
        scenes[f"sheet {slope}, edge across"] = sheet(slope, 10.0)
        scenes[f"sheet {slope}, edge along"] = sheet(slope, 85.0)
    scenes["sheets .2 and -.1"] = sheet(0.2, 85.0, far_px=-6.0, far_slope=-0.1)
    scenes["sheets .2 and .2"] = sheet(0.2, 40.0, far_px=2.0, far_slope=0.2, near_px=8.0)
    return scenes


def _hair(apart_px: float, width_px: float) -> tuple[al.Shape, ...]:
    """A strand of curved hairs of unequal width, and two straight ones across it."""
    curved = [
        al.ring(-60.0 + apart_px * n, 40.0 - 2.0 * n, 60.0, width_px * (1.0 + 0.15 * (n % 3))) for n in range(-6, 7)
    ]
    straight = [al.stripe(62.0 + 9.0 * n, 14.0 * n - 7.0, 2.0, width_px) for n in range(2)]
    return (*curved, *straight)


def depth_scenes() -> dict[str, LayeredScene]:
    """Scenes out of focus: constant depth on each layer, edges between pixels."""
    scenes: dict[str, LayeredScene] = {}
    for near, far in ((10, 0), (0, -10), (12, -6), (-4, -20), (30, 0), (4, 0), (20, 5), (0, -30)):
        scenes[f"edge 10 dark {near}, {far}"] = edge(10.0, 0.0, near, far)
        scenes[f"edge 33 dark {near}, {far}"] = edge(33.0, 0.37, near, far)
        scenes[f"edge 10 bright {near}, {far}"] = edge(10.0, 0.0, near, far, BRIGHT, DARK)
        scenes[f"edge 75 bright {near}, {far}"] = edge(75.0, 0.61, near, far, BRIGHT, DARK)
    for near, far in ((2, 0), (0, -2), (3, -1), (4, 0), (-4, -20)):
        scenes[f"edge 10 dark {near}, {far}, its pixels' width"] = edge(10.0, 0.0, near, far, boxes=1)
        scenes[f"edge 33 bright {near}, {far}, its pixels' width"] = edge(33.0, 0.37, near, far, BRIGHT, DARK, boxes=1)
    for near, far in ((8.0, 0.0), (0.0, -10.0)):
        back = Layer((al.everywhere(),), far, color=WALL)
        for width in (1.0, 2.0, 4.0):
            wire = Layer((al.stripe(17.0, 0.0, 0.0, width),), near, color=BROWN)
            scenes[f"wire {width:g} dark {near:g}, {far:g}"] = _scene(10, wire, back)
            bright = Layer(wire.shapes, near, color=WALL)
            scenes[f"wire {width:g} bright {near:g}, {far:g}"] = _scene(
                10, bright, Layer(back.shapes, far, color=BROWN)
            )
        lattice = Layer((al.grid(17.0, 0.0, 0.0, 13.3, 1.7),), near, color=BROWN)
        scenes[f"grid {near:g}, {far:g}"] = _scene(10, lattice, back)
        for apart, thick in ((9.0, 1.2), (4.0, 0.7)):  # the finer is more than half of hardly any pixel
            hair = Layer(_hair(apart, thick), near, color=BROWN)
            scenes[f"hair of {thick:g} px, {near:g}, {far:g}"] = _scene(10, hair, back)
        cut = Layer((al.disc(0.3, 0.0, 14.3),), near, color=(0.1, 0.2, 0.15), texture=(0.3, 0.05, 0.03))
        scenes[f"disc with texture {near:g}, {far:g}"] = _scene(10, cut, back)
        lively = Layer((al.everywhere(),), far, color=(0.8, 0.6, 0.7), texture=(0.2, 0.02, 0.05))
        scenes[f"disc before texture {near:g}, {far:g}"] = _scene(10, Layer(cut.shapes, near, color=BROWN), lively)
        shaded = Layer((al.half_plane(33.0, 0.2, 0.0),), near, color=(0.2, 0.3, 0.1), gradient=(0.01, -0.005))
        sky = Layer((al.everywhere(),), far, color=(0.6, 0.7, 0.9), gradient=(-0.003, 0.004))
        scenes[f"edge with gradients {near:g}, {far:g}"] = _scene(10, shaded, sky)
    for radii in ((8, 0, 0), (8, 2, 2), (8, 2, -6)):
        three = (
            Layer((al.half_plane(25.0, 8.0, 8.0),), radii[0], color=DARK),
            Layer((al.half_plane(115.0, 0.0, 0.0),), radii[1], color=(0.3, 0.5, 0.2)),
            Layer((al.everywhere(),), radii[2], color=(0.9, 0.9, 0.9)),
        )
        height, width, window = _size(10, 24, 32)
        scenes["three layers {}, {}, {}".format(*radii)] = LayeredScene(
            centered(three, height, width), height, width, window
        )
    return scenes


def _line(length_px: float, angle_deg: float) -> NDArray[np.float64]:
    """A straight path at constant speed whose mean is zero, x and y."""
    angle = math.radians(angle_deg)
    return np.array([[-0.5], [0.5]]) * length_px * np.array([math.cos(angle), math.sin(angle)])


def _moving(
    length_px: float, angle_deg: float, layers: Sequence[tuple[Layer, bool]], *, rows: int = 12, **more: Any
) -> MotionScene:
    columns = max(32, math.ceil(length_px) + 8)
    height, width, window = _size(0.5 * length_px, rows, columns)
    path = _line(length_px, angle_deg)
    moved = [
        Layer(one.shapes, 0.0, (0.0, 0.0), one.color, one.gradient, one.texture, path if moves else None)
        for one, moves in layers
    ]
    step = bs.kinds.ObjectMotion(length_px=length_px, angle_deg=angle_deg, **more)
    # Light that moves is shared out among four pixels in proportion.
    return MotionScene(centered(moved, height, width), height, width, window, 2, step)


def moving_edge(
    angle_deg: float,
    offset_px: float,
    length_px: float,
    heading_deg: float,
    near: Color = DARK,
    far: Color = BRIGHT,
    **more: Any,
) -> MotionScene:
    """An object with a straight edge that moves in a straight line before a background that stands still."""
    front = Layer((al.half_plane(angle_deg, offset_px, 0.0),), color=near)
    return _moving(length_px, heading_deg, [(front, True), (Layer((al.everywhere(),), color=far), False)], **more)


def motion_scenes() -> dict[str, MotionScene]:
    """Scenes in which something moves while the shutter is open."""
    scenes: dict[str, MotionScene] = {}
    for length in (8.0, 20.0, 60.0):
        scenes[f"edge 10 dark, {length:g} px"] = moving_edge(10.0, 0.0, length, 0.0)
        scenes[f"edge 33 dark, {length:g} px"] = moving_edge(33.0, 0.37, length, 70.0)
        scenes[f"edge 10 bright, {length:g} px"] = moving_edge(10.0, 0.0, length, -40.0, BRIGHT, DARK)
    back = Layer((al.everywhere(),), color=WALL)
    for width in (1.0, 2.0, 4.0):
        wire = Layer((al.stripe(17.0, 0.0, 0.0, width),), color=BROWN)
        scenes[f"wire {width:g}, 16 px"] = _moving(16.0, 35.0, [(wire, True), (back, False)])
    hair = Layer(_hair(9.0, 1.2), color=BROWN)
    scenes["hair of 1.2 px, 16 px"] = _moving(16.0, 20.0, [(hair, True), (back, False)])
    cut = Layer((al.disc(0.3, 0.0, 14.3),), color=(0.1, 0.2, 0.15), texture=(0.3, 0.05, 0.03))
    scenes["disc with texture, 16 px"] = _moving(16.0, -25.0, [(cut, True), (back, False)], rows=24)
    lively = Layer((al.everywhere(),), color=(0.8, 0.6, 0.7), texture=(0.2, 0.02, 0.05))
    scenes["disc before texture, 16 px"] = _moving(
        16.0, -25.0, [(Layer(cut.shapes, color=BROWN), True), (lively, False)], rows=24
    )
    front = Layer((al.half_plane(25.0, 4.0, 4.0),), color=DARK)
    middle = Layer((al.half_plane(115.0, 0.0, 0.0),), color=(0.3, 0.5, 0.2))
    scenes["behind one that stands still, 16 px"] = _moving(
        16.0, 60.0, [(front, False), (middle, True), (back, False)], rows=24, label=1
    )
    scenes["two that move alike, 16 px"] = _moving(
        16.0, 60.0, [(front, True), (middle, True), (back, False)], rows=24, parts=16
    )
    return scenes
