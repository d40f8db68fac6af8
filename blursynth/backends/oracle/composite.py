"""Blur with occlusion: the oracle of defocus, parallax and moving objects.

With one part per point of the aperture and moment of the exposure, this is the mean of occlusion-resolved pinhole
pictures; with fewer parts it is the definition that the faster backends are held against.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.oracle.borders import continued_index
from blursynth.frame import Border
from blursynth.physics.coverage import COMPLETE, GOES_ON, MOST_SCALED, NEARLY_WHOLE, NOTHING_SEEN
from blursynth.physics.scene import Scene

__all__ = ["composite", "composite_adjoint", "coverage_scale"]


class _Places:
    """The patches of one picture and of its continuation beyond the edge: where they lie, and what they cover."""

    def __init__(self, scene: Scene, b: int, border: Border, reach: int) -> None:
        height, width = scene.order.shape[1:]
        self.patches = scene.patches(b)
        # Beyond a black border there is no light, but the surfaces continue, and hide.
        continued = Border.REPLICATE if border == Border.CONSTANT else border
        y, x = np.arange(-reach, height + reach), np.arange(-reach, width + reach)
        iy, ix = continued_index(y, height, continued), continued_index(x, width, continued)
        seen = (iy[:, None] * width + ix[None, :]).ravel()
        dark = np.zeros(seen.shape, bool)
        if border == Border.CONSTANT:
            dark = (((y < 0) | (y >= height))[:, None] | ((x < 0) | (x >= width))[None, :]).ravel()
        rows, columns = (a.ravel() for a in np.meshgrid(y, x, indexing="ij"))
        p = self.patches
        amounts = (p.cover, np.ones(p.cover.size), p.void)
        there = p.there[:, seen]
        self.row, self.column, self.pixel, self.dark = (
            np.concatenate([plane[one] for one in there]) for plane in (rows, columns, seen, dark)
        )
        self.which = np.repeat(np.arange(3), there.sum(axis=1))
        self.amount = np.concatenate([amount[seen[one]] for amount, one in zip(amounts, there, strict=True)])
        self.missing = self.which == 2
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
        """Show patches that cover ``coverage``: as much of them as is opaque and has room."""
        seen = np.where(coverage > NOTHING_SEEN, np.minimum(opaque, self.room), 0.0)
        self.show(pieces, _per(seen, coverage))
        self.fill(seen)

    def show(self, pieces: list[Any], factor: NDArray[np.float64]) -> None:
        """Add the light of patches, of which a share ``factor`` is seen at every pixel."""
        for source, place, share in pieces:
            self.pieces.append((source, place, factor[place] * share))

    def fill(self, amount: NDArray[np.float64]) -> None:
        """Leave less for what lies farther."""
        self.total += amount
        self.room = self.room - amount
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
        slices = list(_slices(scene, b, places, part, np.ones(total.size) if stretch is None else stretch, shape))
        if scene.connected:
            _walk(slices, seen)
        else:
            for one in slices:
                seen.take([*one.shown_pieces, *one.hid_pieces], one.shown + one.hid, one.shown + one.hid)
        total += scene.part_weight[part] * seen.total
        pieces += [(source, place, scene.part_weight[part] * share) for source, place, share in seen.pieces]
    return places, pieces, total


@dataclass
class _Slice:
    """What reaches every pixel from one slice: coverage by visible and by hidden patches, and where it is missing."""

    number: int
    shown: NDArray[np.float64]
    hid: NDArray[np.float64]
    missing: NDArray[np.float64]
    shown_pieces: list[Any]
    hid_pieces: list[Any]

    @property
    def together(self) -> NDArray[np.float64]:
        """The share of rays that are known to meet the slice or to pass beside it; 0 where that is rounding."""
        together = self.shown + self.hid + self.missing
        return np.where(together > NOTHING_SEEN, together, 0.0)


def _slices(
    scene: Scene, b: int, places: _Places, part: int, stretch: NDArray[np.float64], shape: tuple[int, int]
) -> Iterator[_Slice]:
    """From near to far."""
    pixels = shape[0] * shape[1]
    for number in np.unique(places.order)[::-1]:
        source, place, tap = _splat(places, places.order == number, scene, part, shape)
        # A patch's own light already has the share of its pixel; what is missing is not stretched.
        share = np.where(places.missing[source], tap, tap * stretch[places.surface[source]])
        amount = places.amount[source] * share
        kinds = [places.which[source] == kind for kind in range(3)]
        shown, hid, missing = (np.bincount(place[k], amount[k], pixels).astype(np.float64) for k in kinds)
        lit = [[(source[k], place[k], share[k])] for k in kinds[:2]]
        if scene.farthest is not None:
            seen = number >= scene.farthest[b].ravel()
            shown, hid, missing = (np.where(seen, amount, 0.0) for amount in (shown, hid, missing))
        yield _Slice(int(number), shown, hid, missing, *lit)


def _walk(slices: list[_Slice], seen: _Seen) -> None:
    """From near to far, what is visible before what is hidden."""
    pixels = seen.room.size
    none = np.zeros(pixels)
    waiting, waits = np.zeros(pixels), list[Any]()
    # Of the adjacent slices up to the current one: what they cover, with and without the places where they are missing,
    # and how much of that they were given.
    chain, cover, given = none, none, none
    for n, one in enumerate(slices):
        adjacent = n > 0 and slices[n - 1].number == one.number + 1
        goes_on = adjacent & ((slices[n - 1].together if adjacent else none) > 0) & (one.together > 0)
        covered = one.shown + one.hid
        chain = one.together + np.where(goes_on, chain, 0.0)
        cover, given = covered + np.where(goes_on, cover, 0.0), np.where(goes_on, given, 0.0)
        following, together = none, chain
        if n + 1 < len(slices) and slices[n + 1].number == one.number - 1:
            following = np.where(slices[n + 1].together > 0, slices[n + 1].shown + slices[n + 1].hid, 0.0)
            together = chain + slices[n + 1].together
        # What the slices before lacked, since it was not known yet, is made up for.
        scale = _per(np.maximum(coverage_scale(together, following) * cover - given, 0.0), covered)
        scale = np.minimum(scale, MOST_SCALED)
        complete = (one.shown >= COMPLETE) & (one.missing <= NOTHING_SEEN)
        opaque = np.where(covered > NOTHING_SEEN, np.minimum(scale * covered, 1.0), 0.0)
        opaque = np.where(complete, 1.0, opaque)
        scale = np.where(complete, 1.0, _per(opaque, covered))
        given = given + opaque
        # What nearer ones left goes to what is visible first, but no more passes beside the slice than its share.
        room = seen.room
        least = np.maximum(scale * one.shown, room - (1.0 - opaque))
        amount = np.where(covered > NOTHING_SEEN, np.minimum(least, np.minimum(opaque, room)), 0.0)
        of_shown = np.minimum(scale * one.shown, amount)
        of_hid = amount - of_shown
        shown = _per(of_shown, one.shown)
        hid = _per(np.where(one.hid > NOTHING_SEEN, of_hid, 0.0), one.hid)
        seen.show(one.shown_pieces, shown)
        seen.show(one.hid_pieces, hid)
        # The rest of what is hidden waits.
        rest = np.where((one.hid > NOTHING_SEEN) & (room > 0), scale - hid, 0.0)
        waiting += rest * one.hid
        waits += [(source, place, rest[place] * share) for source, place, share in one.hid_pieces]
        seen.fill(amount)
    left = np.where(waiting > NOTHING_SEEN, np.minimum(1.0, _per(seen.room, waiting)), 0.0)
    seen.show(waits, left)
    seen.fill(left * waiting)


def _per(amount: NDArray[np.float64], of: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(amount, of, out=np.zeros_like(amount), where=(amount > 0) & (of > 0))


def coverage_scale(together: NDArray[np.float64], following: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much the coverage of a slice is scaled.

    To ``1 / together``, of a surface's slices so far and the next one, if that is near 1, since every ray meets the
    surface or a place where it is missing: noise, steps or slopes of its depth do not open gaps. Where it is not, more
    than one surface is near, or not all that is missing is known, and coverage counts as it is; likewise where it is
    less than 1 and the surface continues in the next slice, which covers ``following``.
    """
    none, low, high, much = NEARLY_WHOLE
    sure = np.clip(np.minimum((together - none) / (low - none), (much - together) / (much - high)), 0.0, 1.0)
    sure = np.where(together < 1.0, sure * np.maximum(0.0, 1.0 - following / GOES_ON), sure)
    return np.asarray(1.0 + sure * (1.0 / np.maximum(together, none) - 1.0))


def composite(image: NDArray[np.floating], scene: Scene, *, border: Border) -> NDArray[np.floating]:
    """Spread the light of every patch of the scene, with nearer slices covering farther ones.

    For every part of the exposure and pixel p of the result, from the nearest slice j to the farthest: coverage
    ``A_j = sum over its patches q of k_q(p - q) s_q``, s the share of its pixel that a patch covers; light ``N_j``
    likewise; seen is ``w_j = min(A_j, what nearer ones left)``. The result is the mean over the parts of
    ``sum_j w_j N_j / A_j``, divided by that of ``sum_j w_j``, so that constants stay constant. A pixel that nothing
    covers keeps its value. The result is linear in the image; all shares depend on the scene alone.

    In a connected scene neighboring slices may be one surface. With ``V_j`` the coverage of the places where it is
    missing, ``T_j = A_j + V_j`` summed over the slices next to each other up to j and the one after it is 1 if they
    are, and their coverage is scaled by :func:`coverage_scale` of it: slice j gets what that makes of all of them up to
    j, less what those before it got, but no more than twice its own and 1.

    Visible patches v and hidden ones h are distinguished, ``A_j = v_j + h_j``: what nearer slices left is filled by
    what is visible first, from near to far, since that is what the gaps beside nearer surfaces show; but no more light
    passes beside slice j than ``1 - A_j``, ``w_j = min(max(v_j, left - (1 - A_j)), A_j, left)``, of which v_j comes
    first. What is left at the end shows what is hidden and was not seen yet, in proportion. Nowhere is it decided where
    a surface ends, so what is seen changes little where what reaches p does: there are no seams.

    Slices beyond ``farthest`` are not seen at p. There a nearer surface fills all of the blur, whatever the sum of its
    slices: between the steps of its depth that falls short of 1, which the division by the sum of all w_j makes up for.
    """
    result = np.empty(image.shape)
    for b in range(len(image)):
        places, seen, total = _visible(scene, b, border)
        lights = places.patches.light(image[b].reshape(image.shape[1], -1))
        for c in range(image.shape[1]):
            color = image[b, c].astype(np.float64).ravel()
            light = np.where(places.dark | places.missing, 0.0, lights[np.minimum(places.which, 1), c, places.pixel])
            value = np.zeros(total.size)
            for source, place, share in seen:
                value += np.bincount(place, share * light[source], total.size)
            covered = total > NOTHING_SEEN
            result[b, c] = np.where(covered, value / np.where(covered, total, 1.0), color).reshape(image.shape[2:])
    return result.astype(image.dtype)


def composite_adjoint(image: NDArray[np.floating], scene: Scene, *, border: Border) -> NDArray[np.floating]:
    """The exact transpose of :func:`composite` as a map of images, borders and hidden surfaces included."""
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
