"""``blursynth depth``: depth maps of photographs, as estimated by a network."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from blursynth.cli import console
from blursynth.errors import BlursynthError, InvalidValueError
from blursynth.records.text import path_of

EPILOG = """\b
Examples:
  blursynth depth photos/ depth/ --network depth_anything_v2_small.onnx --near 1 --far 30
  blursynth depth photos/ depth/ --network metric.onnx --metric
  blursynth generate photos/ dataset/ -n 1000 --depth depth/

You supply the network: an ONNX model with one input [1, 3, H, W] and depth as its first output. Existing maps are
kept. The exit code is 1 if the network failed on a picture.
"""


def command(
    *,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(metavar="PICTURES", help="Folders, globs, pictures, or .txt lists.  [required]"),
    ] = None,  # required; checked below, to say which of the two is missing
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the depth maps.")],
    network: Annotated[Path, typer.Option("--network", metavar="FILE", help="An .onnx file.")],
    near: Annotated[
        float | None, typer.Option("--near", metavar="M", help="Depth of the nearest pixel of a picture in m.")
    ] = None,
    far: Annotated[
        float | None, typer.Option("--far", metavar="M", help="Depth of the farthest pixel of a picture in m.")
    ] = None,
    metric: Annotated[
        bool, typer.Option("--metric", help="The network gives meters, not a relative inverse depth.")
    ] = False,
    size: Annotated[
        int, typer.Option("--size", help="Shorter side of the network's input in px, if it is not fixed.")
    ] = 518,
    multiple: Annotated[
        int, typer.Option("--multiple", help="The sides of the input are multiples of this, usually 14 or 32.")
    ] = 14,
    mean: Annotated[
        str, typer.Option("--mean", metavar="R,G,B", help="Mean to subtract from values in 0..1.")
    ] = "0.485,0.456,0.406",
    std: Annotated[
        str, typer.Option("--std", metavar="R,G,B", help="Standard deviation to divide by.")
    ] = "0.229,0.224,0.225",
) -> None:
    """Estimate depth maps of pictures with your own network.

    They are written as .npy files in meters under the names of the pictures, where the option --depth of other commands
    finds them.
    """
    if not pictures:
        raise InvalidValueError(
            f"PICTURES or OUT is missing: only {out} was given.",
            fix="Give the pictures first and the folder of the maps last: "
            "blursynth depth photos/ depth/ --network net.onnx",
        )
    if not metric and (near is None or far is None):
        raise InvalidValueError(
            "--near and --far are needed for a network that gives relative inverse depth.",
            why="Relative depth has no unit: it only says what is nearer than what.",
            fix="State the distances of the nearest and farthest objects in the pictures, such as --near 1 --far 30, "
            "or give --metric if the network gives meters.",
        )
    if out.exists() and not out.is_dir():
        raise InvalidValueError(f"{out}: is a file, not a folder.", fix="Choose another place.")

    import numpy as np

    from blursynth import dataset
    from blursynth.dataset import Progress, Skipped
    from blursynth.io.atomic import write_atomically
    from blursynth.io.depth import DepthNetwork
    from blursynth.io.pictures import read_frame

    estimate = DepthNetwork(
        network, near_m=near, far_m=far, gives="depth_m" if metric else "inverse_depth", input_size_px=size,
        multiple_px=multiple, mean=_three(mean, "--mean"), std=_three(std, "--std"),
    )  # fmt: skip
    failed: list[Skipped] = []
    made = kept = 0
    maps: set[tuple[int, int]] = set()  # of pictures of this run, identified as the file system does
    with console.progress_bar("pictures") as show:
        scan = dataset.scan_sources(pictures, on_progress=show)
        for done, source in enumerate(sorted(scan.usable, key=lambda s: s.name), 1):
            target = out / path_of(source.name).with_suffix(".npy")
            if target.exists() and (target.stat().st_dev, target.stat().st_ino) in maps:
                failed.append(Skipped(source.name, f"its map would be {target}, which is another picture's"))
            elif target.exists():
                kept += 1
            else:
                try:
                    depth = estimate(read_frame(scan.path(source))).depth_m
                except BlursynthError as error:
                    failed.append(Skipped(source.name, error.what.rstrip(".")))
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    data = io.BytesIO()
                    np.save(data, np.asarray(depth, np.float32)[0])
                    write_atomically(target, data.getvalue())  # a map that exists is complete
                    made += 1
            if target.exists():
                maps.add((target.stat().st_dev, target.stat().st_ino))
            show(Progress("generate", done, len(scan.usable)))
    there = f"; {kept} kept from before" if kept else ""
    console.echo(f"{out}: made {console.plural(made, 'depth map')}{there}")
    console.show_used(len(scan.usable) - len(failed), (*scan.skipped, *failed, *scan.duplicates), scan.ignored)
    if failed:
        raise typer.Exit(1)


def _three(text: str, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise InvalidValueError(
            f"{option} must be three numbers separated by commas, got {text!r}.",
            fix=f"For example {option} 0.5,0.5,0.5",
        )
    return numbers
