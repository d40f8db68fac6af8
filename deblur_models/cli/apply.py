"""``deblur apply``: restore pictures of any size with a network, a classical method, or one after the other."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError
from blursynth.records.text import printable
from deblur_models.cli import restorer_options as options
from deblur_models.cli.memory import keep_freed_memory

if TYPE_CHECKING:
    from deblur_models.restore.restorer import Restorer

EPILOG = """\b
Examples:
  deblur apply photo.jpg
  deblur apply photo.jpg --strength 0.6 --force
  deblur apply blurred.jpg --network run/ --out restored/
  deblur apply photos/ 'more/*.png' --network nafnet.safetensors --out restored/ --ensemble
  deblur apply big.tif --network run/ --out restored/ --tile 1024 --device cuda --precision bf16
  deblur apply blurred.png --method richardson_lucy --kernel kernel.npy --out restored/
  deblur apply blurred.png --pipeline wiener+photographs --kernel kernel.npy --out restored/

Without --network, --method and --pipeline, the network that ships is used (deblur networks photographs). Without
--out, pictures are written next to their originals as NAME-deblurred.

Orientation, transparency, 16 bits, EXIF tags and color profiles are preserved; formats that cannot be written become
PNG. Pictures that cannot be read are skipped with a message, the others are restored, and the exit code is 1.
"""


def command(
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURES", help="Files, folders and glob patterns.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FOLDER",
            help="Folder for the restored pictures. Default: next to the originals.",
            show_default=False,
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="CHECKPOINT",
            help="A .safetensors file, a run directory, or the name of a network that ships. Default: photographs.",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method",
            metavar="KIND[:FIELD=VALUE,...]",
            help="A classical method instead of a network, such as wiener or richardson_lucy:iterations=30.",
            show_default=False,
        ),
    ] = None,
    pipeline: Annotated[
        str | None,
        typer.Option("--pipeline", metavar="STEP+STEP", help=options.PIPELINE_HELP, show_default=False),
    ] = None,
    kernel: Annotated[
        Path | None,
        typer.Option(
            "--kernel",
            metavar="FILE",
            help="Kernel (PSF) for methods: .npy, .csv, .mat or a picture. The blurred picture is the sharp one "
            "convolved with it.",
            show_default=False,
        ),
    ] = None,
    turn_kernel: options.TurnKernels = False,
    tile: options.Tile = None,
    overlap: options.Overlap = None,
    ensemble: options.Ensemble = False,
    device: options.Device = "auto",
    provider: options.Providers = None,
    precision: options.Precision = "float32",
    local_px: options.LocalPx = None,
    padding: options.Padding = "mirror",
    strength: Annotated[
        float,
        typer.Option(
            "--strength",
            metavar="S",
            min=0.0,
            max=1.5,
            help="The picture plus S times its change by restoration: 0 no change, 1 restored, more exaggerates.",
        ),
    ] = 1.0,
    suffix: Annotated[
        str | None,
        typer.Option(
            "--suffix",
            metavar="TEXT",
            help="Appended to the names of restored pictures. Default: -deblurred without --out, nothing with it.",
            show_default=False,
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing restored pictures.")] = False,
) -> None:
    """Restore blurred pictures.

    They keep their names, formats and metadata. Folders are searched recursively, linked ones too, and keep their
    structure in --out.
    """
    keep_freed_memory()
    from deblur_models.checkpoints import shipped

    chosen = False
    if network is None and method is None and pipeline is None and shipped.DEFAULT in shipped.shipped_names():
        network, chosen = shipped.DEFAULT, True
    given = {"--network": network, "--method": method, "--pipeline": pipeline}
    named = [option for option, value in given.items() if value is not None]
    if len(named) != 1:
        raise InvalidValueError(
            f"Give one of --network, --method and --pipeline, got {' and '.join(named) or 'none'}.",
            why="" if named else "No network ships with this installation.",
            fix="For a method followed by a network: --pipeline wiener+run/."
            if named
            else "For example: deblur apply photo.jpg --network run/ --out restored/",
        )
    if kernel is not None and named == ["--network"]:
        raise InvalidValueError(
            "--kernel requires --method or --pipeline.",
            why="A network estimates the blur itself.",
            fix="Leave --kernel out.",
        )
    if turn_kernel and kernel is None:
        raise InvalidValueError("--turn-kernel requires --kernel.", fix="Leave it out.")
    if out is not None and out.exists() and not out.is_dir():
        raise InvalidValueError(f"--out {out}: is a file, not a folder.", fix="Choose another place.")
    if suffix is not None and any(sign in suffix for sign in "/\\"):
        raise InvalidValueError(f"--suffix {suffix!r} must be part of a file name, without slashes.")
    from deblur_models.restore import NetworkRestorer, Pipeline
    from deblur_models.restore.files import BESIDE, plan_files, restore_files

    if suffix is None:
        suffix = BESIDE if out is None else ""
    planned = plan_files(pictures, out, suffix)
    kernels = None
    load = partial(
        options.load_restorer,
        tile=tile,
        overlap=overlap,
        ensemble=ensemble,
        device=device,
        precision=precision,
        local_px=local_px,
        padding=padding,
        providers=provider,
    )
    restorer: Restorer
    if network is not None:
        restorer = load(network)
    elif method is not None:
        restorer = options.method_restorer(method)
    else:
        assert pipeline is not None  # one of them was asked for above
        restorer = options.pipeline_restorer(pipeline, load)
    if restorer.needs_kernel and kernel is None:
        raise InvalidValueError(
            f"{named[0]} {restorer.name} needs the kernel: --kernel FILE.",
            why="It inverts a known blur.",
        )
    if kernel is not None and restorer.needs_kernel:
        from deblur_models.classical import read_kernel

        kernels = read_kernel(kernel, turn_180=turn_kernel)[None]
    elif kernel is not None:
        raise InvalidValueError(f"--kernel: {restorer.name} does not use a kernel.", fix="Leave --kernel out.")
    tiled = [step for step in (restorer.steps if isinstance(restorer, Pipeline) else (restorer,))
             if isinstance(step, NetworkRestorer)]  # fmt: skip
    if chosen:
        console.echo(f"network: {network}, which ships with deblur_models (about it: deblur networks {network})")
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidValueError(f"--out {out}: cannot be created ({error.strerror}).") from None
    with options.live_bar("restoring", len(planned.jobs)) as update:

        def begins(number: int, picture: Path) -> None:
            update(completed=number, description=printable(picture.name))
            if tiled:
                tiled[-1].on_tiles = lambda done, total: update(completed=number + done / total)

        done = restore_files(planned.jobs, restorer, kernels, strength=strength, overwrite=force, on_file=begins)
    made, failed = len(done.restored), [*planned.left_out, *done.failed]
    where = out if out is not None else done.restored[0].target if made == 1 else None
    place = "" if where is None else f"{printable(str(where))}: "
    how = f" at strength {strength:g}" if strength != 1 else ""
    beside = f", each next to its original as NAME{suffix}" if out is None and made > 1 else ""
    console.echo(f"{place}{console.plural(made, 'picture')} restored by {restorer.name}{how}{beside}")
    for one in done.restored:
        if one.looks_sharp and network is not None:
            changed = (
                "not changed at all" if math.isinf(one.changed_db) else f"changed by {one.changed_db:.0f} dB (PSNR)"
            )
            console.echo(f"{printable(str(one.picture))} looks sharp already: {changed}")
    if failed:
        console.echo(f"\nNot restored: {console.plural(len(failed), 'picture')}")
        console.table(("picture", "why"), failed)
    console.show_ignored(planned.ignored)
    if failed or planned.ignored:
        console.echo(f"{console.used_text(made, len(failed), planned.ignored)}.")
    if failed:
        raise typer.Exit(1)
