"""Smoothing of depth against filters that keep edges: what is left of noise and of stairs, and what becomes of jumps.

Run with ``python benchmarks/depth_smoothing.py``. Depths of made scenes, and with ``BLURSYNTH_REAL_DATA`` the measured
disparities of a stereo benchmark, are disturbed; all numbers are px of the radius of a blur that is linear in inverse
depth. The peers see the same picture in sRGB codes: the guided filter with the picture as its guide, a joint bilateral
filter, and the fast global smoother (one tridiagonal system per row and per column, three rounds). Of real disparities
the middle is taken, and only pixels count whose disparity was measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numba
import numpy as np
from measure import machine, table, version
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum_filter, minimum_filter, uniform_filter

from blursynth import Frame, Intrinsics, read_frame
from blursynth.degradations import Decode, Defocus, DepthSmoothing, Encode
from blursynth.io.depth import DepthFormat, read_depth_map
from blursynth.io.depth.formats import read_numbers
from blursynth.physics.thin_lens import blur_per_dioptre_px

Plane = NDArray[np.float64]

JUMP_PX = 3.0
STEP_PX = 2.0
FAR_PX = 60.0  # radius at depth 0, so that steps can be shares of the inverse depth
SIZE = 160


Case = tuple[str, Plane, Plane, NDArray[np.bool_]]


def scenes() -> Iterator[Case]:
    """Name, picture ``[3, H, W]`` in sRGB, radius ``[H, W]`` and where it is known."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    rng = np.random.default_rng(4)
    texture = 0.04 * rng.standard_normal((3, SIZE, SIZE)) + 0.06 * np.sin(rows / 5 + columns / 9)
    wall = 0.03 * columns + 0.02 * rows
    edge = columns - 70 - 0.18 * rows > 0
    wire = np.abs(columns * 0.95 + rows * 0.3 - 90) < 1.0
    disc = np.hypot(rows - 70, columns - 85) < 34.0
    for name, near, radius in (
        ("an edge", edge, 9.0 + 0.05 * rows),
        ("a wire", wire, np.full_like(rows, 12.0)),
        ("a disk on a slope", disc, 14.0 - 0.08 * columns),
    ):
        picture = np.where(near, np.array([0.25, 0.3, 0.2])[:, None, None], 0.7) + texture
        yield name, np.clip(picture, 0, 1), np.where(near, radius + 2.0, wall - 4.0), np.ones_like(near)


def measured(folder: Path) -> Iterator[Case]:
    """The same of stereo benchmarks: floating-point disparities, and such of a quarter or a third of a pixel."""
    for name, place, picture, disparity, codes, scale in (
        ("Motorcycle", "middlebury2014_motorcycle", "motorcycle_left.png", "motorcycle_disp.npz", None, 0.31),
        ("cones", "middlebury2003/cones", "im2.png", "disp2.png", 4.0, 0.6),
        ("Art", "middlebury2005/Art", "view1.png", "disp1.png", 3.0, 0.6),
        ("Moebius", "middlebury2005/Moebius", "view1.png", "disp1.png", 3.0, 0.6),
    ):
        form = DepthFormat(focal_length_px=1.0, baseline_m=1.0, codes_per_px=codes)
        file = folder / "depth" / place / disparity
        radius = scale / read_depth_map(file, form).depth_m.astype(np.float64)
        numbers = read_numbers(file)
        image = np.asarray(read_frame(folder / "depth" / place / picture).image[0], np.float64)
        window = np.s_[..., 80:380, 100:440]
        known = (np.isfinite(numbers) & (numbers > 0))[window]
        yield name, np.ascontiguousarray(image[window]), radius[window], known


def disturbances(radius: Plane) -> Iterator[tuple[str, Plane]]:
    rng = np.random.default_rng(1)
    white = rng.standard_normal(radius.shape)
    for noise in (0.05, 0.25, 0.5):
        yield f"noise {noise}", radius + noise * white
    wide = uniform_filter(rng.standard_normal(radius.shape), 3)
    yield "wide noise .25", radius + 0.25 * wide / wide.std()
    for stair in (0.25, 0.5, 1.0):
        yield f"stairs {stair}", np.round(radius / stair) * stair
    yield "2 px aside", np.roll(radius, 2, axis=1)


def ours(radius: Plane, picture: Plane) -> Plane:
    nearness = radius + FAR_PX
    frame = Frame(picture[None], "display", depth_m=1.0 / nearness[None])
    return np.asarray(1.0 / DepthSmoothing(step=STEP_PX / FAR_PX)(frame).depth_m[0] - FAR_PX)


def guided(radius: Plane, picture: Plane, *, width: int = 17, softness: float = 1e-3) -> Plane:
    def mean(a: Plane) -> Plane:
        return np.asarray(uniform_filter(a, (0,) * (a.ndim - 2) + (width, width), mode="nearest"))

    guide, low = picture, mean(picture)
    spread = mean(guide[:, None] * guide[None]) - low[:, None] * low[None]
    spread = np.moveaxis(spread, (0, 1), (2, 3)) + softness * np.eye(len(guide))
    shared = np.moveaxis(mean(guide * radius) - low * mean(radius), 0, -1)
    slope = np.moveaxis(np.linalg.solve(spread, shared[..., None])[..., 0], -1, 0)
    rest = mean(radius) - (slope * low).sum(0)
    return np.asarray((mean(slope) * guide).sum(0) + mean(rest))


@numba.njit
def _bilateral(radius, picture, reach, color, jump, out):  # type: ignore[no-untyped-def]
    height, width = radius.shape
    for y in range(height):
        for x in range(width):
            total, share = 0.0, 0.0
            for v in range(max(0, y - reach), min(height, y + reach + 1)):
                for u in range(max(0, x - reach), min(width, x + reach + 1)):
                    apart = ((radius[y, x] - radius[v, u]) / jump) ** 2
                    for c in range(3):
                        apart += ((picture[c, y, x] - picture[c, v, u]) / color) ** 2
                    weight = np.exp(-0.5 * apart - 2.0 * ((v - y) ** 2 + (u - x) ** 2) / reach**2)
                    total += weight * radius[v, u]
                    share += weight
            out[y, x] = total / share


def bilateral(radius: Plane, picture: Plane) -> Plane:
    out = np.empty_like(radius)
    _bilateral(radius, picture, 12, 0.3, JUMP_PX / 3, out)
    return out


@numba.njit
def _lines(radius, picture, strength, color):  # type: ignore[no-untyped-def]
    """Along rows: minimize ``(u - r)^2 + strength w (u - u')^2``, by elimination."""
    height, width = radius.shape
    out = radius.copy()
    ahead = np.empty(width)
    for y in range(height):
        before = 0.0
        for x in range(width):
            after = 0.0
            if x + 1 < width:
                apart = 0.0
                for c in range(3):
                    apart += (picture[c, y, x] - picture[c, y, x + 1]) ** 2
                after = strength * np.exp(-np.sqrt(apart) / color)
            middle = 1.0 + before + after - (before * ahead[x - 1] if x else 0.0)
            ahead[x] = after / middle
            out[y, x] = (radius[y, x] + (before * out[y, x - 1] if x else 0.0)) / middle
            before = after
        for x in range(width - 2, -1, -1):
            out[y, x] += ahead[x] * out[y, x + 1]
    return out


def fast_global(radius: Plane, picture: Plane, *, strength: float = 100.0, color: float = 0.05) -> Plane:
    turned = np.ascontiguousarray(picture.transpose(0, 2, 1))
    for turn in range(3):
        part = 1.5 * strength * 4.0 ** (2 - turn) / (4.0**3 - 1.0)
        radius = _lines(radius, picture, part, color)
        radius = np.ascontiguousarray(_lines(np.ascontiguousarray(radius.T), turned, part, color).T)
    return radius


def jumps(radius: Plane) -> NDArray[np.bool_]:
    """Pixels that lie at a jump."""
    return np.asarray(maximum_filter(radius, 3) - minimum_filter(radius, 3) > JUMP_PX)


def errors(found: Plane, truth: Plane, known: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Rms more than 2 px away from jumps; within it the share that lies on no surface, and on the wrong one."""
    away = distance_transform_edt(~jumps(truth))
    off, near = np.abs(found - truth), (away <= 2) & known
    nearest = np.full(truth.shape, np.inf)
    for rows in range(-3, 4):
        for columns in range(-3, 4):
            moved = np.roll(truth, (rows, columns), (0, 1))
            nearest = np.minimum(nearest, np.abs(found - moved))
    rms = float(np.sqrt(np.mean(off[(away > 2) & known] ** 2)))
    return rms, 100 * float(np.mean(nearest[near] > 1.0)), 100 * float(np.mean(off[near] > JUMP_PX / 2))


def defocused(folder: Path) -> str:
    """What defocus makes of disturbed depth, with and without the step, in codes of the result."""
    name, picture, scaled, known = next(measured(folder))
    disparity = scaled / 0.31
    camera, focus_m = Intrinsics(focal_length_mm=50.0, pixel_pitch_um=5.0), 100.0 / float(np.median(disparity))
    # .35 px of radius for every px of disparity, which is .01 of inverse depth.
    f_number = blur_per_dioptre_px(50.0, 1.0, focus_m, 5.0) / (2 * 35.0)
    lens, smoothing = Defocus(f_number=f_number, focus_distance_m=focus_m), DepthSmoothing(step=0.05)

    def codes(values: Plane, smooth: bool) -> Plane:
        frame = Frame(picture[None], "display", depth_m=100.0 / values[None], camera=camera)
        blurred = lens(Decode()(smoothing(frame) if smooth else frame))
        return np.asarray(255 * Encode()(blurred).image[0])

    exact, alike = codes(disparity, False), codes(disparity, True)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(disparity.shape)
    rows = []
    for title, values in (
        *((f"noise {n:g} px of radius", disparity + n / 0.35 * noise) for n in (0.25, 0.5)),
        ("whole disparities", np.rint(disparity)),
        ("8 bits of 64 px", np.rint(4 * disparity) / 4),
    ):
        plain, smoothed = codes(values, False), codes(values, True)
        cells = []
        for made, same in ((plain, exact), (smoothed, alike)):
            off, rest = (np.abs(made - other).max(axis=0)[known] for other in (same, exact))
            cells += [f"{100 * np.mean(off > 5):.1f}", f"{np.sqrt(np.mean(rest**2)):.1f}"]
        rows.append([title, *cells])
    return (
        f"Defocus of {name} at .35 px of radius per px of disparity, `step` .05: % of pixels more than 5 codes off "
        "from undisturbed depth treated alike, and rms in codes against the undisturbed depth as it is.\n\n"
        + table(["disturbed by", "as it is: > 5", "rms", "smoothed: > 5", "rms"], rows)
    )


METHODS: dict[str, Callable[[Plane, Plane], Plane]] = {
    "as it is": lambda radius, picture: radius,
    "depth_smoothing": ours,
    "guided filter": guided,
    "joint bilateral": bilateral,
    "fast global": fast_global,
}


def main() -> str:
    rows: list[list[Any]] = []
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    every = [*scenes(), *(measured(Path(folder)) if folder else ())]
    spent = dict.fromkeys(METHODS, 0.0)
    for name, picture, truth, known in every:
        for disturbance, radius in disturbances(truth):
            line = [name, disturbance]
            for method, smooth in METHODS.items():
                if len(rows) == 0:
                    smooth(radius, picture)  # compiles
                start = process_time()
                found = smooth(radius, picture)
                spent[method] += process_time() - start
                rms, none, wrong = errors(found, truth, known)
                line.append(f"{rms:.3f} / {none:.1f} / {wrong:.1f}")
            rows.append(line)
    pixels = sum(truth.size for _, _, truth, _ in every) * len(rows) / len(every)
    rows.append(["s of one core per megapixel", "", *(f"{1e6 * s / pixels:.2f}" for s in spent.values())])
    return "\n".join(
        [
            "## Smoothing of depth",
            "",
            "Rms error in px of blur radius more than 2 px away from jumps of more than 3 px / share of the pixels "
            "within 2 px of jumps that lie on no surface within 3 px (more than 1 px off), and on the wrong one, in %. "
            f"`step` is {STEP_PX:g} of {FAR_PX:g} px, `radius_px` its default.",
            "",
            table(["depth", "disturbed by", *METHODS], rows),
            "",
            *((defocused(Path(folder)), "") if folder else ()),
            f"Peers written for this table; {version('numba')}, {version('scipy')}. {machine()}",
        ]
    )


if __name__ == "__main__":
    print(main())
