"""The development of raw numbers in plain numpy, float64, one step after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from blursynth.physics.development import DevelopParameters
from blursynth.physics.mosaic import BILINEAR, BLUE, DEMOSAICS, EDGE_FLOOR, GREEN, MALVAR, RED, color_sites

__all__ = ["demosaic", "develop", "edge_aware"]


def demosaic(
    mosaic: NDArray[np.float64], code: int, kernels: dict[str, NDArray[np.float64]], origin_px: tuple[int, int]
) -> NDArray[np.float64]:
    """``[3, H, W]`` of a mosaic ``[H, W]``, reflected beyond its border (which keeps the phase of the pattern)."""
    height, width = mosaic.shape
    sites = color_sites(code, (origin_px[0] - 2, origin_px[1] - 2), (height + 4, width + 4))
    wide = np.pad(mosaic, 2, mode="reflect")
    out = np.empty((3, height, width))
    for row in range(height):
        for column in range(width):
            window = wide[row : row + 5, column : column + 5]
            here, beside, below = sites[row + 2, column + 2], sites[row + 2, column + 3], sites[row + 3, column + 2]
            out[here, row, column] = mosaic[row, column]
            if here == GREEN:
                out[beside, row, column] = (kernels["same_row"] * window).sum()
                out[below, row, column] = (kernels["other_row"] * window).sum()
            else:
                out[GREEN, row, column] = (kernels["green"] * window).sum()
                out[BLUE if here == RED else RED, row, column] = (kernels["opposite"] * window).sum()
    return out


def edge_aware(mosaic: NDArray[np.float64], code: int, origin_px: tuple[int, int]) -> NDArray[np.float64]:
    """``[3, H, W]`` of a mosaic ``[H, W]`` along edges; see :mod:`blursynth.physics.mosaic`."""
    height, width = mosaic.shape
    wide = np.pad(mosaic, 8, mode="reflect")
    sites = color_sites(code, (origin_px[0] - 8, origin_px[1] - 8), wide.shape)
    differences, weights = [], []
    for axis in (1, 0):

        def beyond(values: NDArray[np.float64], step: int, axis: int = axis) -> NDArray[np.float64]:
            return np.roll(values, -step, axis)  # what comes in at the other side is cut off at the end

        unseen = (beyond(wide, -1) + beyond(wide, 1)) / 2 + (2 * wide - beyond(wide, -2) - beyond(wide, 2)) / 4
        difference = np.where(sites == GREEN, unseen - wide, wide - unseen)
        change = np.abs(beyond(difference, 1) - beyond(difference, -1))
        near = np.sum([np.roll(change, (i, k), (0, 1)) for i in range(-2, 3) for k in range(-2, 3)], axis=0)
        differences.append(difference)
        weights.append(1 / (near**2 + EDGE_FLOOR))
    difference = np.average(differences, axis=0, weights=np.array(weights))
    out = np.empty((3, *wide.shape))
    out[GREEN] = np.where(sites == GREEN, wide, wide - difference)
    for color in (RED, BLUE):
        seen = np.where(sites == color, difference, 0.0)
        beside = np.roll(seen, 1, 1) + 2 * seen + np.roll(seen, -1, 1)
        around = (np.roll(beside, 1, 0) + 2 * beside + np.roll(beside, -1, 0)) / 4
        out[color] = np.where(sites == color, wide, out[GREEN] + around)
    return out[:, 8 : 8 + height, 8 : 8 + width]


def develop(
    image: NDArray[np.floating], parameters: DevelopParameters, *, origin_px: NDArray[np.int64]
) -> NDArray[np.floating]:
    """``gain M demosaic(min(balance (DN - black) / (white - black), clip))``."""
    batch, channels, height, width = image.shape
    origin = np.broadcast_to(origin_px, (batch, 2))
    colored = parameters.has_colors
    out = np.empty((batch, 3 if colored else channels, height, width), image.dtype)
    for b in range(batch):
        n = b % len(parameters)
        black, white = parameters.black_dn[n], parameters.white_dn[n]
        light = (np.asarray(image[b], np.float64) - black) / (white - black)
        code, clip = int(parameters.mosaic[n]), parameters.clip[n]
        corner = int(origin[b, 0]), int(origin[b, 1])
        if code:
            sites = color_sites(code, corner, (height, width))
            light = np.minimum(light * parameters.white_balance[n][sites], clip)
            name = DEMOSAICS[int(parameters.demosaic[n])]
            if name == "edge_aware":
                light = edge_aware(light[0], code, corner)
            else:
                light = demosaic(light[0], code, {"malvar": MALVAR, "bilinear": BILINEAR}[name], corner)
        elif colored:
            light = np.minimum(light * parameters.white_balance[n][:, None, None], clip)
        else:
            light = np.minimum(light, clip)
        if colored:
            light = np.einsum("ij,jhw->ihw", parameters.color_matrix[n], light)
        out[b] = light * parameters.gain[n]
    return out
