"""Noise and fine detail of the pictures that recipes make, beside those of real cameras.

Run with ``BLURSYNTH_REAL_DATA=folder python benchmarks/recipe_noise.py``, about six minutes on one core; without the
folder its photographs are left out. ``--recipe NAME`` measures some recipes only, ``--draws N`` fewer or more draws,
``--pairs FOLDER`` measures the 15 real pairs anew from their files. What is measured is in tests/statistics.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
from measure import table

import blursynth as bs

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "statistics"))

from picture_noise import (
    LEVELS,
    REAL,
    SHOTS,
    SIZE_PX,
    Noise,
    detail_db,
    has_sensor,
    noise_of,
    noise_of_pairs,
    noise_of_recipe,
    picture_of,
    read,
    scenes,
)


def detail_of_recipe(name: str, sources: Sequence[bs.Frame], draws: int) -> list[str]:
    """Of a draw's picture; of the same without noise; of its light before the sensor; of the first with a window."""
    recipe, rows = bs.load_recipe(name), []
    for index, frame in enumerate(list(sources) * draws):
        draw = recipe.sample(frame, seed=2, index=index)
        at = next(i for i, (_, step) in enumerate(draw.steps) if step.kind == "sensor")
        encode = tuple((name, step) for name, step in draw.steps[at:] if step.gives is bs.Encoding.DISPLAY)[:1]
        # What the converter rounds is left, and what belongs to the sensor.
        quiet = tuple(
            (name, step.replace(shot_noise=False, read_noise_e=0.0, row_noise_e=0.0) if step.kind == "sensor" else step)
            for name, step in draw.steps
        )
        made = picture_of(draw(frame))
        rows.append(
            (
                detail_db(made),
                detail_db(picture_of(bs.Draw(quiet)(frame))),
                detail_db(picture_of(bs.Draw(draw.steps[:at] + encode)(frame))),
                detail_db(made, window=True),
            )
        )
    return [f"{value:.1f}" for value in np.mean(rows, axis=0)]


def detail_table(names: Sequence[str], draws: int, folder: Path | None) -> str:
    rows = []

    def photographs(title: str, paths: Iterable[Path]) -> None:
        found = [(detail_db(read(path)), detail_db(read(path), window=True)) for path in paths]
        plain, windowed = np.mean(found, axis=0)
        rows.append([f"**{title}**", f"{plain:.1f}", "", "", f"{windowed:.1f}"])

    if folder is not None:
        gopro = folder / "blur/gopro_nah_examples"
        photographs("GoPro (Nah et al.), 14 blurred", gopro.glob("blur_*.png"))
        photographs("GoPro, 2 sharp", gopro.glob("*_sharp1.png"))
        photographs("Levin et al., 16 blurred, 255 px", (folder / "blur/levin09").glob("*_img.png"))
        kodak = sorted((folder / "photos/kodak24").glob("*.png"))
        photographs("the sources: Kodak, 12 sharp", kodak)
        sources = [bs.read_frame(path) for path in kodak]
    else:
        sources = list(scenes(12))
        plain, windowed = (np.mean([detail_db(picture_of(s), window=w) for s in sources]) for w in (False, True))
        rows.append(["**the sources: windows of scikit-image's**", f"{plain:.1f}", "", "", f"{windowed:.1f}"])
    for name in names:
        rows.append([f"`{name}`", *detail_of_recipe(name, sources, draws)])
    return table(("fine detail in dB", "picture", "without noise", "light at the sensor", "picture, Hann"), rows)


def cells(noise: Noise) -> list[str]:
    """Of a row of the table."""
    rest = astuple(noise)[1:]
    numbers = [*(f"{value:.1f}" for value in noise.levels), *(f"{value:.2f}" for value in rest)]
    return ["-" if number == "nan" else number for number in numbers]


HEADER = (
    "noise in codes at luma", *(f"{low}-{high}" for low, high in LEVELS), "first / second", "luma, lag 1", "2",
    "Cb, lag 1", "4", "R G", "G B", "R B", "Cb / luma",
)  # fmt: skip


def noise_table(names: Sequence[str], draws: int, real: Noise, folder: Path | None) -> str:
    rows = [["**15 pairs of three cameras**", *cells(real)]]
    if folder is not None:
        pair = folder / "noise/sidd_pairs"
        sidd = noise_of(read(pair / "danet_noisy.png")[None], read(pair / "danet_gt.png"))
        rows.append(["**a phone's raw (SIDD), not denoised**", *cells(sidd)])
    for name in names:
        rows.append([f"`{name}`", *cells(noise_of_recipe(name, draws))])
    return table(HEADER, rows)


NOISE = f"""`BLURSYNTH_REAL_DATA=folder python benchmarks/recipe_noise.py`. Recipes with a sensor, as they come,
beside real cameras; medians of {{draws}} draws, each of another window of {SIZE_PX} x {SIZE_PX} px of
scikit-image's photographs. Noise is what differs between {SHOTS} shots of one blurred scene, developed and
compressed, with their mean taken off. Codes of 255; luma and Cb of JPEG; autocorrelations are means of rows and
columns. The 15 pairs: JPEGs of a Canon 5D Mark III, a Nikon D600 and a D800 at ISO 1600 to 6400, and means of 500
of each scene (Nam et al., CVPR 2016; crops as published by Xu et al., ICCV 2017). How strong the noise is depends
on the ISO; how it depends on the light, and how its neighbors and colors agree, is what a recipe is to have
right. Those of the literature are as published: most of them end without denoising or JPEG."""

DETAIL = """Luma's power at .25 to .5 cycles per px, as a share of all but the mean's in tiles of 256 px, in dB;
means. Of the picture that a recipe makes; of the same draw without noise; of its light before the sensor, coded
by the recipe's curve; and of the first with a Hann window, without which the borders of a tile alone make about
-25 dB. A source that is sharper than a camera's own frames makes a sharper picture: GoPro's sharp frames have 6
dB less than Kodak's scans."""


def main(names: Sequence[str] = (), *, draws: int = 24, pairs: Path | None = None) -> str:
    """The section of BENCHMARKS.md."""
    root = os.environ.get("BLURSYNTH_REAL_DATA")
    folder = Path(root) if root else None
    chosen = names or [name for name in bs.recipe_names() if has_sensor(bs.load_recipe(name))]
    real = REAL if pairs is None else noise_of_pairs(pairs)
    return "\n\n".join(
        (
            "## Noise and detail of recipes",
            " ".join(NOISE.format(draws=draws).split()),
            noise_table(chosen, draws, real, folder),
            " ".join(DETAIL.split()),
            detail_table(chosen, max(1, draws // 12), folder),
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--recipe", action="append", default=[], help="a recipe to measure; by default all with a sensor"
    )
    parser.add_argument("--draws", type=int, default=24, help="draws of each recipe")
    parser.add_argument("--pairs", type=Path, help="folder of the 15 real pairs, *_real.png and *_mean.png")
    arguments = parser.parse_args()
    print(main(arguments.recipe, draws=arguments.draws, pairs=arguments.pairs))
