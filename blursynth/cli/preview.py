"""``blursynth preview``: what a recipe does to a picture, on a contact sheet."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import arguments, console
from blursynth.errors import InvalidValueError, PictureError
from blursynth.records.text import printable

EPILOG = """\b
Examples:
  blursynth preview photo.jpg
  blursynth preview photo.jpg --recipe motion-only --count 10 --seed 3 --output sheet.png
  blursynth preview photo.jpg --set shake.sigma_px=15
  blursynth preview photo.jpg --depth depth.png --depth-format meters_per_code=0.001
  blursynth preview snapshot.jpg --downscale 2

The rows are the first samples that blursynth generate would make from this picture with the same recipe and options.
"""


def command(
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="A sharp picture.")],
    recipe: arguments.RecipeName = "default",
    count: Annotated[int, typer.Option("--count", "-n", help="Number of rows.")] = 6,
    size: Annotated[int, typer.Option("--size", help="Side of the crops in px.")] = 256,
    seed: Annotated[int, typer.Option("--seed", "-s", help="Seed of the draws, 0 to 2^63 - 1.")] = 0,
    set_: arguments.Set = None,
    depth: arguments.Depth = None,
    depth_format: arguments.DepthFormatText = None,
    labels: arguments.Labels = None,
    linear: arguments.Linear = False,
    downscale: arguments.Downscale = 1,
    output: Annotated[Path, typer.Option("--output", "-o", help="Picture file to write.")] = Path("preview.png"),
) -> None:
    """Draw a contact sheet of what a recipe does to a picture.

    It shows the sharp and blurred pictures, the kernel and the drawn parameters of several samples.
    """
    if not 1 <= count <= 100:
        raise InvalidValueError(f"--count must be 1 to 100 rows, got {count}.")
    form = arguments.parse_depth_format(depth_format)

    import numpy as np

    from blursynth.dataset import DatasetRequest
    from blursynth.dataset.contact_sheet import Row, points_of_light, write_contact_sheet
    from blursynth.dataset.generate import check_draws, prepare
    from blursynth.dataset.sources import size_text
    from blursynth.io.depth import read_depth_map, read_labels
    from blursynth.io.pictures import read_frame

    request = DatasetRequest(
        sources=picture, recipe=recipe, changes=arguments.parse_changes(set_), count=count, size_px=size, seed=seed,
        depth=depth, depth_format=form, labels=labels, linear=linear, downscale=downscale,
    )  # fmt: skip
    chosen = request.loaded_recipe
    # Messages from here are clearer than that of a scan in which nothing was usable.
    height, width = read_frame(picture).size_px
    if min(height, width) < size * downscale:
        smaller = "" if downscale == 1 else f" at 1/{downscale}"
        raise PictureError(
            f"{picture}: {size_text(height, width)} is smaller than the crops of {size} px{smaller}.",
            fix="Give a smaller --size." if downscale == 1 else "Give a smaller --size or --downscale.",
        )
    if depth is not None and not depth.is_dir():
        read_depth_map(depth, form, size_px=(height, width))
    if labels is not None and not labels.is_dir():
        read_labels(labels, size_px=(height, width))
    prepared = prepare(request)
    check_draws(prepared)
    renderer = prepared.renderer
    rows = []
    for index in range(count):
        placement = renderer.place(index)
        arrays = renderer.render(placement)
        sharp, blurred = (np.clip(arrays[name].astype(float), 0, None) for name in ("sharp", "blurred"))
        kind = arrays["sharp"].dtype
        top = float(np.iinfo(kind).max) if kind.kind == "u" else 1.0
        error = float(np.mean((sharp - blurred) ** 2))
        ratio = f" · PSNR {10 * math.log10(top**2 / error):.1f} dB" if error > 0 else " · no difference"
        points = None
        if placement.window.reach is not None and any(step.varies for _, step in placement.draw.steps):
            around = renderer.around(placement.source, placement.window)  # without a margin where no depth is seen
            margin_px = (around.size_px[0] - placement.window.size) // 2
            points = points_of_light(placement.draw, around, margin_px=margin_px)
        rows.append(Row(arrays["sharp"], arrays["blurred"], placement.draw, f"sample {index}{ratio}", points))
    subtitle = f"{printable(picture.name)} · seed {seed}" + (f" · {chosen.summary}" if chosen.summary else "")
    write_contact_sheet(output, rows, title=f"Recipe {chosen.name}", subtitle=subtitle, recipe=chosen)
    samples = console.plural(count, "sample")
    console.echo(f"written: {output} ({samples} of {picture.name} with recipe {chosen.name}, seed {seed})")
