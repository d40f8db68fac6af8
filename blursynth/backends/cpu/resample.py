"""Separable resampling in numba: rows first, a few at a time as whole vectors, then columns within each row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.checks import check_bands, check_image
from blursynth.backends.cpu.compilation import compiled
from blursynth.backends.threads import share_out, threads_to_use
from blursynth.physics.resampling import Bands

__all__ = ["resample", "resample_adjoint"]

_THREAD_PAYS_PRODUCTS = 400_000

_compiled = compiled(fastmath={"contract"})


# Each loop that is to be vectorized is a function of its own: next to other loops LLVM gives up on it.


@_compiled
def _add_row(row, weight, size, total):  # type: ignore[no-untyped-def]
    for x in range(size):
        total[x] += weight * row[x]


@_compiled
def _across(row, source, weight, out):  # type: ignore[no-untyped-def]
    taps = source.shape[0]
    for x in range(out.shape[0]):
        total = weight[0, x] * row[source[0, x]]
        for k in range(1, taps):
            total += weight[k, x] * row[source[k, x]]
        out[x] = total


@_compiled
def _across_back(row, source, weight, out):  # type: ignore[no-untyped-def]
    for k in range(source.shape[0]):
        for x in range(row.shape[0]):
            out[source[k, x]] += weight[k, x] * row[x]


@_compiled
def _planes(first, last, image, rows, row_weight, columns, column_weight, out):  # type: ignore[no-untyped-def]
    width = image.shape[2]
    total = np.empty(width, image.dtype)
    for plane in range(first, last):
        for y in range(rows.shape[0]):
            total[:] = 0
            for k in range(rows.shape[1]):
                if row_weight[y, k] != 0:
                    _add_row(image[plane, rows[y, k]], row_weight[y, k], width, total)
            _across(total, columns, column_weight, out[plane, y])


@_compiled
def _planes_back(first, last, image, rows, row_weight, columns, column_weight, out):  # type: ignore[no-untyped-def]
    width = out.shape[2]
    total = np.empty(width, image.dtype)
    for plane in range(first, last):
        out[plane] = 0
        for y in range(rows.shape[0]):
            total[:] = 0
            _across_back(image[plane, y], columns, column_weight, total)
            for k in range(rows.shape[1]):
                if row_weight[y, k] != 0:
                    _add_row(total, row_weight[y, k], width, out[plane, rows[y, k]])


def resample(
    image: NDArray[np.floating], rows: Bands, columns: Bands, *, threads: int | None = None
) -> NDArray[np.floating]:
    """A picture on another grid. Each plane is one job, computed in the type of the image.

    Examples
    --------
    >>> from blursynth.physics.resampling import Bands
    >>> halves = Bands(np.array([[0, 1], [2, 3]]), np.full((2, 2), 0.5))
    >>> resample(np.arange(16.0).reshape(1, 1, 4, 4), halves, halves)[0, 0].tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    check_image(image)
    check_bands(image.shape, rows, columns)
    return _run(_planes, image, rows, columns, (len(rows), len(columns)), threads)


def resample_adjoint(
    image: NDArray[np.floating],
    rows: Bands,
    columns: Bands,
    size_px: tuple[int, int],
    *,
    threads: int | None = None,
) -> NDArray[np.floating]:
    """The exact transpose of :func:`resample`."""
    check_image(image)
    check_bands(image.shape, rows, columns, size_px)
    return _run(_planes_back, image, rows, columns, size_px, threads)


def _run(
    work: Any, image: NDArray[np.floating], rows: Bands, columns: Bands, size_px: tuple[int, int], threads: int | None
) -> NDArray[np.floating]:
    batch, channels, height, width = image.shape
    native = np.ascontiguousarray(image, image.dtype.newbyteorder("="))
    planes = native.reshape(batch * channels, height, width)
    out = np.empty((len(planes), *size_px), image.dtype)
    products = rows.source.size * width + len(rows) * columns.source.size
    share_out(
        work,
        len(planes),
        threads_to_use(threads) if products > _THREAD_PAYS_PRODUCTS else 1,
        planes,
        np.ascontiguousarray(rows.source, np.int64),
        np.ascontiguousarray(rows.weight, image.dtype),
        np.ascontiguousarray(columns.source.T, np.int64),
        np.ascontiguousarray(columns.weight.T, image.dtype),
        out,
    )
    return out.reshape(batch, channels, *size_px)
