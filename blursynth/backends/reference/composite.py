"""Blur with occlusion: the oracle of defocus, parallax and moving objects.

With one part per point of the aperture and moment of the exposure, this is the mean of occlusion-resolved pinhole
pictures; with fewer parts it is the definition that the faster backends are held against.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.reference.convolve import check_arguments, continued_index
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.scene import SLACK_PX, Scene

__all__ = ["NOTHING_SEEN", "check_scene", "composite", "composite_adjoint", "hidden_surface"]

NOTHING_SEEN = 1e-9  # shares of light below this are rounding; they count as none, and 1 - them as all

# Right, down, left, up, then the diagonals: the order in which ties of hidden_surface are broken.
DIRECTIONS = ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, -1), (-1, 1))


def hidden_surface(order: NDArray[np.int32], *, gap: int, reach_px: int, per_px: float = 0.0) -> NDArray[np.int32]:
    """Which surface goes on behind every pixel: that of the nearest pixel which lies far enough behind.

    The search runs along the eight directions of the compass, up to ``reach_px`` away (a diagonal step counts sqrt(2));
    of several at one distance the first in the order right, down, left, up, down-right, down-left, up-left, up-right
    is taken.

    Parameters
    ----------
    order
        ``[B, H, W]`` slices, larger is nearer.
    gap
        Slices, >= 1. A surface that merely slopes should not be behind itself.
    per_px
        Slices by which it must lie farther for every px of distance beyond the first two. Where slices are as thick as
        1 px of blur, 1 is what can be seen behind an edge at all: a ray that just passes it meets a surface n slices
        farther n px behind the edge. 0 for slices that are only numbers.
    reach_px
        How far a surface goes on behind a nearer one.

    Returns
    -------
    ndarray
        ``[B, H, W]`` int32, ``row * W + column`` of that pixel, or -1.
    """
    height, width = order.shape[1:]
    best = np.full(order.shape, np.inf)
    out = np.full(order.shape, -1, np.int32)
    flat = np.arange(height * width, dtype=np.int32).reshape(height, width)
    for dy, dx in DIRECTIONS:
        length = float(np.hypot(dy, dx))
        for step in range(1, int(reach_px / length) + 1):
            y, x = np.arange(height) + step * dy, np.arange(width) + step * dx
            inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None, :]
            y, x = np.clip(y, 0, height - 1)[:, None], np.clip(x, 0, width - 1)[None, :]
            farther = max(gap, math.ceil(per_px * (step * length - SLACK_PX) - 1e-9))
            found = inside & (order[:, y, x].astype(np.int64) <= order.astype(np.int64) - farther)
            found &= step * length < best - 1e-9
            best = np.where(found, step * length, best)
            out = np.where(found, flat[y, x], out)
    return out


def check_scene(image: Any, scene: Scene, border: Border) -> Border:
    """The border as a ``Border``, after a check of what compositing needs.

    Raises
    ------
    InvalidValueError
        The image is not ``[B, C, H, W]`` float32 or float64, the scene is of another shape, or the border is ``VALID``.
    """
    border = check_arguments(image, scene.psf[0], border)
    if border == Border.VALID:
        raise InvalidValueError(
            "border='valid' has no meaning for a scene.", fix="Use another border and crop the result."
        )
    expected = (image.shape[0], *image.shape[2:])
    if tuple(scene.order.shape) != expected:
        raise InvalidValueError(
            f"The scene must have the shape {expected} of the pictures, got {tuple(scene.order.shape)}."
        )
    return border


class _Patches:
    """The patches of one picture and of its continuation beyond the edge: their places and their colours' pixels."""

    def __init__(self, scene: Scene, b: int, border: Border, reach: int) -> None:
        height, width = scene.order.shape[1:]
        # Beyond a black border nothing shines, but the surfaces go on, and hide.
        continued = Border.REPLICATE if border == Border.CONSTANT else border
        y, x = np.arange(-reach, height + reach), np.arange(-reach, width + reach)
        iy, ix = continued_index(y, height, continued), continued_index(x, width, continued)
        seen = (iy[:, None] * width + ix[None, :]).ravel()
        dark = np.zeros(seen.shape, bool)
        if border == Border.CONSTANT:
            dark = (((y < 0) | (y >= height))[:, None] | ((x < 0) | (x >= width))[None, :]).ravel()
        rows, columns = (a.ravel() for a in np.meshgrid(y, x, indexing="ij"))
        behind = scene.hidden[b].ravel()[seen]
        has = behind >= 0
        self.row = np.concatenate([rows, rows[has]])
        self.column = np.concatenate([columns, columns[has]])
        self.pixel = np.concatenate([seen, behind[has]])  # whose colour, slice and kernel it has
        self.dark = np.concatenate([dark, dark[has]])
        self.order = scene.order[b].ravel()[self.pixel]
        self.kernel = scene.kernel[b].ravel()[self.pixel]


def _splat(patches: _Patches, chosen: NDArray[np.bool_], scene: Scene, part: int, shape: tuple[int, int]) -> Any:
    """(patch, pixel of the result, share) of all light of the chosen patches that lands in the picture."""
    sources, places, shares = [], [], []
    for k in np.unique(patches.kernel[chosen]):
        psf = scene.psf[part * scene.kernels + int(k)]
        which = np.flatnonzero(chosen & (patches.kernel == k))
        for dy, dx, weight in zip(psf.dy, psf.dx, psf.weight, strict=True):
            y, x = patches.row[which] + int(dy), patches.column[which] + int(dx)
            inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
            sources.append(which[inside])
            places.append((y * shape[1] + x)[inside])
            shares.append(np.full(int(inside.sum()), weight))
    return np.concatenate(sources), np.concatenate(places), np.concatenate(shares)


def _visible(scene: Scene, b: int, border: Border) -> tuple[_Patches, list[Any], NDArray[np.float64]]:
    """What is seen of every slice: the patches, (patch, pixel, visible share) lists, and the sum of all shares.

    From near to far, a slice is seen in full as long as there is room, and in proportion where it needs more.
    """
    shape = scene.order.shape[1:]
    patches = _Patches(scene, b, border, int(scene.psf.reach_px().max()))
    total = np.zeros(shape[0] * shape[1])
    seen = []
    for part in range(scene.parts):
        room = np.ones(total.size)
        for number in np.unique(patches.order)[::-1]:
            source, place, share = _splat(patches, patches.order == number, scene, part, shape)
            coverage = np.bincount(place, share, total.size)
            there = coverage > NOTHING_SEEN
            factor = np.divide(np.minimum(coverage, room), coverage, out=np.zeros_like(coverage), where=there)
            seen.append((source, place, scene.part_weight[part] * factor[place] * share))
            total += scene.part_weight[part] * factor * coverage
            room = room - factor * coverage
            room[room < NOTHING_SEEN] = 0
    return patches, seen, total


def composite(image: NDArray[np.floating], scene: Scene, *, border: Border) -> NDArray[np.floating]:
    """Spread the light of every patch of the scene and let nearer slices cover farther ones.

    For every part of the exposure and pixel p of the result, from the nearest slice j to the farthest:
    coverage ``a_j = sum over patches q of the slice of k_q(p - q)``, seen ``w_j = min(a_j, what nearer ones left)``,
    colour ``N_j / a_j`` with ``N_j`` the sum of ``k_q(p - q) x(q)``. The result is the mean over the parts of
    ``sum_j w_j N_j / a_j``, divided by that of ``sum_j w_j``, so that constants stay constant. A pixel that nothing
    covers keeps its value. It is linear in the image; all shares depend on the scene alone.

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64, computed in float64.
    scene
        Slices, point spreads, and what is hidden.
    border
        How pictures and scene go on beyond their edge; with ``CONSTANT`` the scene goes on as with ``REPLICATE``, but
        black. Not ``VALID``.

    Raises
    ------
    InvalidValueError
        See :func:`check_scene`.
    """
    border = check_scene(image, scene, border)
    result = np.empty(image.shape)
    for b in range(len(image)):
        patches, seen, total = _visible(scene, b, border)
        for c in range(image.shape[1]):
            colour = image[b, c].astype(np.float64).ravel()
            light = np.where(patches.dark, 0.0, colour[patches.pixel])
            value = np.zeros(total.size)
            for source, place, share in seen:
                value += np.bincount(place, share * light[source], total.size)
            covered = total > NOTHING_SEEN
            result[b, c] = np.where(covered, value / np.where(covered, total, 1.0), colour).reshape(image.shape[2:])
    return result.astype(image.dtype)


def composite_adjoint(image: NDArray[np.floating], scene: Scene, *, border: Border) -> NDArray[np.floating]:
    """The exact transpose of :func:`composite` as a map of images, borders and hidden surfaces included."""
    border = check_scene(image, scene, border)
    result = np.empty(image.shape)
    for b in range(len(image)):
        patches, seen, total = _visible(scene, b, border)
        covered = total > NOTHING_SEEN
        for c in range(image.shape[1]):
            light = image[b, c].astype(np.float64).ravel()
            scaled = np.where(covered, light / np.where(covered, total, 1.0), 0.0)
            back = np.where(covered, 0.0, light)
            for source, place, share in seen:
                lit = ~patches.dark[source]
                back += np.bincount(patches.pixel[source][lit], (share * scaled[place])[lit], back.size)
            result[b, c] = back.reshape(image.shape[2:])
    return result.astype(image.dtype)
