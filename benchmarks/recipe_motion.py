"""The motion of recipes beside real pairs, real hands and published code.

Run with ``BLURSYNTH_REAL_DATA=folder python benchmarks/recipe_motion.py``. The same code as the tests in
``tests/real_data``, over more draws; takes some minutes. Without real data only what needs none is measured.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from measure import table

import blursynth as bs

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "real_data"))

import gopro_pairs
import hand
from blur_statistics import BANDS, BlurStatistics, blur_statistics

DRAWS = 32
KERNELS = 1000
# Of kernels that the authors' code at commit 1421a74 made when it was run as it is: tests/recipes/test_published.py.
PUBLISHED_RADII_PX = (1.82, 3.81, 5.10)


def main() -> str:
    """The section of BENCHMARKS.md."""
    folder = os.environ.get("BLURSYNTH_REAL_DATA")
    parts = ["## Motion of recipes beside real motion"]
    if folder:
        parts.append(averaged_frames(Path(folder)))
    else:
        parts.append("Pairs not measured: the environment variable `BLURSYNTH_REAL_DATA` names no folder.")
    return "\n\n".join([*parts, hands(Path(folder) if folder else None), kernels()])


def averaged_frames(folder: Path) -> str:
    """Statistics of pairs."""

    def row(name: str, found: BlurStatistics) -> list[str]:
        return [
            name,
            f"{found.psnr_db:.1f}",
            _numbers(found.widths_px, 1),
            _numbers(found.spectrum, 2),
            f"{100 * found.uneven:.0f} %",
        ]

    real = gopro_pairs.real_pairs(folder)
    rows = [row(name, blur_statistics([pair])) for name, pair in real.items()]
    rows.append(row("all three real pairs", blur_statistics(list(real.values()))))
    for sources, pictures in (
        ("the set's two sharp frames", gopro_pairs.own_sharp(folder)),
        ("16 photographs", gopro_pairs.photographs(folder)),
    ):
        for name, recipe in (
            ("`gopro-average`", bs.load_recipe("gopro-average")),
            ("one path, `frame_average`", gopro_pairs.ONE_PATH),
        ):
            made = gopro_pairs.made_pairs(recipe, pictures, DRAWS)
            rows.append(row(f"{name} of {sources}", blur_statistics(made)))
    bands = ", ".join(f"{low:g}-{high:g}" for low, high in BANDS)
    header = ["pairs", "PSNR (dB)", "width (px)", "spectrum left", "uneven"]
    return (
        "Real pairs of the GoPro set (Nah et al. 2017, examples by its author) and pairs that recipes make, "
        f"{DRAWS} draws each. Width: standard deviation of the blur along its longer axis in tiles of 128 px, at 10, "
        f"25, 50, 75 and 90 % of the tiles. Spectrum left: amplitude of blurred over sharp at {bands} cycles per px. "
        "Uneven: energy that no single kernel explains, as a share of the energy of blurred - sharp.\n\n"
        + table(header, rows)
    )


def hands(folder: Path | None) -> str:
    """AdversarialSchedule of a hand over short times."""
    rows = [["a gyroscope in a hand that holds still", *(f"{turn:.2f}" for turn in hand.GYROSCOPE)]]
    if folder:
        rows.append(["TUM fr1_xyz, a camera moved by hand", *(f"{turn:.2f}" for turn in hand.recorded(folder))])
    for share in (bs.kinds.CameraShake.model_fields["tremor_share"].default, 0.1):
        made = hand.made(400, tremor_share=share)
        rows.append([f"`camera_shake`, tremor_share {share:g}", *(f"{turn:.2f}" for turn in made)])
    header = ["rms turn relative to that over 100 ms", *(f"{1000 * time:g} ms" for time in hand.TIMES_S)]
    return table(header, rows)


def kernels() -> str:
    """Rms radii of the kernels of `deblurgan`."""
    recipe = bs.load_recipe("deblurgan")
    frame = bs.Frame(np.zeros((1, 3, 64, 64), np.float32), "display")
    radii = []
    for index in range(KERNELS):
        step = recipe.sample(frame, seed=31, index=index)["blur"]
        assert isinstance(step, bs.kinds.DeblurganBlur)
        psf = step.point_spread()
        row, column = psf.centroids()[0]
        radii.append(np.sqrt(psf.weight @ ((psf.dy - row) ** 2 + (psf.dx - column) ** 2) / psf.weight.sum()))
    rows = [
        ["the authors' code", *(f"{radius:.2f}" for radius in PUBLISHED_RADII_PX)],
        [f"`deblurgan`, {KERNELS} draws", *(f"{radius:.2f}" for radius in np.quantile(radii, (0.25, 0.5, 0.75)))],
    ]
    return table(["rms radius of DeblurGAN's kernels (px)", "25 %", "50 %", "75 %"], rows)


def _numbers(values: Iterable[float], digits: int) -> str:
    return " / ".join(f"{value:.{digits}f}" for value in values)


if __name__ == "__main__":
    print(main())
