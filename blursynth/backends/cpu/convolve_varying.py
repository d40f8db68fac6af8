"""Convolution with a point spread that varies across the picture, on the CPU.

``y(p) = sum_n w_n(p) (k_n * x)(p)`` over the nodes n of a ``PointSpreadField``, with the weights of linear
interpolation. ``backends.oracle.convolve_varying`` is the definition that this is held against; it blurs the whole
picture with every node, while here only the nodes whose weight is not zero are computed, block by block
(``convolve_varying_tiles``), or blended beforehand where they are many (``convolve_varying_ribbons``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.borders import BORDER_CODES, margins_px
from blursynth.backends.checks import check_convolve_varying, check_image, check_plane
from blursynth.backends.cpu.convolve import _fold, _prepared
from blursynth.backends.cpu.convolve_direct import VECTOR_BYTES
from blursynth.backends.cpu.convolve_varying_ribbons import prefer_ribbons, ribbon_tiles, send_ribbon_tiles
from blursynth.backends.cpu.convolve_varying_tiles import prepare_nodes, varying_adjoint_tiles, varying_tiles
from blursynth.backends.cpu.warp_mean import _gather_bands
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.frame import Border
from blursynth.physics.point_spread_field import PointSpreadField

__all__ = ["convolve_varying", "convolve_varying_adjoint"]

# Tiles of the result: with their margin they stay in the second cache, and there are enough of them to share out.
_TILE_HEIGHT, _TILE_WIDTH = 64, 256
_BAND = 16  # rows of the result that patches are added to at a time
# Rounding that running sums may bring, of the largest pixel: a fifth of the tolerance of the operation.
_LIMIT = {4: 4e-6, 8: 2e-13}
_THREAD_PAYS_ENTRIES = 3e6  # multiplications of vectors below which a second thread costs more than it saves


def _checked(image: NDArray[np.floating], field: PointSpreadField, level: Any, border: Border | str) -> Border:
    check_image(image)
    border = check_convolve_varying(image.shape, field, level, border)
    if level is not None:
        check_plane("level", level, image.shape)
    return border


def _levels_as_given(level: Any, field: PointSpreadField, dtype: np.dtype[Any]) -> NDArray[np.floating]:
    """``[B, H, W]`` float32 or float64, contiguous; of no size where there is one level, which is not looked at."""
    if level is None or field.levels == 1:
        return np.empty((1, 0, 0), dtype)
    kind = np.float32 if level.dtype == np.float32 and dtype == np.float32 else np.float64
    return np.ascontiguousarray(level, kind)


def _axis(size: int, first: float, step: float, nodes: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each pixel of an axis the node before it, and how far on the way to the next one it is."""
    place = np.clip((np.arange(size) - first) / step, 0, nodes - 1)
    node = place.astype(np.int64)
    return node, place - node


class _Plan:
    """What the tiles of all pictures share: buffers' sizes and, per picture, its nodes."""

    def __init__(self, field: PointSpreadField, dtype: np.dtype[Any], size: tuple[int, int], turned: bool) -> None:
        self.field = field
        self.turned = turned
        self.like = np.empty(0, dtype)
        lanes = VECTOR_BYTES // dtype.itemsize
        self.extents = margins_px(field.psf.dy, field.psf.dx)
        top, bottom, left, right = self.extents
        if turned:
            top, bottom, left, right = bottom, top, right, left
        self.margins = (top, bottom, left + 1, right)  # a column more, for running sums
        self.width = (min(_TILE_WIDTH, size[1]) + lanes - 1) // lanes * lanes + left + 1 + right
        # Rows and planes an odd number of vectors apart do not all fall on the same lines of the first cache.
        vectors = -(-self.width // lanes)
        self.pitch = (vectors + 1 - vectors % 2) * lanes
        rows = (min(_TILE_HEIGHT, size[0]) + 3) // 4 * 4 + top + bottom
        self.plane = rows * self.pitch + 5 * lanes
        self._nodes: tuple[Any, ...] = ()
        self._first, self._last = 0, 0

    def nodes(self, b: int) -> tuple[Any, ...]:
        """The nodes of picture b: the index of its first one, and what ``prepare_nodes`` makes of all of them."""
        field = self.field
        if not self._nodes or len(field) > 1:
            a = (b % len(field)) * field.nodes
            psf = field.psf
            start = psf.start[a : a + field.nodes + 1]
            self._nodes = prepare_nodes(
                start, psf.dy, psf.dx, psf.weight, self.pitch, self.width, _LIMIT[self.like.itemsize], self.turned,
                self.like,
            )  # fmt: skip
        return self._nodes

    def taps(self, b: int) -> tuple[Any, ...] | None:
        """What ``ribbon_tiles`` needs of the taps of picture b; None where blocks are expected to be faster."""
        field = self.field
        if field.levels > 1 or field.nodes == 1:
            return None
        a = (b % len(field)) * field.nodes
        psf = field.psf
        taps = (psf.start[a : a + field.nodes + 1], psf.dy, psf.dx, psf.weight, self.extents)
        lanes = VECTOR_BYTES // self.like.itemsize
        grid = (field.rows, field.columns, *field.step_px)
        return taps if prefer_ribbons(*taps, *grid, lanes, self.turned) else None

    def axes(self, b: int, height: int, width: int) -> tuple[Any, ...]:
        """Nodes and places of every row and column of picture b."""
        field = self.field
        first = field.first_px[b % len(field.first_px)]
        return (
            *_axis(height, float(first[0]), field.step_px[0], field.rows),
            field.rows,
            *_axis(width, float(first[1]), field.step_px[1], field.columns),
            field.columns,
        )

    def threads(self, shape: tuple[int, ...], threads: int | None) -> int:
        """Threads for one picture."""
        vectors = shape[1] * shape[2] * shape[3] * self.like.itemsize / VECTOR_BYTES
        field = self.field
        taps = field.psf.dy.size / len(field.psf)
        work = vectors * taps * min(field.nodes, 4)
        if field.levels == 1:
            work += 7 * taps * field.nodes  # to blend them
        return threads_to_use(threads) if work > _THREAD_PAYS_ENTRIES else 1


def _jobs(channels: int, height: int, width: int) -> int:
    """Tiles times groups of three channels (and single ones that are left)."""
    return (channels // 3 + channels % 3) * -(-height // _TILE_HEIGHT) * -(-width // _TILE_WIDTH)


def convolve_varying(
    image: NDArray[np.floating],
    field: PointSpreadField,
    level: NDArray[np.floating] | None = None,
    *,
    border: Border,
    threads: int | None = None,
) -> NDArray[np.floating]:
    """The gather form, blur then mask: ``y(p) = sum_n w_n(p) (k_n * x)(p)``, n over the nodes.

    The cost per pixel is that of the nodes around it: 2 levels where the level changes smoothly, whatever their number,
    each with its occupied taps; a large disk of radius r, coded as differences, counts as about 8 r taps. Where levels
    jump, a block of 2 by 16 px (float32, 64-byte vectors) computes every level that occurs in it. On a grid of a single
    level the nodes around are blended first where that is cheaper, so its cost hardly depends on their number either.

    Disks that are coded as differences leave rounding beyond their reach, about 1e-8 of the largest pixel in float32,
    of either sign; all other light stays exactly 0 beyond the reach. Not modeled: NaN and infinite pixels, which spread
    beyond the reach.

    Examples
    --------
    Sharp on the left, a box of three on the right:

    >>> from blursynth.physics.point_spread import PointSpreads
    >>> psf = PointSpreads.from_dense([np.ones((1, 1)), np.full((1, 3), 1 / 3)])
    >>> field = PointSpreadField(psf, columns=2, step_px=(1.0, 4.0))
    >>> image = np.array([[[[0.0, 3.0, 0.0, 0.0, 3.0]]]])
    >>> convolve_varying(image, field, border=Border.REPLICATE).round(3).tolist()
    [[[[0.0, 2.5, 0.5, 0.75, 2.0]]]]
    """
    border = _checked(image, field, level, border)
    image = _prepared(image)
    batch, channels, height, width = image.shape
    levels = _levels_as_given(level, field, image.dtype)
    plan = _Plan(field, image.dtype, (height, width), False)
    result = np.empty(image.shape, image.dtype)
    for b in range(batch):
        jobs, workers = _jobs(channels, height, width), plan.threads(image.shape, threads)
        address = image[b].__array_interface__["data"][0]
        picture = (address, image.strides[1], image.strides[2], channels, height, width, BORDER_CODES[border])
        taps = plan.taps(b)
        if taps is not None:
            share_out(
                ribbon_tiles,
                jobs,
                workers,
                *picture,
                *plan.axes(b, height, width),
                *(*taps, plan.margins, plan.pitch, plan.plane),
                *(result[b], _TILE_HEIGHT, _TILE_WIDTH),
            )
            continue
        first, offsets, weights, summed, _ = plan.nodes(b)
        share_out(
            varying_tiles,
            jobs,
            workers,
            *picture,
            *(levels[b % len(levels)], field.levels, *plan.axes(b, height, width)),
            *(first, offsets, weights, summed, plan.margins, plan.pitch, plan.plane),
            *(result[b], _TILE_HEIGHT, _TILE_WIDTH),
        )
    return result


def convolve_varying_adjoint(
    image: NDArray[np.floating],
    field: PointSpreadField,
    level: NDArray[np.floating] | None = None,
    *,
    border: Border,
    threads: int | None = None,
) -> NDArray[np.floating]:
    """The exact transpose of :func:`convolve_varying`, borders included.

    Of a field of levels every node is computed wherever its light goes, so narrow levels cost more than in the gather
    form. On a grid of a single level the nodes around are blended first where that is cheaper, as in that form.
    """
    border = _checked(image, field, level, border)
    image = _prepared(image)
    batch, channels, height, width = image.shape
    levels = _levels_as_given(level, field, image.dtype)
    folds = border in (Border.REFLECT, Border.REPLICATE)
    top, bottom, left, right = margins_px(field.psf.dy, field.psf.dx) if folds else (0, 0, 0, 0)
    grown = np.empty((batch, channels, height + top + bottom, width + left + right), image.dtype)
    plan = _Plan(field, image.dtype, grown.shape[2:], True)
    code = BORDER_CODES[Border.CIRCULAR if border == Border.CIRCULAR else Border.CONSTANT]
    result = np.empty(image.shape, image.dtype) if folds else grown
    for b in range(batch):
        taps = plan.taps(b)
        if taps is not None:
            _send_by_ribbons(image[b], result[b], plan, taps, plan.axes(b, height, width), border, threads)
            continue
        first, offsets, weights, summed, extent = plan.nodes(b)
        share_out(
            varying_adjoint_tiles,
            _jobs(channels, *grown.shape[2:]),
            plan.threads(image.shape, threads),
            *(image[b].__array_interface__["data"][0], image.strides[1], image.strides[2]),
            *(channels, height, width, code),
            *(levels[b % len(levels)], field.levels, *plan.axes(b, height, width)),
            *(first, offsets, weights, summed, extent, plan.margins, plan.pitch, plan.plane),
            *(grown[b], _TILE_HEIGHT, _TILE_WIDTH, -top, -left),
        )
        if folds:
            _fold(grown[b : b + 1], result[b : b + 1], top, left, BORDER_CODES[border])
    return result


def _send_by_ribbons(
    light: NDArray[np.floating],
    result: NDArray[np.floating],
    plan: _Plan,
    taps: tuple[Any, ...],
    axes: tuple[Any, ...],
    border: Border,
    threads: int | None,
) -> None:
    """Every tile sends its light into a patch of its own, and the patches are added in order."""
    channels, height, width = light.shape
    lanes = VECTOR_BYTES // light.itemsize
    top, bottom, left, right = plan.extents
    down, across = (np.arange(0, size, tile) for size, tile in ((height, _TILE_HEIGHT), (width, _TILE_WIDTH)))
    y, x = (edges.ravel() for edges in np.meshgrid(down, across, indexing="ij"))
    rows = -(-np.minimum(_TILE_HEIGHT, height - y) // 4) * 4  # as many as are sent at a time
    columns = -(-np.minimum(_TILE_WIDTH, width - x) // lanes) * lanes
    boxes = np.stack([y - top, y + rows + bottom, x - left, x + columns + right], axis=1)
    sizes = channels * (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
    place = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    patches = np.empty(place[-1], light.dtype)
    workers = plan.threads((1, channels, height, width), threads)
    share_out(
        send_ribbon_tiles, len(boxes), workers, np.ascontiguousarray(light), *axes, *taps, plan.extents, boxes, place,
        patches, _TILE_HEIGHT, _TILE_WIDTH,
    )  # fmt: skip
    bands = -(-height // _BAND)
    share_out(_gather_bands, bands, workers, boxes, place, patches, BORDER_CODES[border], result, _BAND)
