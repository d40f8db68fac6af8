"""Edges of depth, and depth that is not exact: errors of defocus, parallax and object motion, and what they cost.

Run with ``BLURSYNTH_REAL_DATA=folder python benchmarks/depth_edges.py --out folder``. First the analytic scenes of
``tests/laws`` against rays through their true layers; then stereo pictures with a depth that is rounded or noisy,
against the same method with the undisturbed depth; then the time. With ``--out`` full-size pictures are written
there, to be looked at. Takes a few minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measure import machine, table, version
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, maximum_filter, minimum_filter, uniform_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "laws"))

import analytic_layers as al
import layered_scenes as ls

import blursynth as bs
from blursynth.io.depth import DepthFormat
from blursynth.physics.thin_lens import blur_per_dioptre_px

LARGEST_PX = 10.0  # radius of the largest blur of the stereo pictures
NOISES_PX = (0.05, 0.25, 0.5)
JUMP_PX = 1.5  # of radius, between neighbors: two surfaces
RADII_PX = (5.0, 10.0, 20.0)
SEAM_RADIUS_PX, SEAM_CODES = 4.0, 6
# Inverse depth of one code of a Kinect's, whose noise is half of that (Khoshelham and Oude Elberink 2012).
KINECT_STEP_PER_M = 2.85e-3
CAMERA = bs.Intrinsics(focal_length_mm=50.0, pixel_pitch_um=20.0)

# (folder and depth file, picture, format); the focal length of "cones" puts the scene at about 2.5 m
STEREO: dict[str, tuple[str, str, DepthFormat]] = {
    "Art": (
        "middlebury2005/Art/disp1.png", "middlebury2005/Art/view1.png",
        DepthFormat(focal_length_px=3740 / 3, baseline_m=0.16, codes_per_px=3),
    ),
    "Moebius": (
        "middlebury2005/Moebius/disp1.png", "middlebury2005/Moebius/view1.png",
        DepthFormat(focal_length_px=3740 / 3, baseline_m=0.16, codes_per_px=3),
    ),
    "cones": (
        "middlebury2003/cones/disp2.png", "middlebury2003/cones/im2.png",
        DepthFormat(focal_length_px=500.0, baseline_m=0.16, codes_per_px=4),
    ),
    "Motorcycle": (
        "middlebury2014_motorcycle/motorcycle_disp.npz", "middlebury2014_motorcycle/motorcycle_left.png",
        DepthFormat(focal_length_px=994.978, baseline_m=0.193001, doffs_px=31.086),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Stereo:
    """A photograph in linear light with its disparity, continuous, and how the disparity becomes inverse depth."""

    image: NDArray[np.float32]  # [1, 3, H, W]
    disparity: NDArray[np.float64]  # [H, W] px
    form: DepthFormat

    def nearness(self, disparity: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Inverse depth in 1/m."""
        assert self.form.focal_length_px is not None
        assert self.form.baseline_m is not None
        seen = self.disparity if disparity is None else disparity
        return (seen + self.form.doffs_px) / (self.form.focal_length_px * self.form.baseline_m)

    def frame(self, nearness: NDArray[np.float64]) -> bs.Frame:
        return bs.Frame(self.image, "linear", depth_m=1.0 / np.maximum(nearness, 1e-3)[None], camera=CAMERA)

    def lens(self, focus_per_m: float, largest_px: float = LARGEST_PX, **more: Any) -> tuple[bs.kinds.Defocus, float]:
        """The lens whose largest blur on this picture has a radius, and that radius' growth in px per 1/m."""
        growth = 0.5 * blur_per_dioptre_px(CAMERA.focal_length_mm, 1.0, 1.0 / focus_per_m, CAMERA.pixel_pitch_um)
        f_number = growth * float(np.abs(self.nearness() - focus_per_m).max()) / largest_px
        return bs.kinds.Defocus(f_number=f_number, focus_distance_m=1.0 / focus_per_m, **more), growth / f_number

    def focuses(self) -> dict[str, float]:
        """Inverse distances of three planes in focus: on what is near, in the middle and far."""
        near, middle, far = np.quantile(self.nearness(), (0.95, 0.5, 0.05))
        return {"near": float(near), "middle": float(middle), "far": float(far)}


def read(folder: Path, name: str) -> Stereo:
    depth_file, picture, form = STEREO[name]
    shown = bs.kinds.Decode()(bs.read_frame(folder / "depth" / picture))
    depth = bs.read_depth(folder / "depth" / depth_file, size_px=shown.size_px, **form.to_dict()).astype(np.float64)
    assert form.focal_length_px is not None
    assert form.baseline_m is not None
    disparity = form.focal_length_px * form.baseline_m / depth - form.doffs_px
    if form.codes_per_px:
        disparity = continuous(disparity, 1.0 / form.codes_per_px)
    return Stereo(shown.image, disparity, form)


def continuous(disparity: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """A disparity without the steps of its file: smooth, and everywhere within half a step of what the file says."""
    filed = np.rint(disparity / step) * step
    low, high = filed - 0.5 * step, filed + 0.5 * step
    smooth = filed
    for _ in range(200):
        smooth = np.clip(uniform_filter(smooth, 3, mode="nearest"), low, high)
    return np.asarray(smooth)


def error_of(result: bs.Frame, other: bs.Frame) -> NDArray[np.float64]:
    """``[H, W]`` the largest difference of the channels in codes."""
    first, second = (al.codes(np.asarray(frame.image[0], np.float64)) for frame in (result, other))
    return np.asarray(np.abs(first - second).max(axis=0))


def three(error: NDArray[np.float64]) -> list[str]:
    return [f"{error.max():.1f}", f"{np.percentile(error, 99):.1f}", f"{math.sqrt(np.mean(error**2)):.2f}"]


def analytic() -> str:
    """The largest, 99 % and root mean square errors of all scenes of constant depth, and of objects that move."""
    parts = []
    pooled: list[tuple[str, list[NDArray[np.float64]]]] = []
    for title, scenes in (("Defocus, radii of both", ls.depth_scenes()), ("Object motion", ls.motion_scenes())):
        rows, errors = [], []
        for name, scene in scenes.items():
            step = scene.step if isinstance(scene, ls.MotionScene) else ls.lens()
            assert step is not None
            errors.append(scene.error(step(scene.frame()), scene.truth()).ravel())
            rows.append([name, *three(errors[-1])])
        pooled.append((title, errors))
        rows.append(["all", *three(np.concatenate(errors))])
        parts.append(table([title, "largest", "99 %", "rms"], rows))
    return (
        "### Edges between pixels, against rays\n\nCodes of 8-bit sRGB, in a window that no border reaches. Dark is "
        ".02, bright .8 of white; radii in px, near and far, less than 0 beyond the focus.\n\n" + "\n\n".join(parts)
    )


def slopes() -> str:
    """Errors on slanted sheets as the aperture is cut into more parts."""
    rows = []
    for name, scene in ls.slope_scenes().items():
        frame, truth = scene.frame(), scene.truth()
        cells = [three(scene.error(ls.lens(parts=parts)(frame), truth)) for parts in (1, 4, 16, 64)]
        rows.append([name, *(f"{cell[0]} / {cell[2]}" for cell in cells)])
    return (
        "### Slanted sheets, against rays\n\nLargest / rms error in codes, slopes in px of radius per px, a dark "
        "sheet before a white one.\n\n" + table(["", "1 part", "4 parts", "16 parts", "64 parts"], rows)
    )


def disturbed() -> str:
    """What noise, steps and misplaced edges of depth do to analytic scenes."""
    rows = []
    for near, far in ((10, 0), (12, -6), (0, -10), (-4, -20)):
        scene = ls.edge(10.0, 0.0, near, far, far=ls.WHITE)
        truth = scene.truth()
        cells = [three(scene.error(ls.lens()(scene.frame(noise_px=n)), truth)) for n in (0.0, 0.05, 0.1, 0.25, 0.5)]
        smooth = bs.kinds.DepthSmoothing(step=0.03)(scene.frame(noise_px=0.5))
        cells.append(three(scene.error(ls.lens()(smooth), truth)))
        moved = [
            three(scene.error(ls.lens()(scene.frame(depth_moved=(0.0, d))), truth)) for d in (-1.0, -0.5, 0.5, 1.0)
        ]
        rows.append([f"{near}, {far}", *(f"{cell[0]} / {cell[2]}" for cell in (*cells, *moved))])
    header = ["radii", "exact", *(f"noise {n:g} px" for n in (0.05, 0.1, 0.25, 0.5)), "the last, smoothed"]
    return (
        "### Depth that is not exact, against rays\n\nLargest / rms error in codes at a dark edge at 10 degrees "
        "before white: white noise of so many px of radius, and the last after depth_smoothing; the depth's edge "
        "so many px to the right of the picture's.\n\n" + table([*header, "-1 px", "-.5 px", ".5 px", "1 px"], rows)
    )


def disturbances(stereo: Stereo, growth: float) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Inverse depths beside the undisturbed one; ``growth`` in px of radius per 1/m."""
    step = 1.0 / stereo.form.codes_per_px if stereo.form.codes_per_px else float(np.ptp(stereo.disparity)) / 255.0
    yield "8 bits", stereo.nearness(np.rint(stereo.disparity / step) * step)
    yield "whole disparities", stereo.nearness(np.rint(stereo.disparity))
    rng = np.random.default_rng(0)
    steps = stereo.nearness() / KINECT_STEP_PER_M + 0.5 * rng.standard_normal(stereo.disparity.shape)
    yield "as of a Kinect", np.rint(steps) * KINECT_STEP_PER_M
    for noise in NOISES_PX:
        yield f"noise {noise:g} px", stereo.nearness() + noise / growth * rng.standard_normal(stereo.disparity.shape)


def real_depth(folder: Path) -> str:
    """Stereo pictures with a disturbed depth against the same with the undisturbed one, three focus distances."""
    rows: list[list[object]] = []
    for name in STEREO:
        stereo = read(folder, name)
        found: dict[str, list[tuple[NDArray[np.float64], NDArray[np.bool_]]]] = {}
        for focus in stereo.focuses().values():
            step, growth = stereo.lens(focus)
            undisturbed = step(stereo.frame(stereo.nearness()))
            radius = growth * (stereo.nearness() - focus)
            jumps = maximum_filter(radius, 3) - minimum_filter(radius, 3) > JUMP_PX
            away = ~binary_dilation(jumps, np.ones((5, 5)))
            for how, nearness in disturbances(stereo, growth):
                error = error_of(step(stereo.frame(nearness)), undisturbed)
                found.setdefault(how, []).append((error, away))
        label = name
        for how, pairs in found.items():
            error = np.concatenate([one.ravel() for one, _ in pairs])
            calm = np.concatenate([one[away] for one, away in pairs])
            shares = [f"{100 * np.mean(e > limit):.2f}" for e in (error, calm) for limit in (2, 5)]
            rows.append([label, how, *shares[:2], f"{error.max():.0f}", *shares[2:], f"{calm.max():.0f}"])
            label = ""
    return (
        "### Real depth, disturbed\n\nStereo pictures at three focus distances, the largest blur of "
        f"{LARGEST_PX:g} px radius: share in % of pixels off by more than 2 and 5 codes, and the largest "
        "difference in codes, from the same method with the undisturbed disparity (for files of 8 bits, one that is "
        "smooth within half of a step); then the same without what lies within 2 px of jumps of more than "
        f"{JUMP_PX:g} px of radius.\n\n"
        + table(["", "disturbed by", "> 2", "> 5", "largest", "away: > 2", "> 5", "largest"], rows)
    )


def seams(folder: Path) -> str:
    """Where pictures jump though all is out of focus: steps between neighbors that stand out from the next ones."""
    rows: list[list[object]] = []
    for name in STEREO:
        stereo = read(folder, name)
        row: list[object] = [name]
        for focus in stereo.focuses().values():
            step, growth = stereo.lens(focus)
            codes = al.codes(np.asarray(step(stereo.frame(stereo.nearness())).image[0], np.float64))
            blurred = minimum_filter(np.abs(growth * (stereo.nearness() - focus)), 7) > SEAM_RADIUS_PX
            found = 0
            for axis in (0, 1):
                lines, there = np.moveaxis(codes, axis + 1, -1), np.moveaxis(blurred, axis, -1)
                jump = np.abs(np.diff(lines)).max(axis=0)
                alone = jump[:, 1:-1] - np.maximum(jump[:, :-2], jump[:, 2:])
                found += int((there[:, 2:-1] & (alone > SEAM_CODES)).sum())
            row.append(found)
        rows.append(row)
    return (
        "### Seams\n\nSteps between neighboring pixels that exceed both of the next steps in their line by more than "
        f"{SEAM_CODES} codes, where all within 3 px is blurred by more than {SEAM_RADIUS_PX:g} px, so that nothing of "
        "the picture makes them.\n\n" + table(["focused", "near", "middle", "far"], rows)
    )


def processor_time(function: Callable[[], object], repeat: int = 3) -> float:
    """Seconds of all cores together that a call takes, the least of several: other programs hardly disturb it."""
    function()
    taken = []
    for _ in range(repeat):
        start = time.process_time()
        function()
        taken.append(time.process_time() - start)
    return min(taken)


def cost(folder: Path) -> str:
    """Processor time per megapixel."""
    rows = []
    for name in STEREO:
        stereo = read(folder, name)
        frame = stereo.frame(stereo.nearness())
        megapixels = stereo.disparity.size / 1e6
        lenses = [stereo.lens(stereo.focuses()["far"], radius)[0] for radius in RADII_PX]
        labeled = bs.kinds.RandomObjects(seed=1)(frame)
        motions = [bs.kinds.ObjectMotion(length_px=2 * radius, spread_deg=180.0, parts=1) for radius in RADII_PX]
        times = [processor_time(partial(step, frame)) for step in lenses]
        times += [processor_time(partial(step, labeled)) for step in motions]
        rows.append([name, f"{megapixels:.2f}", *(f"{taken / megapixels:.2f}" for taken in times)])
    header = ["", "Mpx", *(f"defocus {r:g} px" for r in RADII_PX), *(f"motion {r:g} px" for r in RADII_PX)]
    return (
        "### Cost\n\nSeconds of one core per megapixel, one part, focus far; objects that move by twice as much, over "
        "random objects.\n\n" + table(header, rows)
    )


def pictures(folder: Path, out: Path) -> None:
    """Full-size pictures, to be looked at: three focus distances, and objects that move."""
    out.mkdir(parents=True, exist_ok=True)
    for name in STEREO:
        stereo = read(folder, name)
        frame = stereo.frame(stereo.nearness())
        for place, focus in stereo.focuses().items():
            _write(out / f"{name}_focus_{place}.png", stereo.lens(focus)[0](frame))
        labeled = bs.kinds.RandomObjects(seed=1)(frame)
        _write(out / f"{name}_objects.png", bs.kinds.ObjectMotion(length_px=30.0, spread_deg=180.0)(labeled))


def _write(path: Path, frame: bs.Frame) -> None:
    bs.write_picture(path, bs.kinds.Encode()(frame).image[0])


def sections(out: Path | None = None) -> Iterator[str]:
    """The parts of the report as they are measured; pictures are written to the folder ``out``, if given."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    yield "## Edges of depth"
    yield (
        f"{machine()}. {version('numba')}. Rays: {al.SUBPIXELS} x {al.SUBPIXELS} sub-pixels, 36 points of the aperture "
        "for each (16 times of the exposure)."
    )
    yield analytic()
    yield slopes()
    yield disturbed()
    if folder:
        yield real_depth(Path(folder))
        yield seams(Path(folder))
        yield cost(Path(folder))
        if out is not None:
            pictures(Path(folder), out)
    else:
        yield "Stereo pictures not measured: the environment variable `BLURSYNTH_REAL_DATA` names no folder."


def main() -> str:
    """The section of BENCHMARKS.md."""
    return "\n\n".join(sections())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for full-size pictures")
    for section in sections(parser.parse_args().out):
        print(section, end="\n\n", flush=True)
