"""A monochrome-per-channel image sensor: light to electrons to numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

import numpy as np
from pydantic import Field

from blursynth.backends import for_array
from blursynth.core import Degradation
from blursynth.frame import Encoding, Frame, RawLevels
from blursynth.physics.radiometry import SensorParameters

__all__ = ["Sensor"]


class Sensor(Degradation):
    """Shot noise, full well, read noise, gain, black level and converter of a sensor (EMVA 1288, linear model).

    ``N = min(Poisson(white_level_e x), full_well_e)``; ``V = N + n_read + n_row``;
    ``DN = clip(round(K V + black_level_dn), 0, 2^bit_depth - 1)``, with the gain K in DN per electron.

    The target passes through the same sensor without noise and without rounding: it clips at the same white.

    Not modelled here: Bayer pattern, dark current, pixel-to-pixel differences of gain (PRNU) and offset, blooming.
    Each colour channel is a sensor of its own.

    Easily confused: ``white_level_e`` is how many electrons white makes in this exposure, ``full_well_e`` how many a
    pixel can hold. An underexposed picture that is brightened has a small ``white_level_e``.

    Source: EMVA Standard 1288; Foi et al., IEEE TIP 17(10), 2008.
    """

    takes: ClassVar[Encoding | None] = Encoding.LINEAR
    gives: ClassVar[Encoding | None] = Encoding.RAW

    full_well_e: float = Field(gt=0, le=1e7, description="electrons that a pixel can hold; 2,000 to 20,000 in phones")
    white_level_e: float | None = Field(
        default=None,
        gt=0,
        le=1e7,
        description="electrons that linear 1.0 makes in this exposure; by default full_well_e",
    )
    read_noise_e: float = Field(
        default=0.0, ge=0, le=1e5, description="standard deviation of the read noise in e-; 1 to 5"
    )
    row_noise_e: float = Field(
        default=0.0, ge=0, le=1e5, description="standard deviation in e- of what a whole row shares"
    )
    gain_dn_per_e: float | None = Field(
        default=None,
        gt=0,
        le=1e5,
        description="gain K in DN per electron; by default white is the converter's top code",
    )
    black_level_dn: int = Field(
        default=64, ge=0, le=65535, description="code of no light; keeps negative noise from being cut"
    )
    bit_depth: int = Field(default=12, ge=2, le=16, description="bits of the converter; 10 to 14")
    shot_noise: bool = Field(default=True, description="whether electrons are counted one by one (Poisson)")
    rounding: bool = Field(default=True, description="whether the converter rounds to whole codes")
    seed: int = Field(ge=0, lt=2**63, description="seed of this sample's noise")

    def model_post_init(self, context: object) -> None:
        if self.black_level_dn >= 2**self.bit_depth - 1:
            raise ValueError(
                f"black_level_dn must lie below the top code 2^bit_depth - 1 = {2**self.bit_depth - 1}, "
                f"got {self.black_level_dn}."
            )

    @property
    def electrons_at_white(self) -> float:
        """Electrons that linear 1.0 makes."""
        return self.full_well_e if self.white_level_e is None else self.white_level_e

    @property
    def dn_per_electron(self) -> float:
        """The gain K."""
        if self.gain_dn_per_e is not None:
            return self.gain_dn_per_e
        return float(2**self.bit_depth - 1 - self.black_level_dn) / self.electrons_at_white

    def target(self) -> Degradation:
        return self.replace(read_noise_e=0.0, row_noise_e=0.0, shot_noise=False, rounding=False)

    @classmethod
    def apply(cls, steps: Sequence[Self], frame: Frame) -> Frame:
        def column(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            return np.array(values, np.float64)

        white = column([s.electrons_at_white for s in steps])
        gain = column([s.dn_per_electron for s in steps])
        black = column([float(s.black_level_dn) for s in steps])
        parameters = SensorParameters(
            white_level_e=white,
            full_well_e=column([s.full_well_e for s in steps]),
            read_noise_e=column([s.read_noise_e for s in steps]),
            row_noise_e=column([s.row_noise_e for s in steps]),
            gain_dn_per_e=gain,
            black_level_dn=black,
            bit_depth=np.array([s.bit_depth for s in steps], np.int64),
            shot_noise=np.array([s.shot_noise for s in steps]),
            rounding=np.array([s.rounding for s in steps]),
        )
        seed = np.array([s.seed for s in steps], np.uint64)
        image = for_array(frame.image).sensor(frame.image, parameters, seed, origin_px=frame.origin_px)
        return frame.with_image(image, Encoding.RAW, raw_levels=RawLevels(black, black + gain * white))
