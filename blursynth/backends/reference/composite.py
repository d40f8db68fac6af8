"""Blur with occlusion: the oracle of defocus, parallax and moving objects.

With one part per point of the aperture and moment of the exposure, this is the mean of occlusion-resolved pinhole
pictures; with fewer parts it is the definition that the faster backends are held against.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.reference.convolve import check_arguments, continued_index
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.scene import Scene

__all__ = [
    "COMPLETE",
    "ENOUGH_HIDDEN",
    "FAR_APART",
    "KNOWN",
    "NOTHING_SEEN",
    "ONE_SURFACE",
    "check_scene",
    "composite",
    "composite_adjoint",
    "opacity",
]

NOTHING_SEEN = 1e-9  # shares of light below this are rounding; they count as none, and 1 - them as all

# Where one surface ends in a connected scene, see composite.
FAR_APART = 2  # slices; sure of another surface
ONE_SURFACE = (0.9, 1.1)  # noise and slopes change the sum of what a surface covers and where it is missing by a tenth
COMPLETE = 1 - 1e-5
ENOUGH_HIDDEN = 0.1  # less of it says little
KNOWN = (0.2, 0.55)  # from nothing to all of what is missing being known


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


class _Places:
    """The patches of one picture and of its continuation beyond the edge: where they lie, and what they cover."""

    def __init__(self, scene: Scene, b: int, border: Border, reach: int) -> None:
        height, width = scene.order.shape[1:]
        self.patches = scene.patches(b)
        # Beyond a black border nothing shines, but the surfaces go on, and hide.
        continued = Border.REPLICATE if border == Border.CONSTANT else border
        y, x = np.arange(-reach, height + reach), np.arange(-reach, width + reach)
        iy, ix = continued_index(y, height, continued), continued_index(x, width, continued)
        seen = (iy[:, None] * width + ix[None, :]).ravel()
        dark = np.zeros(seen.shape, bool)
        if border == Border.CONSTANT:
            dark = (((y < 0) | (y >= height))[:, None] | ((x < 0) | (x >= width))[None, :]).ravel()
        rows, columns = (a.ravel() for a in np.meshgrid(y, x, indexing="ij"))
        p = self.patches
        amounts = (p.cover, np.ones(p.cover.size), *p.void)
        there = p.there[:, seen]
        self.row, self.column, self.pixel, self.dark = (
            np.concatenate([plane[one] for one in there]) for plane in (rows, columns, seen, dark)
        )
        self.which = np.repeat(np.arange(4), there.sum(axis=1))
        self.amount = np.concatenate([amount[seen[one]] for amount, one in zip(amounts, there, strict=True)])
        self.missing = self.which >= 2
        self.order = p.order[self.which, self.pixel]
        self.kernel = p.kernel[self.which, self.pixel]
        self.surface = p.surface[self.which, self.pixel]


def _splat(places: _Places, chosen: NDArray[np.bool_], scene: Scene, part: int, shape: tuple[int, int]) -> Any:
    """(patch, pixel of the result, share of its light) of all that lands in the picture from the chosen patches."""
    sources, targets, shares = [], [], []
    for k in np.unique(places.kernel[chosen]):
        psf = scene.psf[part * scene.kernels + int(k)]
        which = np.flatnonzero(chosen & (places.kernel == k))
        for dy, dx, weight in zip(psf.dy, psf.dx, psf.weight, strict=True):
            y, x = places.row[which] + int(dy), places.column[which] + int(dx)
            inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
            sources.append(which[inside])
            targets.append((y * shape[1] + x)[inside])
            shares.append(np.full(int(inside.sum()), weight))
    return np.concatenate(sources), np.concatenate(targets), np.concatenate(shares)


class _Seen:
    """What is seen of the surfaces of one part: room is what nearer ones left."""

    def __init__(self, pixels: int) -> None:
        self.room = np.ones(pixels)
        self.total = np.zeros(pixels)
        self.pieces: list[Any] = []  # (patch, pixel, visible share of its light)

    def take(self, pieces: list[Any], coverage: NDArray[np.float64], opaque: NDArray[np.float64]) -> None:
        """Of patches that cover ``coverage``, as much is seen as is opaque and has room."""
        seen = np.where(coverage > NOTHING_SEEN, np.minimum(opaque, self.room), 0.0)
        factor = np.divide(seen, coverage, out=np.zeros_like(seen), where=seen > 0)
        for source, place, share in pieces:
            self.pieces.append((source, place, factor[place] * share))
        self.total += seen
        self.room = self.room - seen
        self.room[self.room < NOTHING_SEEN] = 0


def _visible(scene: Scene, b: int, border: Border) -> tuple[_Places, list[Any], NDArray[np.float64]]:
    """What is seen of every patch: places, (patch, pixel, visible share) lists, and the sum of all shares."""
    shape = scene.order.shape[1:]
    places = _Places(scene, b, border, int(scene.psf.reach_px().max()))
    total = np.zeros(shape[0] * shape[1])
    pieces: list[Any] = []
    for part in range(scene.parts):
        stretch = scene.stretch(b, part)
        seen = _Seen(total.size)
        _walk(scene, places, part, np.ones(total.size) if stretch is None else stretch, seen, shape)
        total += scene.part_weight[part] * seen.total
        pieces += [(source, place, scene.part_weight[part] * share) for source, place, share in seen.pieces]
    return places, pieces, total


def _walk(
    scene: Scene, places: _Places, part: int, stretch: NDArray[np.float64], seen: _Seen, shape: tuple[int, int]
) -> None:
    """From near to far, surface by surface."""
    pixels = seen.room.size
    covered, missing, before = np.zeros(pixels), np.zeros(pixels), np.zeros(pixels)
    last = np.zeros(pixels, np.int64)
    held: list[Any] = []  # pieces of the surface at hand

    def close(which: NDArray[np.bool_]) -> None:
        """The surface at hand is complete at these pixels."""
        nonlocal held
        amount, opaque = np.where(which, covered, 0.0), np.zeros(pixels)
        opaque[which] = opacity(covered[which], missing[which], before[which])
        seen.take(held, amount, opaque)
        held = [(s, p, w) for s, p, w in ((s[~which[p]], p[~which[p]], w[~which[p]]) for s, p, w in held) if s.size]
        covered[which], missing[which], before[which] = 0.0, 0.0, 0.0

    for number in np.unique(places.order)[::-1]:
        source, place, tap = _splat(places, places.order == number, scene, part, shape)
        void = places.missing[source]
        # A patch's own light already has the share of its pixel; what is missing is not stretched.
        share = np.where(void, tap, tap * stretch[places.surface[source]])
        amount = places.amount[source] * share
        here, gone = (np.bincount(place[kind], amount[kind], pixels).astype(np.float64) for kind in (~void, void))
        lit = (source[~void], place[~void], share[~void])
        if not scene.connected:
            seen.take([lit], here, here)
            continue
        present, sum_before = here + gone > NOTHING_SEEN, covered + missing + before
        apart = last // 2 - int(number) // 2 >= FAR_APART
        behind = (int(number) % 2 == 1) & (last // 2 != int(number) // 2)
        behind &= (sum_before > ONE_SURFACE[0]) | (here > ENOUGH_HIDDEN)
        full = (sum_before > ONE_SURFACE[0]) & (sum_before + here + gone > ONE_SURFACE[1])
        close(present & (sum_before > NOTHING_SEEN) & (apart | behind | full))
        covered += np.where(present, here, 0.0)
        first = covered <= NOTHING_SEEN
        before += np.where(present & first, gone, 0.0)
        missing += np.where(present & ~first, gone, 0.0)
        last[present] = int(number)
        keep = present[lit[1]]
        held.append((lit[0][keep], lit[1][keep], lit[2][keep]))
        close((missing <= NOTHING_SEEN) & (covered >= COMPLETE))
    if scene.connected:
        close(covered + missing + before > NOTHING_SEEN)


def opacity(
    covered: NDArray[np.float64], missing: NDArray[np.float64], before: NDArray[np.float64]
) -> NDArray[np.float64]:
    """How much of the rays a surface stops: the share of its patches among these and where it is missing.

    What is missing ``before`` anything is covered may be of a nearer surface that ends near by: it counts as far as the
    rest leaves room for it. Where all together are far from 1 not all that is missing is known, and the patches count
    as they are.
    """
    both = covered + missing
    both = both + np.minimum(before, np.maximum(1.0 - both, 0.0))
    known = np.clip((both - KNOWN[0]) / (KNOWN[1] - KNOWN[0]), 0.0, 1.0)
    return np.asarray(np.minimum(1.0, covered / np.maximum(known * both + 1.0 - known, NOTHING_SEEN)))


def composite(image: NDArray[np.floating], scene: Scene, *, border: Border) -> NDArray[np.floating]:
    """Spread the light of every patch of the scene and let nearer slices cover farther ones.

    For every part of the exposure and pixel p of the result, from the nearest surface j to the farthest:
    coverage ``A_j = sum over its patches q of k_q(p - q) s_q``, s the share of its pixel that a patch covers; light
    ``N_j`` likewise; opaque is ``a_j``, seen ``w_j = min(a_j, what nearer ones left)``. The result is the mean over the
    parts of ``sum_j w_j N_j / A_j``, divided by that of ``sum_j w_j``, so that constants stay constant. A pixel that
    nothing covers keeps its value. It is linear in the image; all shares depend on the scene alone.

    Every slice is a surface, and ``a_j = A_j``. In a connected scene neighbouring slices are one as far as their
    coverage, and that of the places V where the surface is missing, stay together within 1: a surface ends where the
    next slice that reaches p is two or more farther, or begins with what is hidden (which is asked before what is
    there; more than .1 of it, or where A + V is above .9), or where A + V is above .9 and would rise above 1.1, or
    where it covers all. Then
    ``a_j = A_j / (A_j + V_j)`` (see :func:`opacity`): every ray meets the surface, or the place where it is missing;
    noise, steps or slopes of its depth do not open gaps.

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
        places, seen, total = _visible(scene, b, border)
        lights = places.patches.light(image[b].reshape(image.shape[1], -1))
        for c in range(image.shape[1]):
            colour = image[b, c].astype(np.float64).ravel()
            light = np.where(places.dark | places.missing, 0.0, lights[np.minimum(places.which, 1), c, places.pixel])
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
        places, seen, total = _visible(scene, b, border)
        covered = total > NOTHING_SEEN
        channels = image.shape[1]
        back = np.zeros((2, channels, total.size))
        for c in range(channels):
            light = image[b, c].astype(np.float64).ravel()
            scaled = np.where(covered, light / np.where(covered, total, 1.0), 0.0)
            for source, place, share in seen:
                lit = ~places.dark[source]
                which, pixel, value = places.which[source][lit], places.pixel[source][lit], (share * scaled[place])[lit]
                for patch in range(2):
                    back[patch, c] += np.bincount(pixel[which == patch], value[which == patch], total.size)
        own = np.where(covered, 0.0, image[b].astype(np.float64).reshape(channels, -1))
        result[b] = (own + places.patches.light_adjoint(back)).reshape(image.shape[1:])
    return result.astype(image.dtype)
