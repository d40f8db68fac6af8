"""``deblur apply``: restore pictures of any size with a network or a classical method."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blursynth.cli import console
from blursynth.errors import InvalidValueError
from blursynth.records.text import printable
from deblur_models.cli import restorer_options as options
from deblur_models.cli.memory import keep_freed_memory

if TYPE_CHECKING:
    from deblur_models.restore.network_restorer import NetworkRestorer
    from deblur_models.restore.restorer import Restorer

EPILOG = """\b
Examples:
  deblur apply blurred.jpg --network run/ --out restored/
  deblur apply photos/ 'more/*.png' --network nafnet.safetensors --out restored/ --ensemble
  deblur apply big.tif --network run/ --out restored/ --tile 1024 --device cuda --precision bf16
  deblur apply blurred.png --method richardson_lucy --kernel kernel.npy --out restored/

Orientation, transparency, 16 bits, EXIF tags and color profiles are preserved; formats that cannot be written become
PNG. Pictures that cannot be read are skipped with a message, the others are restored, and the exit code is 1.
"""


def command(
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURES", help="Files, folders and glob patterns.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the restored pictures.")],
    network: Annotated[
        str | None,
        typer.Option(
            "--network", metavar="CHECKPOINT", help="A .safetensors file or a run directory.", show_default=False
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
    kernel: Annotated[
        Path | None,
        typer.Option(
            "--kernel",
            metavar="FILE",
            help="Kernel (PSF) for --method: .npy, .csv, .mat or a picture. The blurred picture is the sharp one "
            "convolved with it.",
            show_default=False,
        ),
    ] = None,
    turn_kernel: options.TurnKernels = False,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile",
            metavar="PX",
            help="Side of the tiles that a network sees; 0: the whole picture. Default: 512, or the whole picture up "
            "to 2 megapixels for networks whose results depend on the tile.",
            show_default=False,
        ),
    ] = None,
    overlap: options.Overlap = None,
    ensemble: options.Ensemble = False,
    device: options.Device = "auto",
    precision: options.Precision = "float32",
    local_px: options.LocalPx = None,
    padding: options.Padding = "mirror",
    suffix: Annotated[
        str, typer.Option("--suffix", metavar="TEXT", help="Appended to the names of restored pictures.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing restored pictures.")] = False,
) -> None:
    """Restore blurred pictures.

    They keep their names, formats and metadata. Folders are searched recursively, linked ones too, and keep their
    structure in --out.
    """
    keep_freed_memory()
    if (network is None) == (method is None):
        raise InvalidValueError(
            f"Give one of --network and --method, got {'neither' if network is None else 'both'}.",
            fix="For example: deblur apply photo.jpg --network run/ --out restored/",
        )
    if kernel is not None and method is None:
        raise InvalidValueError(
            "--kernel requires --method.", why="A network estimates the blur itself.", fix="Leave --kernel out."
        )
    if turn_kernel and kernel is None:
        raise InvalidValueError("--turn-kernel requires --kernel.", fix="Leave it out.")
    if out.exists() and not out.is_dir():
        raise InvalidValueError(f"--out {out}: is a file, not a folder.", fix="Choose another place.")
    if any(sign in suffix for sign in "/\\"):
        raise InvalidValueError(f"--suffix {suffix!r} must be part of a file name, without slashes.")
    from deblur_models.restore.files import plan_files, restore_files

    planned = plan_files(pictures, out, suffix)
    kernels = None
    tiled: NetworkRestorer | None = None
    restorer: Restorer
    if network is not None:
        restorer = tiled = options.load_restorer(
            network,
            tile=tile,
            overlap=overlap,
            ensemble=ensemble,
            device=device,
            precision=precision,
            local_px=local_px,
            padding=padding,
        )
    else:
        assert method is not None  # one of the two was asked for above
        restorer = options.method_restorer(method)
        if restorer.needs_kernel and kernel is None:
            raise InvalidValueError(
                f"--method {restorer.name} needs the kernel: --kernel FILE.",
                why="It inverts a known blur.",
            )
        if kernel is not None and restorer.needs_kernel:
            from deblur_models.classical import read_kernel

            kernels = read_kernel(kernel, turn_180=turn_kernel)[None]
        elif kernel is not None:
            raise InvalidValueError(f"--kernel: {restorer.name} does not use a kernel.", fix="Leave --kernel out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValueError(f"--out {out}: cannot be created ({error.strerror}).") from None
    with options.live_bar("restoring", len(planned.jobs)) as update:

        def begins(number: int, picture: Path) -> None:
            update(completed=number, description=printable(picture.name))
            if tiled is not None:
                tiled.on_tiles = lambda done, total: update(completed=number + done / total)

        failed = restore_files(planned.jobs, restorer, kernels, overwrite=force, on_file=begins)
    made = len(planned.jobs) - len(failed)
    failed = [*planned.left_out, *failed]
    console.echo(f"{out}: {console.plural(made, 'picture')} restored by {restorer.name}")
    if failed:
        console.echo(f"\nNot restored: {console.plural(len(failed), 'picture')}")
        console.table(("picture", "why"), failed)
    console.show_ignored(planned.ignored)
    if failed or planned.ignored:
        console.echo(f"{console.used_text(made, len(failed), planned.ignored)}.")
    if failed:
        raise typer.Exit(1)
