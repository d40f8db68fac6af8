"""blursynth: a camera, written as code.

Sharp pictures in; aligned pairs of sharp and realistically blurred pictures out, with every number that made them.

>>> import blursynth as bs
>>> bs.kinds.GaussianBlur(sigma_px=1.5)
GaussianBlur(border='reflect', sigma_px=1.5, aspect=1.0, angle_deg=0.0)
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from blursynth import degradations as kinds
from blursynth.cameras.profile import SensorProfile, load_sensor_profile, sensor_profile_names
from blursynth.core import Degradation, Draw, Pair, apply
from blursynth.errors import (
    BlursynthError,
    DatasetError,
    InvalidValueError,
    MissingExtraError,
    PictureError,
    RecipeError,
)
from blursynth.frame import Border, Encoding, Frame, Intrinsics, RawMetadata
from blursynth.io.depth import DepthFormat, DepthNetwork, read_depth, read_labels
from blursynth.io.downscale import downscale
from blursynth.io.pictures import read_arrays, read_frame, write_picture
from blursynth.physics.photon_transfer import fit_noisy_clean, fit_photon_transfer
from blursynth.recipe.distributions import (
    Beta,
    Choice,
    Constant,
    DepthQuantile,
    Integer,
    LogUniform,
    Meter,
    Normal,
    Product,
    Quotient,
    SameAs,
    TruncatedNormal,
    Uniform,
)
from blursynth.recipe.recipe import Recipe, load_recipe, recipe_names
from blursynth.recipe.samplers import Maybe, OneOf, Random, Sampler
from blursynth.recipe.sensor_from_profile import SensorFromProfile
from blursynth.records.streams import Stream

if TYPE_CHECKING:
    from blursynth.dataset.reader import open_dataset

__version__ = "0.1.0"

__all__ = [
    "Beta",
    "BlursynthError",
    "Border",
    "Choice",
    "Constant",
    "DatasetError",
    "Degradation",
    "DepthFormat",
    "DepthNetwork",
    "DepthQuantile",
    "Draw",
    "Encoding",
    "Frame",
    "Integer",
    "Intrinsics",
    "InvalidValueError",
    "LogUniform",
    "Maybe",
    "Meter",
    "MissingExtraError",
    "Normal",
    "OneOf",
    "Pair",
    "PictureError",
    "Product",
    "Quotient",
    "Random",
    "RawMetadata",
    "Recipe",
    "RecipeError",
    "SameAs",
    "Sampler",
    "SensorFromProfile",
    "SensorProfile",
    "Stream",
    "TruncatedNormal",
    "Uniform",
    "apply",
    "assets",
    "downscale",
    "fit_noisy_clean",
    "fit_photon_transfer",
    "kinds",
    "load_recipe",
    "load_sensor_profile",
    "open_dataset",
    "read_arrays",
    "read_depth",
    "read_frame",
    "read_labels",
    "recipe_names",
    "sensor_profile_names",
    "write_picture",
]


def __getattr__(name: str) -> Any:
    # zarr and its codecs take longer to load than all the rest, and only data sets need them.
    if name == "open_dataset":
        from blursynth.dataset.reader import open_dataset

        return open_dataset
    # With name and module at hand Python adds what else may be meant.
    raise AttributeError(f"module 'blursynth' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
