"""Calibrated cameras: TOML files with the distributions of gain, read noise, black level and colors of a real camera.

A profile is not a sensor but a distribution of sensors: at a gain K, the read noise follows from K by a measured law
with scatter, and so do row noise, the shape of the tails and the black level offset of each color. A draw is a complete
set of plain parameters of :class:`blursynth.kinds.Sensor`, in electrons.

Units. Published tables differ, so every law states its unit: ``unit`` is ``dn`` (after the gain, as in the tables of
ELD), ``white`` (a share of the range from black to the top code, as in "Unprocessing Images" and RSBlur) or ``e``
(electrons); ``of`` is ``sd`` or ``variance``. ``tukey_lambda`` gives the *scale* of a Tukey-lambda distribution, which
is not its standard deviation: that is the scale times :func:`blursynth.physics.radiometry.tukey_lambda_sd`.

Not modeled: conversion gains that switch, noise that differs between colors, dark current by temperature.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, field_validator

from blursynth.errors import InvalidValueError
from blursynth.physics.radiometry import TUKEY_SHAPES, tukey_lambda_sd
from blursynth.records.kind import Record
from blursynth.records.streams import Stream
from blursynth.records.toml import TomlFiles

__all__ = [
    "GainLaw",
    "MeasuredLevel",
    "NoiseLaw",
    "ProfileColor",
    "SensorProfile",
    "load_sensor_profile",
    "rounded",
    "sensor_profile_names",
]

T = TypeVar("T")

Range = tuple[float, float]
Pattern = Literal["RGGB", "BGGR", "GRBG", "GBRG"]
NoiseModel = Literal["tukey_lambda", "gaussian"]

# Linear sRGB to XYZ with the white of D65 (IEC 61966-2-1), as "Unprocessing Images" has it.
_XYZ_FROM_SRGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)

# What a recipe may ask for lies within the calibrated range up to rounding.
_SLACK = 1e-6

_LARGEST_WELL_E = 1e7


def rounded(value: float) -> float:
    """A value with nine significant digits, the same on every platform."""
    return float(f"{value:.9g}")


def _one_of(record: Record, names: Sequence[str], what: str) -> None:
    given = [name for name in names if getattr(record, name) is not None]
    if len(given) != 1:
        raise ValueError(f"{what} needs exactly one of {', '.join(names)}, got {', '.join(given) or 'none of them'}.")


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if not value[0] <= value[1]:
        raise InvalidValueError(f"must be [low, high] with low <= high, got {list(value)}.")
    return value


_Positive = Annotated[float, Field(gt=0)]
_NotNegative = Annotated[float, Field(ge=0)]
_PositiveRange = Annotated[tuple[_Positive, _Positive], AfterValidator(_ascending)]
_NotNegativeRange = Annotated[tuple[_NotNegative, _NotNegative], AfterValidator(_ascending)]


def _picked(values: Sequence[T], stream: Stream) -> T:
    return values[min(int(stream.uniform() * len(values)), len(values) - 1)]


def _least(polynomial: Sequence[float], ends: Range) -> tuple[float, float]:
    """The smallest value of a polynomial between two ends, and where: at an end, or where its slope is 0."""
    turns = np.roots(np.polyder(np.asarray(polynomial, np.float64)))
    places = [
        *ends,
        *(float(t.real) for t in turns if abs(t.imag) < 1e-9 * (1 + abs(t)) and ends[0] < t.real < ends[1]),
    ]
    return min((float(np.polyval(polynomial, place)), place) for place in places)


class GainLaw(Record):
    """The gain K in DN per electron: a line in ISO, a range, or one number.

    ``K = per_iso ISO + at_zero``; or drawn from ``log_uniform`` or ``uniform``; or ``fixed``. A camera with a line may
    also have a range, from which the gain is drawn if neither an ISO nor a gain is given; without a range, ISO is
    log-uniform in ``iso``.
    """

    fixed: float | None = Field(default=None, gt=0, description="the gain of the only setting")
    uniform: _PositiveRange | None = Field(default=None, description="range that gains are spread in evenly")
    log_uniform: _PositiveRange | None = Field(
        default=None, description="range that logarithms of gains are spread in evenly"
    )
    per_iso: float | None = Field(default=None, gt=0, description="slope of the gain against ISO")
    at_zero: float = Field(default=0.0, ge=0, description="gain of the line at ISO 0")
    iso: _PositiveRange | None = Field(default=None, description="ISO settings that the line holds for")
    unit: Literal["dn", "white"] = Field(
        default="dn", description="DN per electron, or the share of black to top code per electron"
    )

    def model_post_init(self, context: object) -> None:
        if self.per_iso is None:
            _one_of(self, ("fixed", "uniform", "log_uniform", "per_iso"), "A gain")
            if self.iso is not None or self.at_zero:
                raise ValueError("iso and at_zero belong to a line: also give per_iso.")
        else:
            if self.iso is None:
                raise ValueError("A line in ISO needs iso = [lowest, highest]: where it was measured.")
            if self.fixed is not None or (self.uniform is not None and self.log_uniform is not None):
                raise ValueError("A line in ISO may have only one range, uniform or log_uniform.")

    def at_iso(self, iso: float) -> float:
        """The gain at an ISO setting, in the law's unit; only with a line."""
        assert self.per_iso is not None
        return self.per_iso * iso + self.at_zero

    @property
    def ends(self) -> Range:
        """The lowest and the highest gain of the camera, in the law's unit."""
        if self.iso is not None:
            return self.at_iso(self.iso[0]), self.at_iso(self.iso[1])
        if self.fixed is not None:
            return self.fixed, self.fixed
        found = self.uniform or self.log_uniform
        assert found is not None
        return found

    def draw(self, stream: Stream) -> float:
        """A gain in the law's unit."""
        if self.fixed is not None:
            return self.fixed
        if self.uniform is not None:
            return self.uniform[0] + (self.uniform[1] - self.uniform[0]) * stream.uniform()
        low, high = self.log_uniform or self.iso or (1.0, 1.0)
        drawn = low * (high / low) ** stream.uniform()
        return drawn if self.log_uniform is not None else self.at_iso(drawn)


class NoiseLaw(Record):
    """Noise at the gain K: ``ln y = slope ln K + bias + N(0, sd)``; a polynomial of ISO; a range; or one number.

    y is a standard deviation, or a variance where ``of = "variance"``, in ``unit``. K of the first law is in DN per
    electron, or, where ``unit = "white"``, in the share of white per electron.
    """

    fixed: float | None = Field(default=None, ge=0, description="the same at every gain")
    uniform: _NotNegativeRange | None = Field(default=None, description="range that it is spread in evenly")
    iso_polynomial: tuple[float, ...] | None = Field(
        default=None, description="coefficients of a polynomial of ISO, of the highest power first"
    )
    slope: float | None = Field(default=None, description="of its logarithm against that of the gain")
    bias: float = Field(default=0.0, description="its logarithm at a gain of 1")
    sd: float = Field(default=0.0, ge=0, description="standard deviation of its logarithm around the line")
    of: Literal["sd", "variance"] = Field(default="sd", description="what the numbers are")
    unit: Literal["dn", "white", "e"] = Field(default="dn", description="DN, share of white, or electrons")

    def model_post_init(self, context: object) -> None:
        _one_of(self, ("fixed", "uniform", "iso_polynomial", "slope"), "Noise")
        if self.slope is None and (self.bias or self.sd):
            raise ValueError("bias and sd belong to a line: also give slope.")
        if self.iso_polynomial is not None and not self.iso_polynomial:
            raise ValueError("iso_polynomial needs coefficients, got none.")

    def draw_e(self, stream: Stream, gain_dn_per_e: float, levels_dn: float, iso: float | None) -> float:
        """A standard deviation in electrons.

        Parameters
        ----------
        stream
            For the scatter.
        gain_dn_per_e
            The gain K.
        levels_dn
            From the black level to the top code.
        iso
            The setting; needed by a polynomial.
        """
        if self.fixed is not None:
            drawn = self.fixed
        elif self.uniform is not None:
            drawn = self.uniform[0] + (self.uniform[1] - self.uniform[0]) * stream.uniform()
        elif self.iso_polynomial is not None:
            if iso is None:
                raise InvalidValueError("A polynomial of ISO needs an ISO, but the camera's gain is not linear in ISO.")
            drawn = max(float(np.polyval(self.iso_polynomial, iso)), 0.0)
        else:
            assert self.slope is not None
            gain = gain_dn_per_e / levels_dn if self.unit == "white" else gain_dn_per_e
            scatter = self.sd * NormalDist().inv_cdf(stream.uniform()) if self.sd else 0.0
            drawn = math.exp(self.slope * math.log(gain) + self.bias + scatter)
        if self.of == "variance":
            drawn = math.sqrt(max(drawn, 0.0))
        return drawn * {"dn": 1.0 / gain_dn_per_e, "white": levels_dn / gain_dn_per_e, "e": 1.0}[self.unit]


class MeasuredLevel(Record):
    """Measurements at one gain: a draw takes one entry of each list of the level nearest to its gain."""

    gain_dn_per_e: float = Field(gt=0, description="the gain that it was measured at")
    shape: tuple[Annotated[float, Field(ge=TUKEY_SHAPES[0], le=TUKEY_SHAPES[1])], ...] = Field(
        default=(), description="shapes lambda of Tukey-lambda noise, one per dark frame"
    )
    offset_dn: tuple[tuple[float, float, float, float], ...] = Field(
        default=(),
        description="black level offset in DN for red, green beside red, green beside blue, and blue",
    )


class ProfileColor(Record):
    """White balance and color matrix of a camera."""

    red_gain: _PositiveRange = Field(default=(1.0, 1.0), description="range of the white balance that raw red needs")
    blue_gain: _PositiveRange = Field(default=(1.0, 1.0), description="range of the white balance that raw blue needs")
    xyz_to_camera: tuple[tuple[float, ...], ...] = Field(
        default=(),
        description="matrices from XYZ to the camera's colors, row by row; a draw mixes them with random weights",
    )

    def model_post_init(self, context: object) -> None:
        for matrix in self.xyz_to_camera:
            if len(matrix) != 9:
                raise ValueError(f"A matrix of xyz_to_camera has 9 numbers, got {len(matrix)}.")
            camera = np.reshape(matrix, (3, 3)) @ _XYZ_FROM_SRGB
            if abs(np.linalg.det(camera)) < 1e-6 or (camera.sum(axis=1) <= 0).any():
                raise ValueError(f"xyz_to_camera must have an inverse and positive grays, got {list(matrix)}.")

    def srgb_from_camera(self, weights: Sequence[float]) -> NDArray[np.float64]:
        """``[3, 3]`` from white-balanced camera colors to linear sRGB, for the weighted mean of the matrices.

        Rows sum to 1, so gray stays gray.
        """
        share = np.asarray(weights, np.float64) / np.sum(weights)
        mixed = np.tensordot(share, np.array(self.xyz_to_camera).reshape(-1, 3, 3), 1)
        camera = mixed @ _XYZ_FROM_SRGB
        return np.asarray(np.linalg.inv(camera / camera.sum(axis=1, keepdims=True)))


_OFF_DIAGONAL = (
    ("red_from_green", 0, 1),
    ("red_from_blue", 0, 2),
    ("green_from_red", 1, 0),
    ("green_from_blue", 1, 2),
    ("blue_from_red", 2, 0),
    ("blue_from_green", 2, 1),
)

_NOISE_TABLES = ("read_noise", "tukey_lambda", "row_noise", "column_noise")

_OFFSETS = ("red_offset_dn", "green_red_offset_dn", "green_blue_offset_dn", "blue_offset_dn")


class SensorProfile(Record):
    """The noise and colors of a calibrated camera, with the content of its TOML file.

    Examples
    --------
    >>> camera = load_sensor_profile("pmrid")
    >>> camera.bit_depth, camera.iso_range
    (10, (100.0, 6400.0))
    """

    name: str = Field(min_length=1, description="name of the camera")
    summary: str = Field(default="", description="one-line description")
    source: str = Field(default="", description="where its parameters come from")
    license: str = Field(default="", description="license of the parameters")
    bit_depth: int = Field(ge=2, le=16, description="bits of the converter")
    black_level_dn: int = Field(ge=0, le=65535, description="code for no light")
    pattern: tuple[Pattern, ...] = Field(
        default=(), description="Bayer pattern, or several to be drawn from; none: every channel everywhere"
    )
    gain: GainLaw = Field(description="DN per electron")
    read_noise: NoiseLaw = Field(description="noise of the pixels without light, as normal noise")
    tukey_lambda: NoiseLaw | None = Field(
        default=None, description="scale of the same as Tukey-lambda noise, with the shapes of the levels"
    )
    row_noise: NoiseLaw | None = Field(default=None, description="noise that a whole row shares")
    column_noise: NoiseLaw | None = Field(default=None, description="noise that a whole column shares")
    level: tuple[MeasuredLevel, ...] = Field(default=(), description="what was measured at single gains")
    color: ProfileColor = Field(default_factory=ProfileColor, description="white balance and color matrix")
    quantum_efficiency: float | None = Field(default=None, gt=0, le=1, description="electrons per photon")
    full_well_e: float | None = Field(
        default=None, gt=0, le=_LARGEST_WELL_E, description="electrons that a pixel can hold"
    )
    prnu: float = Field(default=0.0, ge=0, le=0.2, description="relative standard deviation of the pixels' responses")
    dsnu_e: float = Field(default=0.0, ge=0, le=1e5, description="standard deviation of the pixels' dark offsets")
    dark_current_e_per_s: float = Field(default=0.0, ge=0, le=1e6, description="electrons per second without light")

    @field_validator("pattern", mode="before")
    @staticmethod
    def _patterns(value: object) -> object:
        return (value,) if isinstance(value, str) else value

    def model_post_init(self, context: object) -> None:
        if self.black_level_dn >= self.top_dn:
            raise ValueError(f"black_level_dn must lie below the top code {self.top_dn}, got {self.black_level_dn}.")
        if self.tukey_lambda is not None and not any(level.shape for level in self.level):
            raise ValueError("tukey_lambda needs shapes: give [[level]] tables with shape = [...].")
        for table in _NOISE_TABLES:
            law: NoiseLaw | None = getattr(self, table)
            if law is None or law.iso_polynomial is None:
                continue
            if self.gain.iso is None:
                raise ValueError("iso_polynomial needs a gain with a line in ISO: give [gain] per_iso and iso.")
            least, iso = _least(law.iso_polynomial, self.gain.iso)
            # A curve that touches 0 does so up to the rounding of its terms.
            if least < -1e-12 * np.polyval(np.abs(law.iso_polynomial), iso):
                what = "variance" if law.of == "variance" else "standard deviation"
                raise InvalidValueError(
                    f"iso_polynomial gives a {what} of {least:.4g} at ISO {iso:g}.",
                    why=f"It must be >= 0 from ISO {self.gain.iso[0]:g} to {self.gain.iso[1]:g}, the range of "
                    "[gain] iso.",
                    fix="Check the signs and the order, the highest power first; or narrow iso.",
                    place=f"[{table}]",
                    field="iso_polynomial",
                    value=law.iso_polynomial,
                )

    # Ranges

    @property
    def top_dn(self) -> int:
        """The highest code."""
        return int(2**self.bit_depth - 1)

    @property
    def levels_dn(self) -> int:
        """From the black level to the top code."""
        return int(self.top_dn - self.black_level_dn)

    @property
    def iso_range(self) -> Range | None:
        """ISO settings of the line; None where the camera has no line in ISO."""
        return None if self.gain.iso is None else (float(self.gain.iso[0]), float(self.gain.iso[1]))

    @property
    def gain_range_dn_per_e(self) -> Range:
        """The lowest and the highest gain."""
        low, high = self.gain.ends
        return rounded(low * self._gain_scale), rounded(high * self._gain_scale)

    @property
    def _gain_scale(self) -> float:
        """DN per electron of a gain of 1 in the unit of its law."""
        return self.levels_dn if self.gain.unit == "white" else 1.0

    @property
    def noise_models(self) -> tuple[NoiseModel, ...]:
        """The read noise models of the camera, the better one first."""
        return ("gaussian",) if self.tukey_lambda is None else ("tukey_lambda", "gaussian")

    def check_iso(self, iso: object) -> None:
        """Refuse an ISO that the camera was not calibrated for."""
        if self.iso_range is None:
            raise InvalidValueError(
                f"iso: camera {self.name!r} has no line in ISO, got iso = {iso!r}.",
                why="It was calibrated for gains only.",
                fix=f"Give gain_dn_per_e, from {self.gain_range_dn_per_e[0]:g} to {self.gain_range_dn_per_e[1]:g}, "
                "or neither.",
            )
        _within(f"iso of camera {self.name!r}", iso, self.iso_range)

    def check_gain(self, gain: object) -> None:
        """Refuse a gain that the camera does not have."""
        _within(f"gain_dn_per_e of camera {self.name!r}", gain, self.gain_range_dn_per_e)

    def iso_of_gain(self, gain_dn_per_e: float) -> float | None:
        """The ISO setting of a gain; None where the camera has no line in ISO."""
        if self.gain.per_iso is None:
            return None
        return float((gain_dn_per_e / self._gain_scale - self.gain.at_zero) / self.gain.per_iso)

    # Draws

    def draw(
        self,
        stream: Stream,
        *,
        iso: float | None = None,
        gain_dn_per_e: float | None = None,
        read_noise_model: NoiseModel | None = None,
    ) -> dict[str, Any]:
        """Fields of a :class:`~blursynth.kinds.Sensor`, drawn jointly, without its seed.

        Parameters
        ----------
        stream
            Stream of random numbers; every parameter uses its own child.
        iso, gain_dn_per_e
            The setting, given by one of them; by default drawn from the camera's range.
        read_noise_model
            ``tukey_lambda`` (the default if the camera has it, with the shapes of the nearest level and row noise) or
            ``gaussian``.

        Raises
        ------
        InvalidValueError
            The camera has no such ISO, gain or model, or both ISO and gain are given.
        """
        if iso is not None and gain_dn_per_e is not None:
            raise InvalidValueError("Give iso or gain_dn_per_e, not both.", why="One determines the other.")
        model = read_noise_model or self.noise_models[0]
        if model not in self.noise_models:
            raise InvalidValueError(
                f"read_noise_model must be one of {', '.join(self.noise_models)} for camera {self.name!r}, "
                f"got {model!r}."
            )
        if iso is not None:
            self.check_iso(iso)
            gain = self.gain.at_iso(iso) * self._gain_scale
        elif gain_dn_per_e is not None:
            self.check_gain(gain_dn_per_e)
            gain = float(gain_dn_per_e)
        else:
            gain = self.gain.draw(stream.child("gain")) * self._gain_scale
        gain = rounded(gain)
        iso = self.iso_of_gain(gain)

        def noise_e(name: str, law: NoiseLaw | None) -> float:
            return 0.0 if law is None else law.draw_e(stream.child(name), gain, self.levels_dn, iso)

        nearest = sorted(self.level, key=lambda level: abs(math.log(level.gain_dn_per_e / gain)))
        fields: dict[str, Any] = {"bit_depth": self.bit_depth, "black_level_dn": self.black_level_dn}
        fields["gain_dn_per_e"] = gain
        if model == "tukey_lambda":
            shape = _picked(next(level.shape for level in nearest if level.shape), stream.child("shape"))
            fields["read_noise_shape"] = float(shape)
            fields["read_noise_e"] = rounded(noise_e("read_noise", self.tukey_lambda) * tukey_lambda_sd(shape))
        else:
            fields["read_noise_e"] = rounded(noise_e("read_noise", self.read_noise))
        fields["row_noise_e"] = rounded(noise_e("row_noise", self.row_noise))
        fields["column_noise_e"] = rounded(noise_e("column_noise", self.column_noise))
        for name in ("prnu", "dsnu_e", "dark_current_e_per_s"):
            fields[name] = float(getattr(self, name))
        if nearest and nearest[0].offset_dn:
            offsets = _picked(nearest[0].offset_dn, stream.child("offset"))
            fields.update(zip(_OFFSETS, map(float, offsets), strict=True))
        if self.pattern:
            fields["mosaic"] = _picked(self.pattern, stream.child("pattern"))
        fields.update(self._colors(stream))
        # The most that the converter can represent at this gain; an unknown well is set to match its lowest gain.
        fields["white_level_e"] = min(rounded(self.levels_dn / gain), _LARGEST_WELL_E)
        largest = max(rounded(self.levels_dn / self.gain_range_dn_per_e[0]), fields["white_level_e"])
        fields["full_well_e"] = self.full_well_e or min(largest, _LARGEST_WELL_E)
        return fields

    def _colors(self, stream: Stream) -> dict[str, float]:
        fields = {}
        for name in ("red_gain", "blue_gain"):
            low, high = getattr(self.color, name)
            fields[name] = rounded(low + (high - low) * stream.child(name).uniform())
        if self.color.xyz_to_camera:
            weights = stream.child("colour_matrix")
            matrix = self.color.srgb_from_camera([weights.uniform() for _ in self.color.xyz_to_camera])
            for name, row, column in _OFF_DIAGONAL:
                fields[name] = rounded(float(matrix[row, column]))
        return fields

    # Files

    def to_dict(self, *, defaults: bool = False) -> dict[str, Any]:
        """Plain values as in the TOML file, without defaults."""
        plain = super().to_dict(defaults=defaults)
        if len(self.pattern) == 1:
            plain["pattern"] = self.pattern[0]
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, place: str = "camera") -> Self:
        """A validated profile from plain values; ``place`` is its name in messages.

        Raises
        ------
        InvalidValueError
            A field is unknown, missing or out of range; the message says in which table.
        """
        try:
            return cls(**values)
        except InvalidValueError as error:
            raise error.at(place) from None

    def to_toml(self) -> str:
        """The profile as the text of a TOML file."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())

    def sha256(self) -> str:
        """Hash of its content."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _within(what: str, value: object, ends: Range) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidValueError(f"{what} must be a number, got {value!r}.")
    if not ends[0] * (1 - _SLACK) <= value <= ends[1] * (1 + _SLACK):
        raise InvalidValueError(
            f"{what} must lie in {ends[0]:g} to {ends[1]:g}, got {value:g}.",
            why="The camera was calibrated for this range.",
        )


_FILES = TomlFiles("camera", InvalidValueError, "blursynth.cameras")


def sensor_profile_names() -> tuple[str, ...]:
    """Names of the cameras that come with the library."""
    return _FILES.names()


def load_sensor_profile(source: str | Path) -> SensorProfile:
    """Load a calibrated camera by name, or from a .toml file, which may extend another one.

    Parameters
    ----------
    source
        Name of a camera that comes with the library (:func:`sensor_profile_names`), or path of a .toml file.

    Raises
    ------
    InvalidValueError
        It does not exist, is not TOML, or has invalid content; the message says where.

    Examples
    --------
    >>> load_sensor_profile("sony-a7s2").gain_range_dn_per_e[0]
    0.09391607
    """
    tables = _FILES.read(source)
    return SensorProfile.from_dict(tables.values, place=tables.name)
