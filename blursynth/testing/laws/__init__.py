"""The laws of blur, each an object that holds any blur against itself.

>>> from scipy.ndimage import uniform_filter
>>> from blursynth.testing import Adapter, laws
>>> def blur(image):  # [H, W, C], float32
...     return uniform_filter(image, (3, 3, 1), mode="nearest")
>>> laws.linearity.check(blur, Adapter(border="replicate")).status
'kept'

Laws are grouped by topic: :mod:`~blursynth.testing.laws.linear`, :mod:`~blursynth.testing.laws.geometry`,
:mod:`~blursynth.testing.laws.light`, :mod:`~blursynth.testing.laws.depth`, :mod:`~blursynth.testing.laws.noise`,
:mod:`~blursynth.testing.laws.files` and :mod:`~blursynth.testing.laws.program`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from blursynth.errors import InvalidValueError, did_you_mean
from blursynth.testing.adapter import Adapter
from blursynth.testing.laws.depth import depth_order, far_limit, in_focus, no_glow, occlusion, staircase
from blursynth.testing.laws.files import jpeg_monotonicity, jpeg_of_libjpeg, mosaic_phase
from blursynth.testing.laws.geometry import (
    exposure_sum,
    identity_limit,
    mirrors,
    monotonicity,
    path_order,
    row_time,
    semigroup,
)
from blursynth.testing.laws.law import Law, LawViolation, Profile, Result
from blursynth.testing.laws.light import linear_light, saturation
from blursynth.testing.laws.linear import (
    adjoint,
    border,
    centroid,
    channels,
    commutation,
    constants,
    flux,
    impulse_response,
    linearity,
    no_wrap_around,
    positivity,
    translation,
    value_range,
)
from blursynth.testing.laws.noise import noise_after_blur, noise_independence, photon_transfer, whiteness
from blursynth.testing.laws.program import (
    batches,
    derivatives,
    determinism,
    devices,
    dtypes,
    input_unchanged,
    memory_layout,
    shapes,
)

__all__ = [
    "ALL",
    "adjoint",
    "batches",
    "border",
    "centroid",
    "channels",
    "check",
    "commutation",
    "constants",
    "depth_order",
    "derivatives",
    "determinism",
    "devices",
    "dtypes",
    "examine",
    "exposure_sum",
    "far_limit",
    "find",
    "flux",
    "identity_limit",
    "impulse_response",
    "in_focus",
    "input_unchanged",
    "jpeg_monotonicity",
    "jpeg_of_libjpeg",
    "linear_light",
    "linearity",
    "memory_layout",
    "mirrors",
    "monotonicity",
    "mosaic_phase",
    "no_glow",
    "no_wrap_around",
    "noise_after_blur",
    "noise_independence",
    "occlusion",
    "path_order",
    "photon_transfer",
    "positivity",
    "row_time",
    "saturation",
    "semigroup",
    "shapes",
    "staircase",
    "translation",
    "value_range",
    "whiteness",
]

ALL: tuple[Law, ...] = (
    *(shapes, input_unchanged, determinism, memory_layout, batches, dtypes, devices, derivatives),
    *(linearity, channels, impulse_response, centroid, flux, constants, positivity, value_range),
    *(adjoint, translation, commutation, border, no_wrap_around),
    *(mirrors, identity_limit, monotonicity, semigroup, exposure_sum, path_order, row_time),
    *(linear_light, saturation),
    *(in_focus, far_limit, depth_order, occlusion, no_glow, staircase),
    *(photon_transfer, whiteness, noise_independence, noise_after_blur),
    *(mosaic_phase, jpeg_of_libjpeg, jpeg_monotonicity),
)
"""Every law, in the order of a report."""


def find(name: str) -> Law:
    """A law by its name.

    Raises
    ------
    InvalidValueError
        There is no such law.
    """
    for one in ALL:
        if one.name == name:
            return one
    raise InvalidValueError(
        f"There is no law {name!r}.", fix=did_you_mean(name, [one.name for one in ALL]), field="law", value=name
    )


def examine(
    blur: Callable[..., Any],
    adapter: Adapter | None = None,
    *,
    laws: Iterable[Law] = ALL,
    profile: str | Profile = "dev",
    power: bool = True,
) -> Iterator[Result]:
    """Hold a blur against every law, and give the results one by one.

    Parameters
    ----------
    blur
        The function.
    adapter
        How it is called and what it claims; by default ``[H, W, 3]`` in float32, 0 to 1.
    laws
        Which ones.
    profile
        How long: ``dev``, ``ci``, ``thorough``, or a :class:`Profile`.
    power
        Measure for each law the smallest fault that it would have seen.
    """
    known = adapter or Adapter()
    for name in known.exempt:
        find(name)
    for one in laws:
        yield one.examine(blur, known, profile=profile, power=power)


def check(
    blur: Callable[..., Any],
    adapter: Adapter | None = None,
    *,
    laws: Iterable[Law] = ALL,
    profile: str | Profile = "dev",
) -> list[Result]:
    """Hold a blur against every law.

    Raises
    ------
    LawViolation
        The first law that it breaks, with the smallest counterexample.
    """
    results = []
    for result in examine(blur, adapter, laws=laws, profile=profile, power=False):
        if result.status in ("violated", "failed"):
            raise LawViolation(result)
        results.append(result)
    return results
