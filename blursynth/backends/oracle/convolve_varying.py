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
    """The gather form, blur then mask: ``y(p) = sum_n w_n(p) (k_n * x)(p)``, n over the nodes.

    The point spread belongs to the pixel where the light arrives. Constants are kept where the border keeps them; flux
    is not. The scatter form (mask, then blur) is the adjoint with the field flipped, see
    :func:`convolve_varying_adjoint`.

    Parameters
    ----------
    image
        ``[B, C, H, W]``, float32 or float64.
    field
        Point spreads at the nodes.
    level
        ``[B, H, W]`` place of every pixel on the scale of the field's levels, clipped to 0 .. levels - 1; None when
        there is one level only.
    border
        How the pictures go on beyond their edge; not ``VALID``.
    """
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
    """The exact transpose of :func:`convolve_varying`, borders included.

    With ``field.flipped()`` it is the scatter form, mask then blur, ``y = sum_n k_n * (w_n x)``: the point spread
    belongs to the pixel where the light comes from, flux is kept (inside, and for a circular border), constants are
    not.
    """
    result = np.zeros(image.shape)
    for b in range(len(image)):
        weights = node_weights(image.shape[2:], field, level, b)
        for n, index in enumerate(np.ndindex(weights.shape[:3])):
            psf = field.psf[(b % len(field)) * field.nodes + n]
            result[b] += convolve_adjoint(weights[index] * image[b : b + 1].astype(np.float64), psf, border=border)[0]
    return result.astype(image.dtype)
