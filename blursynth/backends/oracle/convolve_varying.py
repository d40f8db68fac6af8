"""Convolution with a point spread that varies across the picture: the oracle, one full convolution per node."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.backends.oracle.convolve import convolve, convolve_adjoint
from blursynth.frame import Border
from blursynth.physics.point_spread_field import PointSpreadField

__all__ = ["convolve_varying", "convolve_varying_adjoint", "node_weights"]


def _hat(place: NDArray[np.float64], nodes: int) -> NDArray[np.float64]:
    """``[nodes, ...]`` weights of linear interpolation at places on the scale of the nodes 0 .. nodes - 1."""
    place = np.clip(place, 0, nodes - 1)
    number = np.arange(nodes).reshape((-1,) + (1,) * place.ndim)
    return np.maximum(0.0, 1.0 - np.abs(place - number))


def node_weights(
    shape: tuple[int, int], field: PointSpreadField, level: NDArray[np.floating] | None, b: int
) -> NDArray[np.float64]:
    """``[levels, rows, columns, H, W]`` weight of every node at every pixel of picture b; they sum to 1."""
    first = field.first_px[b % len(field.first_px)]
    rows = _hat((np.arange(shape[0]) - first[0]) / field.step_px[0], field.rows)
    columns = _hat((np.arange(shape[1]) - first[1]) / field.step_px[1], field.columns)
    levels = _hat(np.zeros(shape) if level is None else level[b].astype(np.float64), field.levels)
    return np.asarray(np.einsum("lyx,iy,jx->lijyx", levels, rows, columns))


def convolve_varying(
    image: NDArray[np.floating], field: PointSpreadField, level: NDArray[np.floating] | None = None, *, border: Border
) -> NDArray[np.floating]:
    """``y(p) = sum_n w_n(p) (k_n * x)(p)``, n over the nodes."""
    result = np.zeros(image.shape)
    for b in range(len(image)):
        weights = node_weights(image.shape[2:], field, level, b)
        for n, index in enumerate(np.ndindex(weights.shape[:3])):
            psf = field.psf[(b % len(field)) * field.nodes + n]
            result[b] += weights[index] * convolve(image[b : b + 1].astype(np.float64), psf, border=border)[0]
    return result.astype(image.dtype)


def convolve_varying_adjoint(
    image: NDArray[np.floating], field: PointSpreadField, level: NDArray[np.floating] | None = None, *, border: Border
) -> NDArray[np.floating]:
    """The exact transpose of :func:`convolve_varying`, borders included."""
    result = np.zeros(image.shape)
    for b in range(len(image)):
        weights = node_weights(image.shape[2:], field, level, b)
        for n, index in enumerate(np.ndindex(weights.shape[:3])):
            psf = field.psf[(b % len(field)) * field.nodes + n]
            result[b] += convolve_adjoint(weights[index] * image[b : b + 1].astype(np.float64), psf, border=border)[0]
    return result.astype(image.dtype)
