"""An image sensor: from light to electrons to digital numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation, ShortExposure, other_seed
from blursynth.errors import InvalidValueError
from blursynth.frame import Encoding, Frame, RawMetadata
from blursynth.physics.development import camera_from_srgb
from blursynth.physics.mosaic import mosaic_code
from blursynth.physics.radiometry import (
    LARGEST_PRNU,
    QUANTISATION_VARIANCE_DN2,
    TUKEY_SHAPES,
    SensorParameters,
)

__all__ = ["Sensor"]

_OFFSETS = ("red_offset_dn", "green_red_offset_dn", "green_blue_offset_dn", "blue_offset_dn")
_NUMBERS = (
    *("electrons_at_white", "full_well_e", "capacity_e", "dn_per_electron", "black_level_dn", "bit_depth", "dark_e"),
    *("read_noise_e", "read_noise_shape", "row_noise_e", "column_noise_e", "prnu", "dsnu_e", "exposures", *_OFFSETS),
)


class Sensor(Degradation):
    """Electrons and digital numbers of an image sensor (EMVA 1288, linear model), with or without a Bayer mosaic.

    ``mu = max(c, 0) white_level_e (1 + prnu n1)``, where c is the light that passes the filter of the pixel;
    ``N = min(Poisson(mu + dark_current_e_per_s exposure_s), full_well_e)``;
    ``V = N + dsnu_e n2 + n_read + n_row + n_column``;
    ``DN = clip(round(K V + black_level_dn + offset), 0, 2^bit_depth - 1)``, with the gain K in DN per electron.
    n1 and n2 belong to the pixel of the sensor ``sensor_seed`` and are the same in all of its pictures.

    Colors: the light goes through the inverse of the camera's color matrix (rows sum to 1, the diagonal follows) and
    is divided by the white balance ``red_gain``, 1, ``blue_gain``; a :class:`~blursynth.kinds.Develop` step undoes
    both. With a ``mosaic`` each pixel keeps one color, and the frame has one channel.

    The target passes through the same sensor without noise, mosaic and rounding. Its pixels also include the mean dark
    current, so it clips at the same white. The black level of the frame includes the mean dark signal, like that of
    covered pixels in a camera.

    The mean of several ``exposures`` of n times the electrons in all has ``1 / sqrt(n)`` of the noise. It is not
    rounded to whole codes: what rounding adds to the noise of one exposure is part of its read noise. The patterns n1
    and n2 do not become weaker.

    A short exposure has the same mosaic, colors and patterns. With noise 0 it has no patterns, offsets and rounding,
    either.

    The gradient of tensors is that of the mean, since counting has none. It is 0 where the mean is clipped.

    Not modeled: blooming, crosstalk, dark current that varies between pixels, telegraph noise; that the mean of
    exposures is nearer to a normal distribution, and is clipped one by one.

    Easily confused: ``white_level_e`` is the number of electrons at white in this exposure, ``full_well_e`` the number
    that a pixel can hold. An underexposed picture that is brightened has a small ``white_level_e``. ``read_noise_e`` is
    a standard deviation in electrons: published tables also give variances, or numbers after the gain.

    Source: EMVA Standard 1288; Foi et al., IEEE TIP 17(10), 2008; for Tukey-lambda and row noise Wei et al., "A
    Physics-based Noise Formation Model for Extreme Low-light Raw Denoising", CVPR 2020.
    """

    takes: ClassVar[Encoding | None] = Encoding.LINEAR
    gives: ClassVar[Encoding | None] = Encoding.RAW

    full_well_e: float = Field(
        gt=0, le=1e7, examples=[1000.0], description="electrons that a pixel can hold; 2,000 to 20,000 in phones"
    )
    white_level_e: float | None = Field(
        default=None,
        gt=0,
        le=1e7,
        description="electrons of a green pixel at linear 1.0 in this exposure; by default full_well_e",
    )
    read_noise_e: float = Field(
        default=0.0, ge=0, le=1e5, description="standard deviation of the read noise in e-; 1 to 5"
    )
    read_noise_shape: float | None = Field(
        default=None,
        ge=TUKEY_SHAPES[0],
        le=TUKEY_SHAPES[1],
        description="lambda of Tukey-lambda read noise, .14 nearly normal, less with heavier tails; by default normal",
    )
    row_noise_e: float = Field(
        default=0.0, ge=0, le=1e5, description="standard deviation of the noise shared by a row in e-"
    )
    column_noise_e: float = Field(
        default=0.0, ge=0, le=1e5, description="standard deviation of the noise shared by a column in e-"
    )
    gain_dn_per_e: float | None = Field(
        default=None,
        gt=0,
        le=1e5,
        description="gain K in DN per electron; by default white is the converter's top code",
    )
    black_level_dn: int = Field(default=64, ge=0, le=65535, description="code of no light; room for negative noise")
    bit_depth: int = Field(default=12, ge=2, le=16, description="bits of the converter; 10 to 14")
    dark_current_e_per_s: float = Field(
        default=0.0, ge=0, le=1e6, description="electrons per second without light; doubles every 6 to 8 K"
    )
    exposure_s: float = Field(default=0.01, gt=0, le=3600, description="exposure time in s, only for the dark current")
    prnu: float = Field(
        default=0.0,
        ge=0,
        le=LARGEST_PRNU,
        description="relative standard deviation of the pixels' responses; .003 to .01",
    )
    dsnu_e: float = Field(default=0.0, ge=0, le=1e5, description="standard deviation of the pixels' dark offsets in e-")
    sensor_seed: int = Field(default=0, ge=0, lt=2**63, description="seed of this sensor's PRNU and DSNU")
    mosaic: Literal["RGGB", "BGGR", "GRBG", "GBRG"] | None = Field(
        default=None,
        description="Bayer pattern at the full picture's first pixel; by default every pixel has all channels",
    )
    red_gain: float = Field(default=1.0, gt=0, le=20, description="white balance gain of raw red; 1.9 to 2.4 by day")
    blue_gain: float = Field(default=1.0, gt=0, le=20, description="white balance gain of raw blue; 1.5 to 1.9 by day")
    red_from_green: float = Field(default=0.0, ge=-3, le=3, description="color matrix: green in the red of sRGB; -.5")
    red_from_blue: float = Field(default=0.0, ge=-3, le=3, description="color matrix: blue in the red of sRGB; -.1")
    green_from_red: float = Field(default=0.0, ge=-3, le=3, description="color matrix: red in the green of sRGB; -.2")
    green_from_blue: float = Field(default=0.0, ge=-3, le=3, description="color matrix: blue in the green of sRGB; -.4")
    blue_from_red: float = Field(default=0.0, ge=-3, le=3, description="color matrix: red in the blue of sRGB; 0")
    blue_from_green: float = Field(default=0.0, ge=-3, le=3, description="color matrix: green in the blue of sRGB; -.5")
    red_offset_dn: float = Field(default=0.0, ge=-1e3, le=1e3, description="offset of the black level of red in DN")
    green_red_offset_dn: float = Field(
        default=0.0, ge=-1e3, le=1e3, description="the same of green; with a mosaic, of green in the rows with red"
    )
    green_blue_offset_dn: float = Field(
        default=0.0, ge=-1e3, le=1e3, description="the same of green in the rows with blue; only with a mosaic"
    )
    blue_offset_dn: float = Field(default=0.0, ge=-1e3, le=1e3, description="the same of blue")
    exposures: float = Field(
        default=1.0, ge=1, le=1e6, description="number of exposures of this light whose mean is the picture"
    )
    shot_noise: bool = Field(default=True, description="whether electrons are counted one by one (Poisson)")
    rounding: bool = Field(default=True, description="whether the converter rounds to whole codes")
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's noise")

    def model_post_init(self, context: object) -> None:
        if self.black_level_dn >= 2**self.bit_depth - 1:
            raise ValueError(
                f"black_level_dn must lie below the top code 2^bit_depth - 1 = {2**self.bit_depth - 1}, "
                f"got {self.black_level_dn}."
            )
        if self.dark_e >= self.capacity_e:
            raise ValueError(
                f"dark_current_e_per_s * exposure_s must leave room for light: it makes {self.dark_e:g} electrons of "
                f"the {self.capacity_e:g} that pixels can hold and the converter can represent."
            )

    @property
    def electrons_at_white(self) -> float:
        """Electrons at linear 1.0."""
        return self.full_well_e if self.white_level_e is None else self.white_level_e

    @property
    def dn_per_electron(self) -> float:
        """The gain K."""
        if self.gain_dn_per_e is not None:
            return self.gain_dn_per_e
        return float(2**self.bit_depth - 1 - self.black_level_dn) / self.electrons_at_white

    @property
    def dark_e(self) -> float:
        """Mean electrons of the dark current in this exposure."""
        return self.dark_current_e_per_s * self.exposure_s

    @property
    def capacity_e(self) -> float:
        """Electrons above which a number no longer grows: of full pixels, or of the converter's top code."""
        return min(self.full_well_e, (2.0**self.bit_depth - 1.0 - self.black_level_dn) / self.dn_per_electron)

    @property
    def white_balance(self) -> tuple[float, float, float]:
        """Gains of red, green and blue."""
        return self.red_gain, 1.0, self.blue_gain

    @property
    def color_matrix(self) -> tuple[tuple[float, float, float], ...]:
        """From white-balanced camera colors to linear sRGB."""
        return (
            (1.0 - self.red_from_green - self.red_from_blue, self.red_from_green, self.red_from_blue),
            (self.green_from_red, 1.0 - self.green_from_red - self.green_from_blue, self.green_from_blue),
            (self.blue_from_red, self.blue_from_green, 1.0 - self.blue_from_red - self.blue_from_green),
        )

    def target(self) -> Degradation:
        return self._without_noise(mosaic=None)

    def short_exposure(self, exposure: ShortExposure) -> Degradation:
        if exposure.noise == 0:
            return self._without_noise()
        return self.replace(exposures=exposure.exposures * self.exposures, seed=other_seed(self.seed))

    def _without_noise(self, **others: Any) -> Self:
        quiet = ("read_noise_e", "row_noise_e", "column_noise_e", "prnu", "dsnu_e")
        off = dict.fromkeys((*quiet, *_OFFSETS), 0.0)
        return self.replace(**off, shot_noise=False, rounding=False, **others)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        # One array of all numbers, since making arrays takes longer than filling them.
        each = dict(
            zip(_NUMBERS, np.array([[getattr(s, name) for s in steps] for name in _NUMBERS], np.float64), strict=True)
        )
        white, gain, dark = each["electrons_at_white"], each["dn_per_electron"], each["dark_e"]
        # The mean of n exposures is one of n times the electrons, with an nth of the gain.
        n, read_e, rounding = each["exposures"], each["read_noise_e"], np.array([s.rounding for s in steps])
        rounded_e = np.where(rounding & (n > 1), math.sqrt(QUANTISATION_VARIANCE_DN2) / gain, 0.0)
        balance = np.array([s.white_balance for s in steps])
        matrix = np.array([s.color_matrix for s in steps])
        parameters = SensorParameters(
            white_level_e=n * white,
            full_well_e=n * each["full_well_e"],
            read_noise_e=np.sqrt(n) * np.hypot(read_e, rounded_e),
            read_noise_shape=each["read_noise_shape"],
            row_noise_e=np.sqrt(n) * each["row_noise_e"],
            column_noise_e=np.sqrt(n) * each["column_noise_e"],
            gain_dn_per_e=gain / n,
            black_level_dn=each["black_level_dn"],
            bit_depth=each["bit_depth"].astype(np.int64),
            shot_noise=np.array([s.shot_noise for s in steps]),
            rounding=rounding & (n == 1),
            dark_e=n * dark,
            prnu=each["prnu"],
            dsnu_e=n * each["dsnu_e"],
            sensor_seed=np.array([s.sensor_seed for s in steps], np.uint64),
            mosaic=np.array([mosaic_code(s.mosaic) for s in steps]),
            from_light=np.array([_from_light(s.white_balance, s.color_matrix) for s in steps]),
            offset_dn=np.stack([each[name] for name in _OFFSETS], axis=1),
        )
        if parameters.has_colors and frame.channels != 3:
            raise InvalidValueError(
                f"A sensor with colors takes pictures of 3 channels, got {frame.channels}.",
                why="Its color filters act on red, green and blue.",
                fix="Leave out mosaic, gains and matrix for gray pictures, or repeat the channel three times.",
            )
        if parameters.offset_dn.any() and frame.channels != 3:
            raise InvalidValueError(
                f"The color offsets of a sensor need pictures of 3 channels, got {frame.channels}.",
                fix="Leave them out; black_level_dn applies to all pixels.",
            )
        seed = np.array([s.seed for s in steps], np.uint64)
        image = for_array(frame.image).sensor(frame.image, parameters, seed, origin_px=frame.origin_px)
        black = each["black_level_dn"] + gain * dark  # the value of covered pixels
        raw = RawMetadata(
            black_dn=black,
            white_dn=black + gain * white,
            mosaic=tuple(s.mosaic for s in steps),
            white_balance=balance,
            color_matrix=matrix,
            saturation=np.minimum((each["capacity_e"] - dark) / white, 1.0),
        )
        return frame.with_image(image, Encoding.RAW, raw=raw)


@lru_cache(maxsize=256)  # the sharp picture has the same colors
def _from_light(
    white_balance: tuple[float, float, float], color_matrix: tuple[tuple[float, float, float], ...]
) -> NDArray[np.float64]:
    return camera_from_srgb(white_balance, color_matrix)
