"""``blursynth camera``: list calibrated cameras, simulate their flat fields, and calibrate your own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from blursynth.cli import console
from blursynth.cli.command_group import SETTINGS
from blursynth.errors import Argument, InvalidValueError, PictureError, require
from blursynth.records.toml import read_text

if TYPE_CHECKING:
    from blursynth import SensorProfile
    from blursynth.cameras.calibration import Calibration, FlatFields

__all__ = ["app"]

EPILOG = """\b
Examples:
  blursynth camera list
  blursynth camera show sony-a7s2 > mine.toml        # a starting point for your own file
  blursynth camera flats sony-a7s2 flats/ --iso 1600
  blursynth camera fit flats/ --output mine.toml --plot transfer.png
"""

_FIT_EPILOG = """\b
Examples:
  blursynth camera fit flats/ --output mine.toml --plot transfer.png
  blursynth camera fit 1a.png 1b.png 2a.png 2b.png --dark d1.png --dark d2.png --bit-depth 14 --pattern RGGB
  blursynth camera fit --noisy raw.png --clean mean.png --bit-depth 14 --black-level 512
  blursynth camera fit --noisy night.png --clean denoised.png

A folder (or an index.toml in it) says which frames are dark and which are pairs of flat fields:
  bit_depth = 14
  pattern = "RGGB"
  dark = ["d1.png", "d2.png"]
  flat = [["1a.png", "1b.png"], ["2a.png", "2b.png"]]
Frames are raw values in 16-bit PNG or TIFF, including the black level, neither shifted nor developed.
"""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=SETTINGS,
    help="List calibrated cameras, or calibrate your own.",
    epilog=EPILOG,
)


@app.command("list", context_settings=SETTINGS)
def list_() -> None:
    """List the cameras that come with the library."""
    from blursynth.cameras.profile import load_sensor_profile, sensor_profile_names

    rows = []
    for name in sensor_profile_names():
        camera = load_sensor_profile(name)
        iso = camera.iso_range
        low, high = camera.gain_range_dn_per_e
        setting = f"ISO {iso[0]:g} to {iso[1]:g}" if iso else f"{low:.3g} to {high:.3g} DN/e-"
        rows.append((name, setting, camera.summary))
    console.table(("camera", "settings", "description"), rows)


@app.command(context_settings=SETTINGS)
def show(name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A camera, or a .toml file.")]) -> None:
    """Check a camera's file and show it."""
    from importlib import resources

    from blursynth.cameras.profile import load_sensor_profile, sensor_profile_names

    load_sensor_profile(name)
    if name in sensor_profile_names():
        text = (resources.files("blursynth.cameras") / f"{name}.toml").read_text("utf-8")
    else:
        text = read_text(Path(name), error=InvalidValueError)
    console.echo(text.rstrip("\n"))


@app.command(context_settings=SETTINGS)
def flats(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A camera, or a .toml file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the frames.")],
    iso: Annotated[float | None, typer.Option("--iso", help="ISO setting, if the camera has any.")] = None,
    gain: Annotated[float | None, typer.Option("--gain", metavar="DN/e-", help="Gain in DN per electron.")] = None,
    size: Annotated[int, typer.Option("--size", help="Width and height of the frames in px.")] = 256,
    exposures: Annotated[int, typer.Option("--exposures", help="Number of pairs of flat fields.")] = 10,
    dark: Annotated[int, typer.Option("--dark", help="Number of dark frames.")] = 8,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the camera's parameters and of the noise.")] = 0,
) -> None:
    """Write dark frames and pairs of flat fields of a camera as 16-bit PNG.

    The index.toml beside them says what each frame is, and holds the sensor's true parameters to compare a fit with.
    """
    import numpy as np
    import tomli_w
    from PIL import Image

    from blursynth import Encoding, Frame
    from blursynth.cameras.calibration import INDEX
    from blursynth.cameras.profile import load_sensor_profile
    from blursynth.dataset import Progress
    from blursynth.degradations import Sensor
    from blursynth.records.streams import Stream

    for option, value, least in (("--size", size, 32), ("--exposures", exposures, 2), ("--dark", dark, 2)):
        if value < least:
            raise InvalidValueError(f"{option} must be >= {least}, got {value}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidValueError(
            f"{out}: is {'not empty' if out.is_dir() else 'a file'}.",
            why="Existing files are not overwritten.",
            fix="Choose a new folder.",
        )
    camera = load_sensor_profile(name)
    stream = Stream(seed, 0, "camera")
    sensor = Sensor(**camera.draw(stream, iso=iso, gain_dn_per_e=gain), seed=0)
    channels = 1 if sensor.mosaic is None else 3
    if channels == 1:  # a monochrome sensor has no colors
        fields = Sensor.model_fields.items()
        sensor = sensor.replace(**{k: f.default for k, f in fields if k.startswith(("red_", "green_", "blue_"))})
    darks = [f"dark-{i:02d}.png" for i in range(dark)]
    pairs = [[f"flat-{i:02d}-{letter}.png" for letter in "ab"] for i in range(exposures)]
    light = np.linspace(0.05, 0.9, exposures)
    wanted = [*((path, 0.0) for path in darks)]
    wanted += [(path, float(x)) for x, pair in zip(light, pairs, strict=True) for path in pair]
    out.mkdir(parents=True, exist_ok=True)
    with console.progress_bar("frames") as progress:
        for i, (path, level) in enumerate(wanted):
            flat = Frame(np.full((1, channels, size, size), level, np.float32), Encoding.LINEAR)
            raw = np.asarray(sensor.replace(seed=stream.child(path).seed63())(flat).image[0, 0])
            Image.fromarray(raw.astype(np.uint16)).save(out / path)
            progress(Progress("generate", i + 1, len(wanted)))
    index = {
        "camera": camera.name,
        "bit_depth": sensor.bit_depth,
        **({} if sensor.mosaic is None else {"pattern": sensor.mosaic}),
        "dark": darks,
        "flat": pairs,
        "light": [round(float(x), 6) for x in light],
        "sensor": {k: v for k, v in sensor.fields().items() if v is not None and k != "seed"},
    }
    (out / INDEX).write_text(tomli_w.dumps(index), "utf-8")
    console.echo(
        f"{out}: {console.plural(dark, 'dark frame')} and {console.plural(exposures, 'pair')} of flat fields of "
        f"{camera.name}, {sensor.dn_per_electron:.4g} DN/e-, read noise {sensor.read_noise_e:.3g} e-"
    )


@app.command(context_settings=SETTINGS, epilog=_FIT_EPILOG)
def fit(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILES", help="A folder with an index.toml, or flat fields in pairs: 1a 1b 2a 2b ..."),
    ] = None,
    dark: Annotated[
        list[Path] | None, typer.Option("--dark", metavar="FILE", help="A dark frame; may be repeated.")
    ] = None,
    noisy: Annotated[Path | None, typer.Option("--noisy", metavar="FILE", help="A noisy picture.")] = None,
    clean: Annotated[
        Path | None, typer.Option("--clean", metavar="FILE", help="The clean picture of the same scene.")
    ] = None,
    bit_depth: Annotated[int | None, typer.Option("--bit-depth", help="Bits of the converter.")] = None,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", metavar="RGGB|BGGR|GRBG|GBRG", help="Bayer pattern, if the sensor has one."),
    ] = None,
    black_level: Annotated[
        float | None,
        typer.Option(
            "--black-level", metavar="DN", help="Black level of a raw noisy picture: a pair does not show it."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Camera file to write.")] = None,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Plot to write, a .png.")] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the camera.")] = "fitted camera",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files of --output and --plot.")] = False,
) -> None:
    """Calibrate a camera: gain, read noise and black level with 95 % intervals.

    Uses photon transfer (EMVA 1288) on dark frames and pairs of flat fields, or one noisy and one clean picture. A pair
    of raw pictures gives gain and read noise; developed pictures give only an apparent noise in linear light.
    """
    from blursynth.cameras.calibration import PATTERNS, calibrate_from_flats, calibrate_from_pair
    from blursynth.dataset import Progress

    for path, ending in ((output, ".toml"), (plot, ".png")):
        if path is not None and path.suffix.lower() != ending:
            raise InvalidValueError(f"{path}: must end in {ending}.")
    for option, path in (("--output", output), ("--plot", plot)):
        if path is not None:
            _check_target(option, path, force)
    if plot is not None:
        require("matplotlib", extra="plot", purpose="--plot")
    if pattern is not None and pattern not in PATTERNS:
        raise InvalidValueError(f"--pattern must be one of {', '.join(PATTERNS)}, got {pattern!r}.")
    if noisy is not None or clean is not None:
        if noisy is None or clean is None:
            raise InvalidValueError("--noisy and --clean belong together: only one of them was given.")
        if files or dark:
            raise InvalidValueError("Give flat fields, or --noisy and --clean, not both.")
        try:
            found = calibrate_from_pair(
                noisy, clean, bit_depth=bit_depth, black_level_dn=black_level, pattern=pattern, name=name
            )
        except InvalidValueError as error:
            raise InvalidValueError(error.text(_option)) from None
        _show(found, output, plot)
        return
    if black_level is not None:
        raise InvalidValueError("--black-level is for --noisy and --clean: dark frames show it.")
    frames = _flat_fields(files or [], dark or [], bit_depth, pattern)
    with console.progress_bar("frames") as progress:
        found = calibrate_from_flats(
            frames, name=name, on_frame=lambda done, total: progress(Progress("generate", done, total))
        )
    _show(found, output, plot)


def _option(argument: Argument) -> str:
    return f"--{argument.name.removesuffix('_dn').replace('_', '-')}"


def _check_target(option: str, path: Path, force: bool) -> None:
    """Refuse, before any work, a file that exists or cannot be written."""
    if path.is_dir():
        raise InvalidValueError(f"{option} {path}: is a folder.", fix="Give the name of a file.")
    if path.exists() and not force:
        raise InvalidValueError(
            f"{option} {path}: already exists.",
            why="Existing files are not overwritten.",
            fix="Choose a new name, or give --force to overwrite it.",
        )
    if not path.parent.is_dir():
        what = "is a file, not a folder" if path.parent.exists() else "does not exist"
        raise InvalidValueError(
            f"{option} {path}: its folder {path.parent} {what}.", fix="Make the folder first, or choose another place."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InvalidValueError(
            f"{option} {path}: cannot be written.", why="You do not have permission.", fix="Choose another place."
        )


def _flat_fields(files: list[Path], dark: list[Path], bit_depth: int | None, pattern: str | None) -> FlatFields:
    """The role of each file."""
    from blursynth.cameras.calibration import FlatFields

    if not files:
        raise InvalidValueError(
            "There is nothing to fit.",
            fix="Give a folder that blursynth camera flats wrote, flat fields with --dark, or --noisy and --clean.",
        )
    if len(files) == 1 and (files[0].is_dir() or files[0].suffix.lower() == ".toml"):
        if dark or bit_depth is not None or pattern is not None:
            raise InvalidValueError("--dark, --bit-depth and --pattern come from the index of the folder.")
        return FlatFields.from_index(files[0])
    if any(path.is_dir() for path in files):
        raise InvalidValueError("Give one folder, or files, not both.")
    if len(files) == 1:
        raise InvalidValueError(
            f"Only {files[0]} was given.", why="A fit needs pairs of flat fields, and dark frames.", fix=_HOW
        )
    if len(files) % 2:
        raise InvalidValueError(
            f"Flat fields come in pairs of equal exposure, got {len(files)} files.",
            fix=f"{_HOW} Give dark frames with --dark.",
        )
    if not dark:
        raise InvalidValueError(
            "There are no dark frames.", why="They determine the black level and the read noise.", fix=_HOW
        )
    if bit_depth is None:
        raise InvalidValueError("--bit-depth is needed: the files do not state the range of the converter.")
    return FlatFields(tuple(dark), tuple(zip(files[::2], files[1::2], strict=True)), bit_depth, pattern)


_HOW = "For example: blursynth camera fit 1a.png 1b.png 2a.png 2b.png --dark d1.png --dark d2.png --bit-depth 14."


def _show(found: Calibration, output: Path | None, plot: Path | None) -> None:
    # Before anything is printed, since the reader of a pipe may stop early, as `| head` does.
    written = [] if output is None else [_write_camera(output, found.profile)]
    if plot is not None:
        written.append(_draw(plot, found))
    rows = []
    for one in found.measured:
        value, low, high = one.estimate.texts()
        rows.append((one.name, one.unit, value, f"{low} to {high}"))
    console.table(("parameter", "unit", "value", "95 % interval"), rows, right=("value",))
    for text in found.notes:
        console.echo(text)
    for text in found.warnings:
        console.echo(text, err=True)
    for text in written:
        console.echo(text)


def _write_camera(path: Path, camera: SensorProfile) -> str:
    """Write the camera file; returns the lines to print at the end."""
    try:
        path.write_text(camera.to_toml(), "utf-8")
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror}).", fix="Choose another place.") from None
    return (
        f"{path}: written; in the sensor step of a recipe in the same folder, write\n"
        f'  camera = "{path.name}"\n'
        f"  gain_dn_per_e = {camera.gain_range_dn_per_e[0]:.9g}  # the fitted setting, instead of an iso"
    )


def _draw(path: Path, found: Calibration) -> str:
    """Plot the photon transfer curve with its fit and band, and the residuals below it; returns the line to print."""
    require("matplotlib", extra="plot", purpose="--plot")
    import numpy as np
    from matplotlib.figure import Figure

    signal, variance, se, why_not, unit = found.signal, found.variance, found.se, found.why_not, found.unit
    gain = found.measured[0]
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    curve, rest = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    x = np.linspace(0, max(float(signal.max()), 1e-12) * 1.02, 400)
    line, half = found.fit.line(x)
    curve.fill_between(x, line - half, line + half, color="tab:orange", alpha=0.35, label="95 % of the fit")
    curve.plot(x, line, color="tab:orange", label="fit")
    used = np.array([not reason for reason in why_not])
    for i, reason in enumerate(sorted(set(why_not))):  # the empty one first, where there is no reason: fitted
        chosen = np.array([one == reason for one in why_not])
        curve.errorbar(
            signal[chosen], variance[chosen], 1.96 * se[chosen], fmt="xv^sd"[i % 5] if reason else "o", ms=4, lw=1,
            color="tab:blue", alpha=0.5 if reason else 1.0, label=f"not fitted: {reason}" if reason else "fitted",
        )  # fmt: skip
    curve.set_ylabel(f"variance in {unit}$^2$")
    curve.set_ylim(bottom=0)
    curve.set_title(f"{found.profile.name}: gain {gain.estimate} {gain.unit}", fontsize=10)
    curve.legend(fontsize=8)
    expected, width = found.fit.line(signal[used])
    rest.axhline(0, color="tab:orange")
    order = np.argsort(signal[used])
    band = 100 * (width / expected)[order]
    rest.fill_between(signal[used][order], -band, band, color="tab:orange", alpha=0.35)
    rest.errorbar(
        signal[used], 100 * (variance[used] / expected - 1), 196 * se[used] / expected,
        fmt="o", ms=4, lw=1, color="tab:blue",
    )  # fmt: skip
    rest.set_ylabel("residual in %")
    rest.set_xlabel(f"mean above black in {unit}")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror}).") from None
    return f"{path}: written"
