"""Calibration: the profile of a sensor at one setting, from its pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.cameras.profile import Pattern, SensorProfile
from blursynth.errors import Argument, InvalidValueError, PictureError
from blursynth.io.folders import expanded
from blursynth.io.pictures import read_pixels
from blursynth.physics.color import srgb_to_linear
from blursynth.physics.photon_transfer import (
    SATURATED,
    Estimate,
    NoiseLine,
    PhotonTransfer,
    fit_noisy_clean,
    fit_photon_transfer,
)
from blursynth.records.kind import Record
from blursynth.records.toml import read_toml

__all__ = ["PATTERNS", "Calibration", "FlatFields", "Measured", "calibrate_from_flats", "calibrate_from_pair"]

PATTERNS: tuple[str, ...] = get_args(Pattern)
INDEX = "index.toml"

_MUCH_PRNU = 0.1  # sensors have 0.2 to 2 %
_MUCH_MISFIT = 2.0


class _Index(Record):
    """What an index of frames says of them; other tables are notes."""

    bit_depth: int = Field(description="number of bits of the converter")
    dark: tuple[str, ...] = Field(description="list of dark frames, as files")
    flat: tuple[tuple[str, str], ...] = Field(
        description='list of pairs of flat fields, such as [["1a.png", "1b.png"]]'
    )
    pattern: Pattern | None = Field(default=None, description="Bayer pattern")


@dataclass(frozen=True)
class FlatFields:
    """Frames for a calibration by photon transfer: raw values in 16-bit files, including black level, not developed.

    Parameters
    ----------
    dark
        Dark frames, at least two.
    flat
        Pairs of flat fields with equal exposure within each pair; at least two pairs.
    bit_depth
        Bits of the converter.
    pattern
        Bayer pattern, such as ``"RGGB"``; None if all pixels are alike.
    """

    dark: tuple[Path, ...]
    flat: tuple[tuple[Path, Path], ...]
    bit_depth: int
    pattern: str | None = None

    @classmethod
    def from_index(cls, path: str | Path) -> FlatFields:
        """Read the frames listed in the ``index.toml`` of a folder: ``bit_depth``, ``pattern``, ``dark`` and ``flat``.

        Raises
        ------
        InvalidValueError
            There is no such file, or its content is invalid.
        """
        path = expanded(path)
        path = path / INDEX if path.is_dir() else path
        if not path.exists():
            raise InvalidValueError(
                f"{path}: there is no such file.", fix=f"A folder of frames needs an {INDEX} that says what they are."
            )
        values = read_toml(path, error=InvalidValueError)
        try:
            index = _Index(**{name: values[name] for name in _Index.model_fields if name in values})
        except InvalidValueError as error:
            raise error.at(str(path)) from None
        folder = path.parent
        flat = tuple((folder / a, folder / b) for a, b in index.flat)
        return cls(tuple(folder / dark for dark in index.dark), flat, index.bit_depth, index.pattern)


@dataclass(frozen=True)
class Measured:
    """A parameter of the sensor with its 95 % interval."""

    name: str
    unit: str
    estimate: Estimate


@dataclass(frozen=True, eq=False)
class Calibration:
    """Result of a calibration at one setting.

    Parameters
    ----------
    profile
        For the ``sensor`` step of a recipe; ``profile.to_toml()`` is a camera file.
    measured
        The measured parameters, the gain first.
    fit
        The line of variance against signal.
    signal, variance, se
        Points of that line: mean above black, variance and its standard error.
    why_not
        For each point, the reason why it was not fitted; empty if it was.
    unit
        Unit of the signal.
    notes, warnings
        Remarks about the fit, and reasons to doubt it.
    """

    profile: SensorProfile
    measured: tuple[Measured, ...]
    fit: PhotonTransfer | NoiseLine
    signal: NDArray[np.float64]
    variance: NDArray[np.float64]
    se: NDArray[np.float64]
    why_not: tuple[str, ...]
    unit: str
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def calibrate_from_flats(
    frames: FlatFields, *, name: str = "fitted camera", on_frame: Callable[[int, int], None] | None = None
) -> Calibration:
    """Gain, read noise, black level and more by photon transfer (EMVA 1288).

    See :func:`blursynth.physics.photon_transfer.fit_photon_transfer` for what is fitted.

    Parameters
    ----------
    frames
        Dark frames and pairs of flat fields of one setting.
    name
        Name of the camera.
    on_frame
        Called after each frame is read, with the number of frames read and the total.

    Raises
    ------
    PictureError
        A file is not a raw frame, or cannot be read.
    InvalidValueError
        Frames differ in size, are saturated, are not pairs, or do not determine a gain.
    """
    pairs = [path for pair in frames.flat for path in pair]
    paths = [*frames.dark, *pairs]
    raw: dict[Path, NDArray[np.uint16]] = {}
    for number, path in enumerate(paths, 1):
        raw[path] = _raw(path, read_pixels(path))
        if raw[path].shape != raw[paths[0]].shape:
            raise InvalidValueError(
                f"{path}: is {_size(raw[path])} px, but {paths[0]} {_size(raw[paths[0]])} (width x height).",
                fix="Use frames of one camera, all of one size.",
            )
        if on_frame is not None:
            on_frame(number, len(paths))
    found = fit_photon_transfer(
        [raw[path] for path in frames.dark],
        [(raw[a], raw[b]) for a, b in frames.flat],
        bit_depth=frames.bit_depth,
        mosaic=frames.pattern,
        dark_names=[str(path) for path in frames.dark],
        flat_names=[(str(a), str(b)) for a, b in frames.flat],
    )
    why_not = tuple("" if p.used else p.why_not for p in found.points)
    count = f"{len(frames.flat)} pair{'' if len(frames.flat) == 1 else 's'}"
    notes = [
        f"{_fitted(why_not, 'points')}, of {count} of flat fields; chi-squared per degree of freedom {found.misfit:.2f}"
    ]
    for i, (a, b) in enumerate(frames.flat, 1):
        if all(not p.used for p in found.points if p.pair == i) and any(
            p.why_not == SATURATED for p in found.points if p.pair == i
        ):
            notes.append(f"left out: {a} and {b}, {SATURATED}")
    warnings = []
    if found.misfit > _MUCH_MISFIT:
        warnings.append(
            "That is large: the light may have flickered, or the sensor is not linear. The intervals are too narrow."
        )
    if found.prnu.value > _MUCH_PRNU:
        warnings.append(
            f"A PRNU of {found.prnu.value:.0%} is large: the surface was not evenly lit, or in focus, or the "
            "sensor has a pattern that was not given."
        )
    return Calibration(
        profile=_profile_of_transfer(found, name, frames),
        measured=(
            Measured("gain", "DN/e-", found.gain_dn_per_e),
            Measured("read noise", "e-", found.read_noise_e),
            Measured("read noise", "DN", found.read_noise_dn),
            Measured("black level", "DN", found.black_level_dn),
            Measured("row noise", "e-", found.row_noise_e),
            Measured("column noise", "e-", found.column_noise_e),
            Measured("PRNU", "%", found.prnu.scaled(100)),
            Measured("DSNU", "e-", found.dsnu_e),
        ),
        fit=found,
        signal=np.array([p.signal_dn for p in found.points]),
        variance=np.array([p.variance_dn2 for p in found.points]),
        se=np.array([p.se_dn2 for p in found.points]),
        why_not=why_not,
        unit="DN",
        notes=tuple(notes),
        warnings=tuple(warnings),
    )


def calibrate_from_pair(
    noisy: str | Path,
    clean: str | Path,
    *,
    bit_depth: int | None = None,
    black_level_dn: float | None = None,
    pattern: str | None = None,
    name: str = "fitted camera",
) -> Calibration:
    """Gain and read noise from a noisy picture and the clean one of the same scene.

    Raw pictures (16 bits) give those of the sensor. Developed ones (8 bits, read as sRGB) give only an apparent noise
    of green in linear light, since demosaicking and denoising changed the noise and correlated neighboring pixels.

    Parameters
    ----------
    noisy, clean
        Two files of one size and kind.
    bit_depth, black_level_dn
        Parameters of raw pictures, which do not contain them.
    pattern
        Bayer pattern of raw pictures.
    name
        What the camera is called.

    Raises
    ------
    PictureError
        A file cannot be read, or is not a raw frame.
    InvalidValueError
        The two pictures do not match, or their noise does not grow with the light.
    """
    noisy, clean = expanded(noisy), expanded(clean)
    codes = read_pixels(noisy), read_pixels(clean)
    if codes[0].dtype != codes[1].dtype:
        raise InvalidValueError(f"{noisy} and {clean} have different bit depths.", fix="Use two files of one kind.")
    raw = codes[0].dtype == np.uint16
    if raw:
        if bit_depth is None or black_level_dn is None:
            raise InvalidValueError(
                (Argument("bit_depth"), " and ", Argument("black_level_dn"), " are needed for raw pictures."),
                why="A noisy and a clean picture do not determine them.",
            )
        first, second = (np.asarray(_raw(path, c), np.float64) for path, c in zip((noisy, clean), codes, strict=True))
        black, white = black_level_dn, float(2**bit_depth - 1)
        rounding: float | NDArray[np.float64] = 1 / 12
    else:
        if bit_depth is not None or black_level_dn is not None or pattern is not None:
            options = Argument("bit_depth"), ", ", Argument("black_level_dn"), " and ", Argument("pattern")
            raise InvalidValueError((*options, " are for raw pictures; these are developed, of 8 bits."))
        first, second, rounding = _developed(*codes)
        black, white = 0.0, 1.0
    found = fit_noisy_clean(first, second, black=black, white=white, rounding_variance=rounding)
    if not found.gain.value > 0:
        raise InvalidValueError(
            "The noise does not grow with the light, so the gain cannot be determined.",
            fix="The noisy picture may be denoised, or the two may not show the same scene.",
        )
    remark = (
        "Noise left in the clean picture adds to it; row noise and pixel noise are not separated."
        if raw
        else "Developed pictures, taken as sRGB: demosaicking and denoising have changed the noise and made neighbors "
        f"alike. Green looks like {1 / found.gain.value:,.0f} electrons at white without a mosaic."
    )
    kind = "" if raw else "apparent "
    return Calibration(
        profile=_profile_of_line(found, name, raw, bit_depth, black_level_dn, pattern),
        measured=(
            Measured(f"{kind}gain", "DN/e-" if raw else "per e-", found.gain),
            Measured(f"{kind}read noise", "DN" if raw else "of white", found.read_noise),
            Measured(f"{kind}read noise", "e-", found.read_noise.scaled(1 / found.gain.value)),
        ),
        fit=found,
        signal=found.signal,
        variance=found.variance,
        se=found.se,
        why_not=found.why_not,
        unit="DN" if raw else "white",
        notes=(_fitted(found.why_not, "levels of brightness"), remark),
    )


def _raw(path: Path, codes: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Raw numbers ``[H, W]`` of a 16-bit file."""
    if codes.dtype != np.uint16:
        raise PictureError(
            f"{path}: is an 8-bit picture, not a raw frame.",
            why="A developed picture has lost the values of the converter.",
            fix="Use raw frames as 16-bit PNG or TIFF; developed pictures only work as a noisy and a clean picture.",
        )
    if not (codes[..., 0] == codes[..., 1]).all() or not (codes[..., 0] == codes[..., 2]).all():
        raise PictureError(f"{path}: has colors, so it was demosaicked.", fix="Use the mosaic itself, in one channel.")
    return np.asarray(codes[..., 0], np.uint16)


def _size(picture: NDArray[Any]) -> str:
    return f"{picture.shape[1]} x {picture.shape[0]}"


def _developed(
    noisy: NDArray[Any], clean: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Green of both in linear light, and what rounding to 8 bits adds to the variance of each pixel.

    Red and blue were amplified by an unknown white balance, so their noise follows other lines.
    """
    pictures = [np.asarray(codes[..., 1], np.float64) / 255 for codes in (noisy, clean)]
    if pictures[0].shape != pictures[1].shape:
        sizes = " and ".join(map(_size, pictures))
        raise InvalidValueError(f"The noisy and the clean picture must have one size, got {sizes} px (width x height).")
    up, down = (np.clip(pictures[1] + step / 510, 0, 1) for step in (1, -1))
    steps = srgb_to_linear(up) - srgb_to_linear(down)
    return srgb_to_linear(pictures[0]), srgb_to_linear(pictures[1]), steps**2 / 12


def _fitted(why_not: Sequence[str], what: str) -> str:
    """How many of all were fitted, and why the others were not; the reason is empty where one was."""
    left = Counter(reason for reason in why_not if reason)
    text = f"{len(why_not) - left.total()} of {len(why_not)} {what} fitted"
    return text + (f" (not: {', '.join(f'{n} {reason}' for reason, n in left.items())})" if left else "")


def _profile_of_transfer(found: PhotonTransfer, name: str, frames: FlatFields) -> SensorProfile:
    black = max(round(found.black_level_dn.value), 0)
    gain = found.gain_dn_per_e
    values: dict[str, Any] = {
        "name": name,
        "summary": f"One setting, fitted to flat fields by photon transfer: {gain.value:.4g} DN per electron",
        "source": f"blursynth camera fit, {len(frames.flat)} pairs of flat fields. 95 % intervals: gain {gain} DN/e-, "
        f"read noise {found.read_noise_e} e-, black level {found.black_level_dn} DN",
        "bit_depth": frames.bit_depth,
        "black_level_dn": black,
        "gain": {"fixed": _digits(gain.value)},
        "read_noise": {"fixed": _digits(found.read_noise_e.value), "unit": "e"},
    }
    # A parameter that does not differ from zero significantly is left out.
    for noise, estimate in (("row_noise", found.row_noise_e), ("column_noise", found.column_noise_e)):
        if estimate.low > 0:
            values[noise] = {"fixed": _digits(estimate.value), "unit": "e"}
    if found.prnu.low > 0:
        values["prnu"] = _digits(min(found.prnu.value, 0.2))
    if found.dsnu_e.low > 0:
        values["dsnu_e"] = _digits(found.dsnu_e.value)
    if found.saturation_dn < 2**frames.bit_depth - 1:
        values["full_well_e"] = _digits((found.saturation_dn - black) / gain.value)
    if frames.pattern is not None:
        values["pattern"] = frames.pattern
        offsets = [_digits(one.value - black) for one in found.black_of_plane_dn]
        values["level"] = [{"gain_dn_per_e": _digits(gain.value), "offset_dn": [offsets]}]
    return SensorProfile.from_dict(values)


def _profile_of_line(
    found: NoiseLine,
    name: str,
    raw: bool,
    bit_depth: int | None,
    black_level_dn: float | None,
    pattern: str | None,
) -> SensorProfile:
    values: dict[str, Any] = {
        "name": name,
        "summary": "One setting, fitted to a noisy and a clean picture"
        + ("" if raw else ": the apparent noise of developed pictures, without a mosaic"),
        "source": f"blursynth camera fit. 95 % intervals: gain {found.gain}, read noise {found.read_noise}",
        "bit_depth": bit_depth if raw else 16,
        "black_level_dn": round(black_level_dn or 0) if raw else 8192,
        "gain": {"fixed": _digits(found.gain.value), **({} if raw else {"unit": "white"})},
        "read_noise": {"fixed": _digits(found.read_noise.value), "unit": "dn" if raw else "white"},
    }
    if pattern is not None:
        values["pattern"] = pattern
    return SensorProfile.from_dict(values)


def _digits(value: float) -> float:
    return float(f"{value:.6g}")
