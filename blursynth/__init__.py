"""blursynth: a camera, written as code.

Sharp pictures in; aligned pairs of sharp and realistically blurred pictures out, with every number that made them.

>>> import blursynth as bs
>>> bs.GaussianBlur(sigma_px=1.5)
GaussianBlur(border='reflect', sigma_px=1.5, aspect=1.0, angle_deg=0.0)
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from blursynth import assets, degradations
from blursynth.camera_profile import CameraProfile, camera_names, load_camera
from blursynth.core import Degradation, Draw, Nothing, Pair, apply
from blursynth.degradations import *  # noqa: F403  (its __all__ lists the kinds)
from blursynth.degradations import ALL
from blursynth.depth import DepthFormat, DepthNetwork, read_depth, read_labels
from blursynth.distributions import (
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
from blursynth.errors import (
    BlursynthError,
    DatasetError,
    InvalidValueError,
    MissingExtraError,
    PictureError,
    RecipeError,
)
from blursynth.frame import Border, Encoding, Frame, Intrinsics, RawMetadata
from blursynth.io import read_arrays, read_frame, write_picture
from blursynth.physics.photon_transfer import fit_noisy_clean, fit_photon_transfer
from blursynth.recipe import Recipe, load_recipe, recipe_names
from blursynth.resolution import downscale
from blursynth.sampling import CameraSensor, Maybe, OneOf, Random, Sampler
from blursynth.streams import Stream

if TYPE_CHECKING:
    from blursynth.dataset.reader import open_dataset

__version__ = "0.1.0"

__all__ = [
    "ALL",
    "Beta",
    "BlursynthError",
    "Border",
    "CameraProfile",
    "CameraSensor",
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
    "Nothing",
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
    "Stream",
    "TruncatedNormal",
    "Uniform",
    "apply",
    "assets",
    "camera_names",
    "downscale",
    "fit_noisy_clean",
    "fit_photon_transfer",
    "load_camera",
    "load_recipe",
    "open_dataset",
    "read_arrays",
    "read_depth",
    "read_frame",
    "read_labels",
    "recipe_names",
    "write_picture",
]
__all__ += [name for name in degradations.__all__ if name not in __all__]


def __getattr__(name: str) -> Any:
    # zarr and its codecs take longer to load than all the rest, and only data sets need them.
    if name == "open_dataset":
        from blursynth.dataset.reader import open_dataset

        return open_dataset
    # With name and module at hand Python adds what else may be meant.
    raise AttributeError(f"module 'blursynth' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
