"""``deblur apply``: pictures of any size restored by a network or a classical method."""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blursynth.cli import console
from blursynth.errors import BlursynthError, InvalidValueError
from deblur_models.cli import restorer_options as options
from deblur_models.cli.memory import keep_freed_memory

if TYPE_CHECKING:
    from deblur_models.restore import NetworkRestorer, OnTiles
    from deblur_models.restorer import Restorer

_LOG = logging.getLogger(__name__)

_NOT_READ = (
    ".gif", ".heic", ".heif", ".avif", ".jp2", ".jxl", ".psd", ".svg", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf",
    ".orf", ".rw2",
)  # fmt: skip
"""What a user would take for pictures too."""

EPILOG = """\b
Examples:
  deblur apply blurred.jpg --network run/ --out restored/
  deblur apply photos/ 'more/*.png' --network nafnet.safetensors --out restored/ --ensemble
  deblur apply big.tif --network run/ --out restored/ --tile 1024 --device cuda --precision bf16
  deblur apply blurred.png --method richardson_lucy --kernel kernel.npy --out restored/

Orientation, transparency, 16 bits, EXIF tags and colour profiles stay as they are. Pictures that cannot be read are
left out with a message, the others are done, and the exit code is 1.
"""


def command(
    pictures: Annotated[
        list[Path], typer.Argument(metavar="PICTURES...", help="Files, folders and patterns.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where restored pictures go.")],
    network: Annotated[
        str | None,
        typer.Option(
            "--network", metavar="CHECKPOINT", help="A .safetensors file or a run's folder.", show_default=False
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
            help="Its point spread: .npy, .csv, .mat or a picture. The blurred picture is the sharp one convolved "
            "with it.",
            show_default=False,
        ),
    ] = None,
    turn_kernel: options.TurnKernels = False,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile",
            metavar="PX",
            help="Side of the tiles that a network sees, 0: the whole picture; by default 512, but the whole picture "
            "up to 2 megapixels for networks whose results depend on the tile.",
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
        str, typer.Option("--suffix", metavar="TEXT", help="Put behind the names of restored pictures.")
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Overwrite restored pictures that are there.")] = False,
) -> None:
    """Restore blurred pictures.

    They keep their names, formats and metadata; folders are walked through, and keep their shape in --out.
    """
    keep_freed_memory()
    if (network is None) == (method is None):
        raise InvalidValueError(
            f"Give one of --network and --method, got {'neither' if network is None else 'both'}.",
            fix="For example: deblur apply photo.jpg --network run/ --out restored/",
        )
    if kernel is not None and method is None:
        raise InvalidValueError(
            "--kernel goes with --method.", why="A network finds the blur by itself.", fix="Leave --kernel out."
        )
    if turn_kernel and kernel is None:
        raise InvalidValueError("--turn-kernel goes with --kernel.", fix="Leave it out.")
    if out.exists() and not out.is_dir():
        raise InvalidValueError(f"--out {out}: is a file, not a folder.", fix="Choose another place.")
    if any(sign in suffix for sign in "/\\"):
        raise InvalidValueError(f"--suffix {suffix!r} must be a part of a name, without slashes.")
    jobs = plan(pictures, out, suffix)

    from deblur_models.picture_file import read_picture, write_whole

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
                f"--method {restorer.name} needs the point spread: --kernel FILE.",
                why="It inverts a blur that is known.",
            )
        if kernel is not None and restorer.needs_kernel:
            from deblur_models.classical import read_kernel

            kernels = read_kernel(kernel, turn_180=turn_kernel)[None]
        elif kernel is not None:
            raise InvalidValueError(f"--kernel: {restorer.name} takes none.", fix="Leave --kernel out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidValueError(f"--out {out}: cannot be made ({error.strerror}).") from None
    failed: list[tuple[str, str]] = []
    made = 0
    with _progress(len(jobs)) as show:
        for number, (picture, target) in enumerate(jobs):
            if tiled is not None:
                tiled.on_tiles = show(number, picture)
            else:
                show(number, picture)
            if target.exists() and not force:
                failed.append((str(picture), f"{target} is there already (--force overwrites it)"))
                continue
            try:
                file = read_picture(picture)
                restored = restorer.restore(file.tensor(), kernels)
                write_whole(target, file.encoded(restored, target.suffix.lower()))
            except BlursynthError as error:
                text = str(error).removeprefix(f"{picture}: ")
                failed.append((str(picture), text.rstrip(".")))
            else:
                made += 1
    typer.echo(f"{out}: {console.plural(made, 'picture')} restored by {restorer.name}")
    if failed:
        typer.echo(f"\nNot restored: {console.plural(len(failed), 'picture')}")
        console.table(("picture", "why"), failed)
        raise typer.Exit(1)


def plan(pictures: Sequence[Path], out: Path, suffix: str = "") -> list[tuple[Path, Path]]:
    """Every picture once, in order, with the file that it becomes.

    Raises
    ------
    InvalidValueError
        Nothing is found, two pictures would become one file, or a picture would overwrite itself.
    """
    from blursynth.io import PICTURE_SUFFIXES
    from deblur_models.picture_file import written_suffix

    found: dict[Path, tuple[Path, Path]] = {}
    for given in pictures:
        if given.is_dir():
            inside = sorted(p for p in given.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES and p.is_file())
            listed = [
                (p, p.relative_to(given))
                for p in inside
                if not any(part.startswith(".") for part in p.relative_to(given).parts)
                and not (out.resolve() in p.resolve().parents and out.resolve() != given.resolve())
            ]
            ignored = sorted(p for p in given.rglob("*") if p.suffix.lower() in _NOT_READ and p.is_file())
            if ignored:
                _LOG.warning(
                    "%s: %s of formats that are not read left out (the first is %s).",
                    given,
                    console.plural(len(ignored), "picture"),
                    ignored[0].relative_to(given),
                )
            if not listed:
                raise InvalidValueError(
                    f"{given}: holds no pictures.", fix=f"Known: {', '.join(s[1:] for s in PICTURE_SUFFIXES)}."
                )
        elif not given.exists() and glob.has_magic(str(given)):
            listed = [(Path(p), Path(Path(p).name)) for p in sorted(glob.glob(str(given), recursive=True))]
            listed = [(p, name) for p, name in listed if p.is_file()]
            if not listed:
                raise InvalidValueError(f"{given}: no file fits this pattern.")
        else:
            listed = [(given, Path(given.name))]
        for picture, name in listed:
            target = out / name.with_name(f"{name.stem}{suffix}{written_suffix(name)}")
            found.setdefault(picture.resolve(), (picture, target))
    targets: dict[Path, Path] = {}
    for real, (picture, target) in found.items():
        if target.resolve() in found:
            raise InvalidValueError(
                f"{picture} would be written over {'itself' if target.resolve() == real else target}.",
                fix="Choose another folder with --out, or names with --suffix.",
            )
        if target in targets:
            raise InvalidValueError(
                f"{targets[target]} and {picture} would both become {target}.",
                fix="Restore them one after another into different folders, or give their common folder.",
            )
        targets[target] = picture
    return list(found.values())


@contextmanager
def _progress(total: int) -> Iterator[_Show]:
    """A live bar on a terminal, nothing in a pipe."""
    import sys

    if not sys.stderr.isatty():
        yield _Show(None, total)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.console(stderr=True), transient=True) as bar:
        yield _Show(bar, total)


class _Show:
    """Tells the bar which picture is worked on; gives what counts its tiles."""

    def __init__(self, bar: Any, total: int) -> None:
        self._bar = bar
        self._task = None if bar is None else bar.add_task("restoring", total=total)

    def __call__(self, number: int, picture: Path) -> OnTiles | None:
        if self._bar is None:
            return None
        self._bar.update(self._task, completed=number, description=picture.name)

        def tiles(done: int, total: int) -> None:
            self._bar.update(self._task, completed=number + done / total)

        return tiles
