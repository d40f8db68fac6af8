"""``blursynth camera``: calibrated cameras, their flat fields, and calibrating one's own."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from blursynth.cli import console
from blursynth.errors import InvalidValueError, PictureError, require
from blursynth.records.toml import read_text, read_toml

if TYPE_CHECKING:
    from blursynth import SensorProfile
    from blursynth.degradations.sensor.sensor import Sensor
    from blursynth.physics.photon_transfer import Estimate, NoiseLine, PhotonTransfer

__all__ = ["app"]

EPILOG = """\b
Examples:
  blursynth camera list
  blursynth camera show sony-a7s2 > mine.toml        # a file of your own to begin with
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
Frames are raw numbers in 16-bit PNG or TIFF, black level included, not shifted, not developed.
"""

_SETTINGS = {"help_option_names": ["--help", "-h"], "max_content_width": 110}
_INDEX = "index.toml"
_MUCH_PRNU = 0.1  # sensors have 0.2 to 2 %
_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=_SETTINGS,
    help="List calibrated cameras, or calibrate your own.",
    epilog=EPILOG,
)


@app.command("list", context_settings=_SETTINGS)
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
    console.table(("camera", "settings", "what it is"), rows)


@app.command(context_settings=_SETTINGS)
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A camera, or a .toml file.", show_default=False)],
) -> None:
    """Show a camera's file, checked."""
    from importlib import resources

    from blursynth.cameras.profile import load_sensor_profile, sensor_profile_names

    load_sensor_profile(name)
    if name in sensor_profile_names():
        text = (resources.files("blursynth.cameras") / f"{name}.toml").read_text("utf-8")
    else:
        text = read_text(Path(name), error=InvalidValueError)
    console.echo(text.rstrip("\n"))


@app.command(context_settings=_SETTINGS)
def flats(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A camera, or a .toml file.", show_default=False)],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the frames.", show_default=False)],
    iso: Annotated[
        float | None, typer.Option("--iso", help="ISO setting, where it has them.", show_default=False)
    ] = None,
    gain: Annotated[
        float | None, typer.Option("--gain", metavar="DN/e-", help="Gain in DN per electron.", show_default=False)
    ] = None,
    size: Annotated[int, typer.Option("--size", help="Width and height of the frames in px.")] = 256,
    exposures: Annotated[int, typer.Option("--exposures", help="Number of pairs of flat fields.")] = 10,
    dark: Annotated[int, typer.Option("--dark", help="Number of dark frames.")] = 8,
    seed: Annotated[int, typer.Option("--seed", help="Of the camera's numbers and of the noise.")] = 0,
) -> None:
    """Write dark frames and pairs of flat fields of a camera, as 16-bit PNG.

    The index.toml beside them says which frame is what, and holds the sensor's true numbers to compare a fit with.
    """
    import tomli_w

    from blursynth.cameras.profile import load_sensor_profile
    from blursynth.dataset import Progress
    from blursynth.degradations.sensor.sensor import Sensor
    from blursynth.records.streams import Stream

    for option, value, least in (("--size", size, 32), ("--exposures", exposures, 2), ("--dark", dark, 2)):
        if value < least:
            raise InvalidValueError(f"{option} must be >= {least}, got {value}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidValueError(
            f"{out}: is {'not empty' if out.is_dir() else 'a file'}.",
            why="Nothing of yours shall be overwritten.",
            fix="Choose a new folder.",
        )
    camera = load_sensor_profile(name)
    stream = Stream(seed, 0, "camera")
    sensor = Sensor(**camera.draw(stream, iso=iso, gain_dn_per_e=gain), seed=0)
    if sensor.mosaic is None:  # a monochrome sensor
        sensor = sensor.replace(**_GREY)
    darks = [f"dark-{i:02d}.png" for i in range(dark)]
    pairs = [[f"flat-{i:02d}-{letter}.png" for letter in "ab"] for i in range(exposures)]
    light = np.linspace(0.05, 0.9, exposures)
    wanted = [*((path, 0.0) for path in darks)]
    wanted += [(path, float(x)) for x, pair in zip(light, pairs, strict=True) for path in pair]
    out.mkdir(parents=True, exist_ok=True)
    with console.progress_bar("frames") as progress:
        for i, (path, level) in enumerate(wanted):
            taken = sensor.replace(seed=stream.child(path).seed63())
            _write_raw(out / path, _expose(taken, level, size))
            progress(Progress("generate", i + 1, len(wanted)))
    numbers = {k: v for k, v in sensor.fields().items() if v is not None and k != "seed"}
    index = {
        "camera": camera.name,
        "bit_depth": sensor.bit_depth,
        **({} if sensor.mosaic is None else {"pattern": sensor.mosaic}),
        "dark": darks,
        "flat": pairs,
        "light": [round(float(x), 6) for x in light],
        "sensor": numbers,
    }
    (out / _INDEX).write_text(tomli_w.dumps(index), "utf-8")
    console.echo(
        f"{out}: {console.plural(dark, 'dark frame')} and {console.plural(exposures, 'pair')} of flat fields of "
        f"{camera.name}, {sensor.dn_per_electron:.4g} DN/e-, read noise {sensor.read_noise_e:.3g} e-"
    )


_GREY: dict[str, float] = {
    **dict.fromkeys(("red_gain", "blue_gain"), 1.0),
    **dict.fromkeys(
        (
            *("red_from_green", "red_from_blue", "green_from_red", "green_from_blue"),
            *("blue_from_red", "blue_from_green", "red_offset_dn", "green_red_offset_dn"),
            *("green_blue_offset_dn", "blue_offset_dn"),
        ),
        0.0,
    ),
}


def _expose(sensor: Sensor, light: float, size: int) -> NDArray[np.float32]:
    from blursynth import Encoding, Frame

    channels = 1 if sensor.mosaic is None else 3
    return np.asarray(sensor(Frame(np.full((1, channels, size, size), light, np.float32), Encoding.LINEAR)).image[0, 0])


def _write_raw(path: Path, raw: NDArray[np.float32]) -> None:
    from PIL import Image

    Image.fromarray(raw.astype(np.uint16)).save(path)


@app.command(context_settings=_SETTINGS, epilog=_FIT_EPILOG)
def fit(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILES",
            help="A folder with an index.toml, or flat fields in pairs: 1a 1b 2a 2b ...",
            show_default=False,
        ),
    ] = None,
    dark: Annotated[
        list[Path] | None,
        typer.Option("--dark", metavar="FILE", help="A dark frame; several times.", show_default=False),
    ] = None,
    noisy: Annotated[
        Path | None, typer.Option("--noisy", metavar="FILE", help="A noisy picture.", show_default=False)
    ] = None,
    clean: Annotated[
        Path | None,
        typer.Option("--clean", metavar="FILE", help="The clean one of the same scene.", show_default=False),
    ] = None,
    bit_depth: Annotated[
        int | None, typer.Option("--bit-depth", help="Bits of the converter.", show_default=False)
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            "--pattern", metavar="|".join(_PATTERNS), help="Bayer pattern, if it has one.", show_default=False
        ),
    ] = None,
    black_level: Annotated[
        float | None,
        typer.Option(
            "--black-level", metavar="DN", help="Of a raw noisy picture: a pair cannot tell it.", show_default=False
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Camera file to write.", show_default=False)
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Plot to write, a .png.", show_default=False)
    ] = None,
    name: Annotated[str, typer.Option("--name", help="What the camera is called.")] = "fitted camera",
    force: Annotated[bool, typer.Option("--force", help="Overwrite the files of --output and --plot.")] = False,
) -> None:
    """Calibrate a camera: gain, read noise and black level with 95 % intervals.

    From dark frames and pairs of flat fields by photon transfer (EMVA 1288); or from one noisy and one clean picture:
    of raw numbers that tells gain and read noise, of developed pictures only an apparent noise in linear light.
    """
    for path, ending in ((output, ".toml"), (plot, ".png")):
        if path is not None and path.suffix.lower() != ending:
            raise InvalidValueError(f"{path}: must end in {ending}.")
    for option, path in (("--output", output), ("--plot", plot)):
        if path is not None:
            _check_target(option, path, force)
    if plot is not None:
        require("matplotlib", extra="plot", purpose="--plot")
    if pattern is not None and pattern not in _PATTERNS:
        raise InvalidValueError(f"--pattern must be one of {', '.join(_PATTERNS)}, got {pattern!r}.")
    if noisy is not None or clean is not None:
        if noisy is None or clean is None:
            raise InvalidValueError("--noisy and --clean belong together: only one of them was given.")
        if files or dark:
            raise InvalidValueError("Give flat fields, or --noisy and --clean, not both.")
        _fit_pair(noisy, clean, bit_depth, pattern, black_level, output, plot, name)
        return
    if black_level is not None:
        raise InvalidValueError("--black-level is for --noisy and --clean: dark frames tell it.")
    frames = _frames(files or [], dark or [], bit_depth, pattern)
    _fit_flats(frames, output, plot, name)


def _check_target(option: str, path: Path, force: bool) -> None:
    """Refuse, before any work, a file that is there or cannot be written."""
    if path.is_dir():
        raise InvalidValueError(f"{option} {path}: is a folder.", fix="Give the name of a file.")
    if path.exists() and not force:
        raise InvalidValueError(
            f"{option} {path}: is there already.",
            why="Nothing of yours shall be overwritten.",
            fix="Choose a new name, or give --force to overwrite it.",
        )
    if not path.parent.is_dir():
        what = "is a file, not a folder" if path.parent.exists() else "is not there"
        raise InvalidValueError(
            f"{option} {path}: its folder {path.parent} {what}.", fix="Make the folder first, or choose another place."
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InvalidValueError(
            f"{option} {path}: cannot be written.", why="You have no right to.", fix="Choose another place."
        )


class _Frames:
    """Which files are what."""

    def __init__(self, dark: list[Path], flat: list[tuple[Path, Path]], bit_depth: int, pattern: str | None) -> None:
        self.dark, self.flat, self.bit_depth, self.pattern = dark, flat, bit_depth, pattern


def _frames(files: list[Path], dark: list[Path], bit_depth: int | None, pattern: str | None) -> _Frames:
    if not files:
        raise InvalidValueError(
            "There is nothing to fit.",
            fix="Give a folder that blursynth camera flats wrote, flat fields with --dark, or --noisy and --clean.",
        )
    if len(files) == 1 and (files[0].is_dir() or files[0].suffix.lower() == ".toml"):
        if dark or bit_depth is not None or pattern is not None:
            raise InvalidValueError("--dark, --bit-depth and --pattern stand in the index of a folder.")
        return _indexed(files[0] / _INDEX if files[0].is_dir() else files[0])
    if any(path.is_dir() for path in files):
        raise InvalidValueError("Give one folder, or files, not both.")
    if len(files) == 1:
        raise InvalidValueError(
            f"Only {files[0]} was given.", why="A fit needs pairs of flat fields, and dark frames.", fix=_HOW
        )
    if len(files) % 2:
        raise InvalidValueError(
            f"Flat fields come in pairs of equal exposure, got {len(files)} files.", fix=f"{_HOW} Dark ones by --dark."
        )
    if not dark:
        raise InvalidValueError(
            "There is no dark frame.", why="The black level and the read noise come from them.", fix=_HOW
        )
    if bit_depth is None:
        raise InvalidValueError("--bit-depth is needed: the files do not say where the converter ends.")
    pairs = list(zip(files[::2], files[1::2], strict=True))
    return _Frames(dark, pairs, bit_depth, pattern)


_HOW = "For example: blursynth camera fit 1a.png 1b.png 2a.png 2b.png --dark d1.png --dark d2.png --bit-depth 14."


def _indexed(path: Path) -> _Frames:
    if not path.exists():
        raise InvalidValueError(
            f"{path}: there is no such file.",
            fix="A folder of frames needs an index.toml; see blursynth camera fit --help.",
        )
    values = read_toml(path, error=InvalidValueError)
    dark, flat, bits = values.get("dark"), values.get("flat"), values.get("bit_depth")
    pattern = values.get("pattern")
    if isinstance(bits, bool) or not isinstance(bits, int):
        raise InvalidValueError(f"{path} bit_depth: must be an integer, got {bits!r}.")
    if pattern is not None and pattern not in _PATTERNS:
        raise InvalidValueError(f"{path} pattern: must be one of {', '.join(_PATTERNS)}, got {pattern!r}.")
    if not isinstance(dark, list) or not all(isinstance(d, str) for d in dark):
        raise InvalidValueError(f"{path} dark: must be a list of files, got {dark!r}.")
    right = isinstance(flat, list) and all(
        isinstance(f, list) and len(f) == 2 and all(isinstance(one, str) for one in f) for f in flat
    )
    if not right or not isinstance(flat, list):
        raise InvalidValueError(f"{path} flat: must be a list of pairs of files.", fix='Like [["1a.png", "1b.png"]].')
    folder = path.parent
    return _Frames([folder / d for d in dark], [(folder / a, folder / b) for a, b in flat], bits, pattern)


def _read_raw(path: Path) -> NDArray[np.uint16]:
    """Raw numbers ``[H, W]`` of a 16-bit file."""
    from blursynth.io.pictures import read_pixels

    codes = read_pixels(path)
    if codes.dtype != np.uint16:
        raise PictureError(
            f"{path}: is a picture of 8 bits, no raw frame.",
            why="A developed picture has lost the converter's numbers.",
            fix="Use raw frames as 16-bit PNG or TIFF; for developed pictures --noisy and --clean.",
        )
    if not (codes[..., 0] == codes[..., 1]).all() or not (codes[..., 0] == codes[..., 2]).all():
        raise PictureError(f"{path}: has colors, so it was demosaicked.", fix="Use the mosaic itself, in one channel.")
    return np.asarray(codes[..., 0], np.uint16)


def _fit_flats(frames: _Frames, output: Path | None, plot: Path | None, name: str) -> None:
    from blursynth.dataset import Progress
    from blursynth.physics.photon_transfer import SATURATED, fit_photon_transfer

    paths = [*frames.dark, *(path for pair in frames.flat for path in pair)]
    read: dict[Path, NDArray[np.uint16]] = {}
    with console.progress_bar("frames") as progress:
        for i, path in enumerate(paths, 1):
            read[path] = _read_raw(path)
            if read[path].shape != read[paths[0]].shape:
                height, width = read[path].shape
                raise InvalidValueError(
                    f"{path}: is {width} x {height} px, but {paths[0]} {read[paths[0]].shape[1]} x "
                    f"{read[paths[0]].shape[0]} (width x height).",
                    fix="Use frames of one camera, all of one size.",
                )
            progress(Progress("generate", i, len(paths)))
    found = fit_photon_transfer(
        [read[path] for path in frames.dark],
        [(read[a], read[b]) for a, b in frames.flat],
        bit_depth=frames.bit_depth,
        mosaic=frames.pattern,
        dark_names=[str(path) for path in frames.dark],
        flat_names=[(str(a), str(b)) for a, b in frames.flat],
    )
    rows = [
        ("gain", "DN/e-", found.gain_dn_per_e),
        ("read noise", "e-", found.read_noise_e),
        ("read noise", "DN", found.read_noise_dn),
        ("black level", "DN", found.black_level_dn),
        ("row noise", "e-", found.row_noise_e),
        ("column noise", "e-", found.column_noise_e),
        ("PRNU", "%", found.prnu.scaled(100)),
        ("DSNU", "e-", found.dsnu_e),
    ]
    reasons = ["" if p.used else p.why_not for p in found.points]
    written = []  # before anything is printed, since what reads it may stop early, as `| head` does
    if output is not None:
        camera = camera_of_transfer(found, name, frames.bit_depth, frames.pattern, len(frames.flat))
        written.append(_write_camera(output, camera))
    if plot is not None:
        x = np.array([p.signal_dn for p in found.points])
        y = np.array([p.variance_dn2 for p in found.points])
        se = np.array([p.se_dn2 for p in found.points])
        title = f"{name}: gain {found.gain_dn_per_e} DN per electron"
        written.append(_draw(plot, x, y, se, reasons, found, "DN", title))
    console.table(
        ("number", "unit", "value", "95 % interval"),
        _told(rows),
        right=("value",),
    )
    console.echo(
        f"{_fitted(reasons, 'points')}, of {console.plural(len(frames.flat), 'pair')} of flat fields; chi-squared per "
        f"degree of freedom {found.misfit:.2f}"
    )
    for i, (a, b) in enumerate(frames.flat, 1):
        why = {p.why_not for p in found.points if p.pair == i and not p.used}
        if SATURATED in why and not any(p.used for p in found.points if p.pair == i):
            console.echo(f"left out: {a} and {b}, {SATURATED}")
    if found.misfit > 2:
        console.echo(
            "That is much: the light may have flickered, or the sensor is not linear. The intervals are too narrow.",
            err=True,
        )
    if found.prnu.value > _MUCH_PRNU:
        console.echo(
            f"A PRNU of {found.prnu.value:.0%} is much: the surface was not evenly lit, or in focus, or the "
            "sensor has a pattern that was not given.",
            err=True,
        )
    for text in written:
        console.echo(text)


def _fitted(reasons: Sequence[str], what: str) -> str:
    """How many of all were fitted, and why the others were not; the reason is empty where one was."""
    left = Counter(reason for reason in reasons if reason)
    text = f"{len(reasons) - left.total()} of {len(reasons)} {what} fitted"
    return text + (f" (not: {', '.join(f'{n} {reason}' for reason, n in left.items())})" if left else "")


def _told(rows: Sequence[tuple[str, str, Estimate]]) -> list[tuple[str, ...]]:
    result: list[tuple[str, ...]] = []
    for name, unit, estimate in rows:
        value, low, high = estimate.texts()
        result.append((name, unit, value, f"{low} to {high}"))
    return result


def camera_of_transfer(
    found: PhotonTransfer, name: str, bit_depth: int, pattern: str | None, pairs: int
) -> SensorProfile:
    """A camera of one setting from what photon transfer found."""
    from blursynth.cameras.profile import SensorProfile

    black = max(round(found.black_level_dn.value), 0)
    gain = found.gain_dn_per_e
    values: dict[str, Any] = {
        "name": name,
        "summary": f"One setting, fitted to flat fields by photon transfer: {gain.value:.4g} DN per electron",
        "source": f"blursynth camera fit, {pairs} pairs of flat fields. 95 % intervals: gain {gain} DN/e-, "
        f"read noise {found.read_noise_e} e-, black level {found.black_level_dn} DN",
        "bit_depth": bit_depth,
        "black_level_dn": black,
        "gain": {"fixed": _digits(found.gain_dn_per_e.value)},
        "read_noise": {"fixed": _digits(found.read_noise_e.value), "unit": "e"},
    }
    # What cannot be told from nothing is left out.
    if found.row_noise_e.low > 0:
        values["row_noise"] = {"fixed": _digits(found.row_noise_e.value), "unit": "e"}
    if found.column_noise_e.low > 0:
        values["column_noise"] = {"fixed": _digits(found.column_noise_e.value), "unit": "e"}
    if found.prnu.low > 0:
        values["prnu"] = _digits(min(found.prnu.value, 0.2))
    if found.dsnu_e.low > 0:
        values["dsnu_e"] = _digits(found.dsnu_e.value)
    if found.saturation_dn < 2**bit_depth - 1:
        values["full_well_e"] = _digits((found.saturation_dn - black) / found.gain_dn_per_e.value)
    if pattern is not None:
        values["pattern"] = pattern
        offsets = [_digits(one.value - black) for one in found.black_of_plane_dn]
        values["level"] = [{"gain_dn_per_e": _digits(found.gain_dn_per_e.value), "offset_dn": [offsets]}]
    return SensorProfile.from_dict(values)


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _write_camera(path: Path, camera: SensorProfile) -> str:
    """What to say about it, once the rest is said."""
    try:
        path.write_text(camera.to_toml(), "utf-8")
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror}).", fix="Choose another place.") from None
    return (
        f"{path}: written; in the sensor step of a recipe beside it write\n"
        f'  camera = "{path.name}"\n'
        f"  gain_dn_per_e = {camera.gain_range_dn_per_e[0]:.9g}  # the fitted setting, in place of an iso"
    )


def _fit_pair(
    noisy: Path,
    clean: Path,
    bit_depth: int | None,
    pattern: str | None,
    black_level: float | None,
    output: Path | None,
    plot: Path | None,
    name: str,
) -> None:
    from blursynth.io.pictures import read_pixels
    from blursynth.physics.photon_transfer import fit_noisy_clean

    depths = [read_pixels(path).dtype for path in (noisy, clean)]
    if depths[0] != depths[1]:
        raise InvalidValueError(f"{noisy} and {clean} have different bit depths.", fix="Use two files of one kind.")
    raw = depths[0] == np.uint16
    if raw:
        if bit_depth is None or black_level is None:
            raise InvalidValueError(
                "--bit-depth and --black-level are needed for raw pictures.",
                why="A noisy and a clean picture do not tell them.",
            )
        white = float(2**bit_depth - 1)
        first, second = (np.asarray(_read_raw(path), np.float64) for path in (noisy, clean))
        found = fit_noisy_clean(first, second, black=black_level, white=white, rounding_variance=1 / 12)
        unit, gain_unit, noise_unit = "DN", "DN/e-", "DN"
    else:
        if bit_depth is not None or black_level is not None or pattern is not None:
            raise InvalidValueError(
                "--bit-depth, --black-level and --pattern are for raw pictures; these are developed, of 8 bits."
            )
        first, second, rounding = _developed(noisy, clean)
        found = fit_noisy_clean(first, second, black=0.0, white=1.0, rounding_variance=rounding)
        unit, gain_unit, noise_unit = "white", "per e-", "of white"
    if not found.gain.value > 0:
        raise InvalidValueError(
            "The noise does not grow with the light, so there is no gain to be told.",
            fix="The noisy picture may be denoised, or the two may not show the same scene.",
        )
    read_e = found.read_noise.scaled(1 / found.gain.value)
    rows = [
        ("gain" if raw else "apparent gain", gain_unit, found.gain),
        ("read noise" if raw else "apparent read noise", noise_unit, found.read_noise),
        ("read noise" if raw else "apparent read noise", "e-", read_e),
    ]
    written = []
    if output is not None:
        written.append(_write_camera(output, _camera_of_line(found, name, raw, bit_depth, black_level, pattern)))
    if plot is not None:
        title = f"{name}: gain {found.gain} {gain_unit}"
        written.append(_draw(plot, found.signal, found.variance, found.se, found.why_not, found, unit, title))
    console.table(
        ("number", "unit", "value", "95 % interval"),
        _told(rows),
        right=("value",),
    )
    console.echo(_fitted(found.why_not, "levels of brightness"))
    console.echo(
        "Noise left in the clean picture adds to it; rows and pixels are not told apart."
        if raw
        else "Developed pictures, taken as sRGB: demosaicking and denoising have changed the noise and made neighbors "
        f"alike. Green looks like {1 / found.gain.value:,.0f} electrons at white without a mosaic."
    )
    for text in written:
        console.echo(text)


def _developed(noisy: Path, clean: Path) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Green of both in linear light, and what rounding to 8 bits adds to the variance of each pixel.

    Red and blue have been amplified by a white balance that is not known, so their noise is on other lines.
    """
    from blursynth.io.pictures import read_pixels
    from blursynth.physics.color import srgb_to_linear

    pictures = [np.asarray(read_pixels(path)[..., 1], np.float64) / 255 for path in (noisy, clean)]
    if pictures[0].shape != pictures[1].shape:
        sizes = " and ".join(f"{p.shape[1]} x {p.shape[0]}" for p in pictures)
        raise InvalidValueError(f"The noisy and the clean picture must have one size, got {sizes} px (width x height).")
    up, down = (np.clip(pictures[1] + step / 510, 0, 1) for step in (1, -1))
    steps = srgb_to_linear(up) - srgb_to_linear(down)
    return srgb_to_linear(pictures[0]), srgb_to_linear(pictures[1]), steps**2 / 12


def _camera_of_line(
    found: NoiseLine, name: str, raw: bool, bit_depth: int | None, black_level: float | None, pattern: str | None
) -> SensorProfile:
    from blursynth.cameras.profile import SensorProfile

    values: dict[str, Any] = {
        "name": name,
        "summary": "One setting, fitted to a noisy and a clean picture"
        + ("" if raw else ": the apparent noise of developed pictures, without a mosaic"),
        "source": f"blursynth camera fit. 95 % intervals: gain {found.gain}, read noise {found.read_noise}",
        "bit_depth": bit_depth if raw else 16,
        "black_level_dn": round(black_level or 0) if raw else 8192,
        "gain": {"fixed": _digits(found.gain.value), **({} if raw else {"unit": "white"})},
        "read_noise": {"fixed": _digits(found.read_noise.value), "unit": "dn" if raw else "white"},
    }
    if pattern is not None:
        values["pattern"] = pattern
    return SensorProfile.from_dict(values)


def _draw(
    path: Path,
    signal: NDArray[np.float64],
    variance: NDArray[np.float64],
    se: NDArray[np.float64],
    why_not: Sequence[str],
    found: PhotonTransfer | NoiseLine,
    unit: str,
    title: str,
) -> str:
    """The photon transfer curve with its fit and band, and below it what is left; what to say about it."""
    require("matplotlib", extra="plot", purpose="--plot")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6.5), layout="constrained")
    curve, rest = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    x = np.linspace(0, max(float(signal.max()), 1e-12) * 1.02, 400)
    line, half = found.line(x)
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
    curve.set_title(title, fontsize=10)
    curve.legend(fontsize=8)
    expected, width = found.line(signal[used])
    rest.axhline(0, color="tab:orange")
    order = np.argsort(signal[used])
    band = 100 * (width / expected)[order]
    rest.fill_between(signal[used][order], -band, band, color="tab:orange", alpha=0.35)
    rest.errorbar(
        signal[used], 100 * (variance[used] / expected - 1), 196 * se[used] / expected,
        fmt="o", ms=4, lw=1, color="tab:blue",
    )  # fmt: skip
    rest.set_ylabel("off the fit in %")
    rest.set_xlabel(f"mean above black in {unit}")
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise PictureError(f"{path}: cannot be written ({error.strerror}).") from None
    return f"{path}: written"
