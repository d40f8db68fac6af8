"""blursynth: a camera, written as code.

Turns sharp pictures into aligned pairs of sharp and realistically blurred pictures, with all parameters that made them.

>>> import blursynth as bs
>>> bs.kinds.GaussianBlur(sigma_px=1.5)
GaussianBlur(border='reflect', sigma_px=1.5, aspect=1.0, angle_deg=0.0)

Names are loaded when they are first used (PEP 562), so that importing the package is fast.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blursynth import degradations as kinds
    from blursynth import transforms
    from blursynth.cameras.profile import SensorProfile, load_sensor_profile, sensor_profile_names
    from blursynth.core import Degradation, Draw, Pair, ShortExposure, Target, apply
    from blursynth.dataset.cache import ObjectCache
    from blursynth.dataset.export import export
    from blursynth.dataset.generate import generate, plan, resume
    from blursynth.dataset.import_pairs import import_pairs
    from blursynth.dataset.mixture import Mixture
    from blursynth.dataset.online import OnlineDataset
    from blursynth.dataset.order import BatchOrder
    from blursynth.dataset.reader import Dataset, open_dataset
    from blursynth.dataset.repair import repair
    from blursynth.dataset.report import report
    from blursynth.dataset.request import DatasetRequest, dataset_names, load_request
    from blursynth.dataset.verify import replay, verify
    from blursynth.errors import (
        BlursynthError,
        DatasetError,
        InvalidValueError,
        MissingExtraError,
        PictureError,
        RecipeError,
        StoreError,
    )
    from blursynth.frame import Border, Encoding, Frame, Intrinsics, RawMetadata
    from blursynth.io import assets
    from blursynth.io.arrays import read_arrays
    from blursynth.io.depth import DepthFormat, DepthNetwork, read_depth, read_labels
    from blursynth.io.downscale import downscale
    from blursynth.io.pictures import read_frame, write_picture
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

__version__ = "0.1.0"

__all__ = [  # noqa: RUF022  in the order of use
    # Frames: pictures with their metadata, and reading and writing their files.
    "Frame",
    "Encoding",
    "Intrinsics",
    "RawMetadata",
    "Border",
    "read_frame",
    "read_arrays",
    "read_depth",
    "read_labels",
    "DepthFormat",
    "DepthNetwork",
    "downscale",
    "write_picture",
    # Degradations: what happens to light on its way through the camera. The kinds are in `kinds`.
    "kinds",
    "Degradation",
    "Draw",
    "Pair",
    "Target",
    "ShortExposure",
    "apply",
    # Recipes: degradations with distributions for their parameters.
    "Recipe",
    "load_recipe",
    "recipe_names",
    "Sampler",
    "Random",
    "OneOf",
    "Maybe",
    "SensorFromProfile",
    "Stream",
    # Distributions.
    "Constant",
    "Uniform",
    "LogUniform",
    "Integer",
    "Choice",
    "Normal",
    "TruncatedNormal",
    "Beta",
    "SameAs",
    "Product",
    "Quotient",
    "Meter",
    "DepthQuantile",
    # Sensors: measured cameras, and how to measure one.
    "SensorProfile",
    "load_sensor_profile",
    "sensor_profile_names",
    "fit_photon_transfer",
    "fit_noisy_clean",
    # Data sets: pairs stored on disk or made on the fly.
    "DatasetRequest",
    "load_request",
    "dataset_names",
    "plan",
    "generate",
    "resume",
    "verify",
    "repair",
    "replay",
    "import_pairs",
    "export",
    "report",
    "Dataset",
    "open_dataset",
    "OnlineDataset",
    "Mixture",
    "BatchOrder",
    # Building blocks: transforms in the style of torchvision, and measured kernels and paths.
    "transforms",
    "assets",
    "ObjectCache",
    # Errors.
    "BlursynthError",
    "InvalidValueError",
    "RecipeError",
    "PictureError",
    "DatasetError",
    "StoreError",
    "MissingExtraError",
]

_NAMES_OF = {
    "cameras.profile": "SensorProfile load_sensor_profile sensor_profile_names",
    "core": "Degradation Draw Pair ShortExposure Target apply",
    "dataset.cache": "ObjectCache",
    "dataset.export": "export",
    "dataset.generate": "generate plan resume",
    "dataset.import_pairs": "import_pairs",
    "dataset.mixture": "Mixture",
    "dataset.online": "OnlineDataset",
    "dataset.order": "BatchOrder",
    "dataset.reader": "Dataset open_dataset",
    "dataset.repair": "repair",
    "dataset.report": "report",
    "dataset.request": "DatasetRequest dataset_names load_request",
    "dataset.verify": "replay verify",
    "errors": "BlursynthError DatasetError InvalidValueError MissingExtraError PictureError RecipeError StoreError",
    "frame": "Border Encoding Frame Intrinsics RawMetadata",
    "io.depth": "DepthFormat DepthNetwork read_depth read_labels",
    "io.downscale": "downscale",
    "io.arrays": "read_arrays",
    "io.pictures": "read_frame write_picture",
    "physics.photon_transfer": "fit_noisy_clean fit_photon_transfer",
    "recipe.distributions": "Beta Choice Constant DepthQuantile Integer LogUniform Meter Normal Product Quotient "
    "SameAs TruncatedNormal Uniform",
    "recipe.recipe": "Recipe load_recipe recipe_names",
    "recipe.samplers": "Maybe OneOf Random Sampler",
    "recipe.sensor_from_profile": "SensorFromProfile",
    "records.streams": "Stream",
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}
_MODULES = {"assets": "io.assets", "kinds": "degradations", "transforms": "transforms"}


if not TYPE_CHECKING:  # to type checkers a module with __getattr__ has every name

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            value = importlib.import_module(f"blursynth.{_MODULES[name]}")
        elif name in _MODULE_OF:
            value = getattr(importlib.import_module(f"blursynth.{_MODULE_OF[name]}"), name)
        else:
            # With the name and the module, Python adds a suggestion.
            raise AttributeError(f"module 'blursynth' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
