"""Recovery: recipes with known parameters against what `blursynth fit` finds from 40 pictures of each.

The pictures show scenes that the fit does not simulate with: the bundled held-out photographs and, where
BLURSYNTH_REAL_DATA has them, Kodak's (whose own grain is found as noise, too), or those of ``--scenes``. They are saved
as JPEG by Pillow, so that tables and subsampling come from files.
"""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import blursynth as bs
from blursynth.dataset.bundled import bundled_photographs
from blursynth.degradations.motion.motion_blur import MotionBlur
from blursynth.fit.camera import Camera, camera_steps
from blursynth.fit.components import blur_steps
from blursynth.fit.fitting import Fit, fit_recipe
from blursynth.fit.photographs import read_sharp
from blursynth.fit.simulation import simulate

_SIZE_PX = 384
_DRAWS = 300
_WALK = {
    "kind": "random_walk_motion",
    "anxiety": {"log_uniform": [0.0005, 0.01]},
    "heading_deg": {"uniform": [0.0, 360.0]},
}
_DISC = {"kind": "disk_blur"}
_LINE = {"kind": "linear_motion", "angle_deg": {"uniform": [0.0, 360.0]}}


def _px(low: float, high: float) -> dict[str, Any]:
    return {"length_px": {"uniform": [low, high]}}


@dataclass(frozen=True)
class Case:
    """A recipe with known parameters: options of blur, electrons at white, JPEG, sharpening."""

    name: str
    blur: tuple[dict[str, Any], ...]
    full_well_e: float
    quality: int
    subsampling: str
    sharpen: tuple[float, float] | None = None

    def recipe(self) -> bs.Recipe:
        sharpen = None if self.sharpen is None else ((self.sharpen[0],) * 2, (self.sharpen[1],) * 2)
        camera = Camera(full_well_e=(self.full_well_e,) * 2, sharpen=sharpen)
        steps = camera_steps(camera, blur_steps((0.5, 0.7), list(self.blur)))
        curves = {"decode": {"name": "decode", "kind": "decode"}, "encode": {"name": "encode", "kind": "encode"}}
        return bs.Recipe.from_dict({"step": [curves.get(step.name, step.to_dict()) for step in steps]})  # that of sRGB

    def share(self, *kinds: str) -> float:
        total = sum(o.get("weight", 1.0) for o in self.blur)
        return float(sum(o.get("weight", 1.0) for o in self.blur if o["kind"] in kinds) / total)


def extents_px(recipe: bs.Recipe) -> tuple[float, float]:
    """Mean extents of a recipe's blur along and across, in px: those of bars and discs of the same second moments."""
    frame = bs.Frame(np.zeros((1, 3, 16, 16), np.float32), "display")
    found = np.zeros((_DRAWS, 2))
    for index in range(_DRAWS):
        shake = recipe.sample(frame, seed=7, index=index)["shake"]
        if isinstance(shake, bs.kinds.DiskBlur):
            found[index] = math.sqrt(12) / 4 * shake.diameter_px
        elif isinstance(shake, MotionBlur):
            path = shake.path()  # at equal times, straight between
            at = np.linspace(0, len(path) - 1, 1000)
            places = np.stack([np.interp(at, np.arange(len(path)), one) for one in path.T])
            found[index] = np.sqrt(12 * np.linalg.eigvalsh(np.cov(places))[::-1].clip(0))
    along, across = found.mean(axis=0).tolist()
    return along, across


CASES = (
    Case("still", ({"kind": "identity"},), 1000, 90, "420"),
    Case("straight 5-15", ({**_LINE, **_px(5, 15)},), 5000, 95, "444"),
    Case("straight 20-40", ({**_LINE, **_px(20, 40)},), 2000, 85, "420"),
    Case(
        "30 % still, walk 10-30",
        ({"weight": 0.3, "kind": "identity"}, {"weight": 0.7, **_WALK, **_px(10, 30)}),
        10000, 97, "422",
    ),
    Case(
        "50 % disc 3-8, walk 30-60",
        ({"weight": 0.5, **_DISC, "diameter_px": {"uniform": [3, 8]}}, {"weight": 0.5, **_WALK, **_px(30, 60)}),
        4000, 92, "420",
    ),
    Case("straight 8-20, sharpened", ({**_LINE, **_px(8, 20)},), 20000, 96, "444", (1.2, 1.0)),
)  # fmt: skip


def scenes(folder: Path | None) -> list[bs.Frame]:
    if folder is not None:
        return read_sharp(folder)
    files = bundled_photographs("held-out")
    if "BLURSYNTH_REAL_DATA" in os.environ:
        files += sorted(Path(os.environ["BLURSYNTH_REAL_DATA"], "photos", "kodak24").glob("*.png"))
    return [bs.read_frame(path) for path in files]


def fitted(case: Case, shown: Sequence[bs.Frame], pictures: int, windows: int, seed: int) -> Fit:
    with tempfile.TemporaryDirectory() as folder:
        made = simulate([case.recipe()], shown, pictures, size_px=_SIZE_PX, seed=seed + 100)
        for number, one in enumerate(made):
            codes = np.rint(255 * np.moveaxis(one.codes, 0, -1)).astype(np.uint8)
            sampling = {"444": 0, "422": 1, "420": 2}[case.subsampling]
            Image.fromarray(codes).save(Path(folder, f"{number:02d}.jpg"), quality=case.quality, subsampling=sampling)
        return fit_recipe(folder, seed=seed, windows=windows)


def _row(case: Case, found: Fit, seconds: float) -> str:
    shares = found.family_shares()
    quality, sampling, _ = found.camera.jpeg[0]
    well = math.sqrt(math.prod(found.camera.full_well_e))
    true_px, found_px = extents_px(case.recipe()), extents_px(found.recipe)
    cells = [
        case.name,
        f"{case.share('identity'):.2f} / {shares['still']:.2f}",
        f"{case.share('linear_motion'):.2f} / {shares['straight']:.2f}",
        f"{case.share('random_walk_motion'):.2f} / {shares['walk']:.2f}",
        f"{case.share('disk_blur'):.2f} / {shares['defocus']:.2f}",
        *(f"{t:.1f} / {f:.1f}" for t, f in zip(true_px, found_px, strict=True)),
        f"{case.full_well_e:.0f} / {well:.0f}",
        "none" if found.camera.sharpen is None else f"{np.mean(found.camera.sharpen[1]):.2f}",
        f"{case.quality} {case.subsampling} / {quality} {sampling}",
        f"{100 * found.realism.accuracy:.0f} ({100 * found.realism.low:.0f}-{100 * found.realism.high:.0f})",
        f"{seconds:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main(
    names: Sequence[str] = (),
    *,
    folder: Path | None = None,
    pictures: int = 40,
    windows: int = 3600,
    seed: int = 0,
) -> str:
    head = (
        "case", "still", "straight", "walk", "disc", "along px", "across px", "full_well_e", "sharpening",
        "JPEG", "told apart %", "CPU s",
    )  # fmt: skip
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    shown = scenes(folder)
    for case in CASES:
        if not names or case.name in names:
            start = time.process_time()
            rows.append(_row(case, fitted(case, shown, pictures, windows, seed), time.process_time() - start))
            print(rows[-1], flush=True)
    note = (
        f"True / found by `blursynth fit` from {pictures} pictures of {_SIZE_PX} px, {windows} windows (3600 by "
        "default); shares of 1. The pictures have sRGB's curve, which nothing tells the fit."
    )
    return "\n".join(["## Recovery of a recipe from its pictures", "", note, "", *rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", default=[])
    parser.add_argument("--scenes", type=Path, help="a folder of clean sharp photographs to blur instead")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--windows", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(main(given.case, folder=given.scenes, pictures=given.pictures, windows=given.windows, seed=given.seed))
