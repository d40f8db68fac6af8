"""How somebody's blur is called, and what it says of itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from blursynth.errors import InvalidValueError
from blursynth.physics.color import srgb_from_linear, srgb_to_linear

__all__ = ["Adapter", "Array", "Blur", "Noise"]

Array = NDArray[np.float64]
Function = Callable[..., Any]

LAYOUTS = ("HW", "HWC", "CHW", "NHW", "NHWC", "NCHW")
DTYPES = ("uint8", "uint16", "float32", "float64")
BORDERS = {
    "reflect": "reflect",
    "symmetric": "symmetric",
    "replicate": "edge",
    "circular": "wrap",
    "constant": "constant",
}
"""The rules beyond the edge, and what numpy's ``pad`` calls them."""

KEEPS_CONSTANTS = ("reflect", "symmetric", "replicate", "circular")

LARGEST_REACH_PX = 256
"""The widest blur whose reach is measured; a wider one must say its reach."""

DISTANCES_M = (0.5, 1e6)
"""The nearest and the farthest wall that laws show to a blur with depth."""

ACCURACY = {"float32": 2e-5, "float64": 1e-10}
"""Errors of one call, of white: a Fourier transform's in float32 and, with room, in float64."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What a noisy camera says of its noise.

    Parameters
    ----------
    gain
        Variance for each unit of mean, both of white: 1 / (electrons at white). 0 without shot noise.
    read_sigma
        Standard deviation in the dark, of white.
    white
        No two pixels share noise. False for noise of rows, for demosaiced or compressed pictures.
    mean_is_kept
        The mean over many seeds is the picture without noise. False where values are clipped.
    """

    gain: float
    read_sigma: float
    white: bool = True
    mean_is_kept: bool = True

    def __post_init__(self) -> None:
        for name in ("gain", "read_sigma"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise InvalidValueError(
                    f"Noise.{name} must be at least 0 and finite, got {value}.", field=name, value=value
                )


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """How a blur is called, and what it says of itself.

    The first group of fields says how the function takes and gives pictures. The second one holds claims. Each claim
    makes laws apply that hold a blur to it. Laws that need a claim which is not made are reported as not applicable.

    Parameters
    ----------
    layout
        The order of the axes: ``HW``, ``HWC``, ``CHW``, or a batch of these (``NHW``, ``NHWC``, ``NCHW``).
    dtype
        The type of the values: ``uint8``, ``uint16``, ``float32`` or ``float64``.
    white
        The value of white; by default the largest integer, and 1 for floating-point values.
    array
        What the pictures are: arrays of ``numpy`` or tensors of ``torch``.
    device
        Of the tensors, for example ``cuda``.
    channels
        Number of channels; 1 for layouts without C.
    smallest_px
        Smallest height and width that the function takes.
    depth
        Name of the argument that takes the distance of each pixel in m, ``[H, W]`` (a batch ``[N, H, W]``); None where
        the blur knows no depth.
    seed
        Name of the argument that takes an integer, for a blur with randomness. Laws call it with one seed, unless they
        are about randomness.
    accuracy
        Largest error of one call, of white. Every tolerance is a multiple of it. By default 2e-5 for float32, 1e-10 for
        float64, and half a code for integers (rounding to nearest).
    reach_px
        How far a point of light is spread at most. By default it is measured at the edge of a lit half plane, in small
        pictures: give it for a blur that reaches farther in larger ones, such as a zoom.
    border
        What lies beyond the edge: ``reflect`` (the edge pixel is not repeated), ``symmetric`` (it is), ``replicate``,
        ``circular``, ``constant`` (black).
    light
        ``values``: the blur is linear in the values that it takes. ``srgb``: it takes encoded pictures and blurs their
        light.
    largest
        The largest value that it takes, of white. Above 1, bright light is blurred before it is clipped.
    linear
        The blur is a linear operator. Of what is not, such as a denoiser, only the laws of programs hold.
    varies
        The blur differs between places of a picture. Laws of convolutions then do not apply.
    kernel
        The point spread ``[h, w]`` of odd height and width, with its origin in the middle: what a point of light looks
        like on the screen. For a blur with depth, a function of the distance in m.
    centered
        The centroid of the point spread is where the point is.
    adjoint
        The transposed operator, as a function of the same form.
    derivative
        The function is differentiable by torch.
    other_dtypes
        Further types that the function takes, with the same result up to rounding.
    strength
        A function that makes the blur of a strength; ``strengths`` are those to try. A strength of 0 is no blur.
    gaussian
        ``strength`` is the standard deviation of a Gaussian in px, cut off at ``truncate`` of them.
    mirrored
        A function that makes the blur of the mirrored world: of ``left-right``, ``up-down`` or ``transposed``. A blur
        which has no direction gives ``lambda mirror: blur``.
    exposure
        A function of a start and an end, 0 to 1 of the exposure time, that makes the blur of this part. Its result is a
        mean over time, so that each is as bright as the whole.
    path_px
        With ``exposure``: (row, column) displacement of light in px at a time from 0 to 1.
    row_shift_px
        Of a rolling shutter that pans with constant speed: displacement of each row against the one above, in columns.
    focus_distance_m
        With ``depth``: the distance that is not blurred.
    noise
        See :class:`Noise`; laws of blur without noise then do not apply.
    mosaic
        The color filters of the upper left 2 x 2 pixels by rows, for example ``RGGB``. The function then gives one
        channel, what each pixel sees through its filter.
    jpeg
        A function of the quality, 1 to 100, that makes a codec which passes pictures through JPEG as libjpeg does.
    exempt
        Names of laws that the blur does not claim, each with the reason.
    """

    layout: str = "HWC"
    dtype: str = "float32"
    white: float | None = None
    array: Literal["numpy", "torch"] = "numpy"
    device: str = "cpu"
    channels: int = 3
    smallest_px: int = 1
    depth: str | None = None
    seed: str | None = None

    accuracy: float | None = None
    reach_px: int | None = None
    border: str | None = None
    light: Literal["values", "srgb"] = "values"
    largest: float = 1.0
    linear: bool = True
    varies: bool = False
    kernel: ArrayLike | Callable[[float], ArrayLike] | None = None
    centered: bool = True
    adjoint: Function | None = None
    derivative: bool = False
    other_dtypes: Sequence[str] = ()
    strength: Callable[[float], Function] | None = None
    strengths: Sequence[float] = (0.5, 1.0, 2.0, 4.0)
    gaussian: bool = False
    truncate: float = 4.0
    mirrored: Callable[[str], Function] | None = None
    exposure: Callable[[float, float], Function] | None = None
    path_px: Callable[[float], tuple[float, float]] | None = None
    row_shift_px: float | None = None
    focus_distance_m: float | None = None
    noise: Noise | None = None
    mosaic: str | None = None
    jpeg: Callable[[int], Function] | None = None
    exempt: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name, value, known in (
            ("layout", self.layout, LAYOUTS),
            ("dtype", self.dtype, DTYPES),
            *(("other_dtypes", dtype, DTYPES) for dtype in self.other_dtypes),
            ("border", self.border, (None, *BORDERS)),
            ("array", self.array, ("numpy", "torch")),
            ("light", self.light, ("values", "srgb")),
        ):
            if value not in known:
                raise InvalidValueError(
                    f"Adapter.{name} must be one of {', '.join(map(repr, known))}, got {value!r}.",
                    field=name,
                    value=value,
                )
        if "C" not in self.layout and self.channels != 1:
            object.__setattr__(self, "channels", 1)
        for name, least in (("channels", 1), ("smallest_px", 1), ("largest", 1.0), ("reach_px", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise InvalidValueError(
                    f"Adapter.{name} must be at least {least:g} and finite, got {value}.", field=name, value=value
                )
        for name in ("white", "accuracy", "focus_distance_m", "truncate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidValueError(
                    f"Adapter.{name} must be above 0 and finite, got {value}.", field=name, value=value
                )
        if len(self.strengths) < 2 or min(self.strengths) <= 0:
            raise InvalidValueError(
                f"Adapter.strengths must be two or more numbers above 0, got {tuple(self.strengths)}.",
                why="Laws compare one strength with the next; 0 is tried anyway.",
                field="strengths",
                value=self.strengths,
            )
        if self.mosaic is not None and (len(self.mosaic) != 4 or not set(self.mosaic) <= set("RGB")):
            raise InvalidValueError(
                f"Adapter.mosaic must be four letters of R, G and B, got {self.mosaic!r}.",
                field="mosaic",
                value=self.mosaic,
            )
        if self.kernel is not None and not callable(self.kernel):
            _odd(np.asarray(self.kernel, np.float64))

    @property
    def of_integers(self) -> bool:
        """The values are integers."""
        return self.dtype.startswith("u")

    def white_of(self, dtype: str) -> float:
        """The value of white in the adapter's own type or in another one."""
        if dtype == self.dtype and self.white is not None:
            return self.white
        return float(np.iinfo(dtype).max) if dtype.startswith("u") else 1.0

    def replace(self, **changes: Any) -> Adapter:
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


def _odd(kernel: Array) -> Array:
    if kernel.ndim != 2 or kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise InvalidValueError(
            f"Adapter.kernel must have an odd height and width, so that it has a middle, got shape {kernel.shape}.",
            field="kernel",
            value=kernel.shape,
        )
    return kernel


Call = Callable[..., Array]


@dataclass(frozen=True)
class Blur:
    """A function seen through its adapter: from pictures ``[C, H, W]`` in float64, 1 = white, to such pictures.

    Of a blur of light (``light = "srgb"``) both are light: they are encoded before and decoded after the call.
    """

    function: Function
    adapter: Adapter
    call: Call | None = None
    """What is called instead: a :meth:`changed` blur."""

    @property
    def name(self) -> str:
        """Of the function."""
        return getattr(self.function, "__qualname__", None) or type(self.function).__qualname__

    def __call__(self, image: Array, *, depth_m: Array | None = None, seed: int = 1) -> Array:
        if self.call is not None:
            return self.call(image, depth_m=depth_m, seed=seed)
        return np.asarray(self.batch(image[None], depth_m=None if depth_m is None else depth_m[None], seed=seed)[0])

    def changed(self, change: Callable[..., Array]) -> Blur:
        """The same blur with a fault: ``change(blur, image, **rest)`` stands for ``blur(image, **rest)``."""
        return dataclasses.replace(self, call=lambda image, **rest: change(self, image, **rest))

    def other(self, function: Function) -> Blur:
        """Another function of the same form, such as the blur of another strength."""
        return Blur(function, self.adapter)

    def as_function(self) -> Function:
        """The blur, with its faults, as a function of the form that its adapter says."""
        plain = Blur(self.function, self.adapter)

        def function(given: Any, **rest: Any) -> Any:
            images = plain.taken(given)
            depth_m = rest.get(self.adapter.depth or "")
            if depth_m is not None:
                depth_m = np.asarray(depth_m, np.float64).reshape(len(images), *images.shape[2:])
            seen = [self(image, depth_m=None if depth_m is None else depth_m[n]) for n, image in enumerate(images)]
            return plain.given(np.stack(seen))

        return function

    def claiming(self, **changes: Any) -> Blur:
        """The same blur with other claims."""
        return dataclasses.replace(self, adapter=self.adapter.replace(**changes))

    def batch(self, images: Array, *, depth_m: Array | None = None, seed: int = 1, dtype: str | None = None) -> Array:
        """The blur of ``[N, C, H, W]``; one call for layouts with N, else N calls."""
        if "N" in self.adapter.layout:
            return self._run(images, depth_m, seed, dtype)
        return np.concatenate(
            [
                self._run(images[n : n + 1], None if depth_m is None else depth_m[n : n + 1], seed, dtype)
                for n in range(len(images))
            ]
        )

    def _run(self, images: Array, depth_m: Array | None, seed: int, dtype: str | None) -> Array:
        given = self.given(images, dtype=dtype)
        return self.taken(self.function(given, **self.extra(depth_m, seed)))

    def extra(self, depth_m: Array | None, seed: int) -> dict[str, Any]:
        """The arguments in addition to the picture."""
        adapter = self.adapter
        extra: dict[str, Any] = {}
        if adapter.depth is not None:
            if depth_m is None:
                raise InvalidValueError("A blur with depth was called without depth.", field="depth_m")
            depth_m = depth_m.astype("float64" if adapter.dtype == "float64" else "float32")
            extra[adapter.depth] = self._as_array(depth_m if "N" in adapter.layout else depth_m[0])
        if adapter.seed is not None:
            extra[adapter.seed] = seed
        return extra

    def given(self, images: Array, *, dtype: str | None = None) -> Any:
        """``[N, C, H, W]``, 1 = white, as the function takes them."""
        adapter = self.adapter
        dtype = dtype or adapter.dtype
        values = srgb_from_linear(images) if adapter.light == "srgb" else images
        values = values * adapter.white_of(dtype)
        if dtype.startswith("u"):
            values = np.clip(np.rint(values), 0, np.iinfo(dtype).max)
        values = values.astype(dtype)
        axes = adapter.layout if "N" in adapter.layout else "N" + adapter.layout
        if "C" not in axes:
            values = values[:, 0]
        elif axes.endswith("C"):
            values = np.moveaxis(values, 1, -1)
        return self._as_array(np.ascontiguousarray(values if "N" in adapter.layout else values[0]))

    def taken(self, result: Any) -> Array:
        """What the function gave, as ``[N, C, H, W]``, 1 = white."""
        adapter = self.adapter
        if adapter.array == "torch":
            if not hasattr(result, "detach"):
                raise InvalidValueError(f"The function must give a tensor, got {type(result).__name__}.")
            result = result.detach().cpu().numpy()
        values = np.asarray(result)
        if values.dtype.name not in DTYPES:
            raise InvalidValueError(
                f"The function must give values of one of the types {', '.join(DTYPES)}, got {values.dtype}."
            )
        axes = adapter.layout
        if values.ndim != len(axes):
            raise InvalidValueError(
                f"The function must give {len(axes)} axes ({axes}), got the shape {values.shape}.",
                fix="Give Adapter(layout=...).",
            )
        if "N" not in axes:
            values = values[None]
        if "C" not in axes:
            values = values[:, None]
        elif axes.endswith("C"):
            values = np.moveaxis(values, -1, 1)
        values = values.astype(np.float64) / adapter.white_of(values.dtype.name)
        return srgb_to_linear(values) if adapter.light == "srgb" else values

    def _as_array(self, values: NDArray[Any]) -> Any:
        if self.adapter.array == "numpy":
            return values
        import torch

        return torch.from_numpy(np.ascontiguousarray(values)).to(self.adapter.device)

    # What laws ask

    @property
    def accuracy(self) -> float:
        """Largest error of one call, of white."""
        adapter = self.adapter
        error = adapter.accuracy
        if error is None:
            error = 0.5 / float(np.iinfo(adapter.dtype).max) if adapter.of_integers else ACCURACY[adapter.dtype]
        if adapter.light == "srgb":
            # Codes are rounded before and after, and light changes by up to 2.3 of the change of the code.
            return error * 2.3 * (2 if adapter.of_integers else 1)
        return error

    @cached_property
    def reach_px(self) -> int:
        """How far a point of light is spread, at most."""
        if self.adapter.reach_px is not None:
            return self.adapter.reach_px
        # Half planes of light show the faint ends that one point of light does not, above all in integers.
        faint = 0.0 if self.adapter.of_integers else self.accuracy / 20  # more than transforms round by
        for reach in (16, 64, LARGEST_REACH_PX):
            found = max(
                self._spread_of_edge(reach, axis, end, faint, distance_m)
                for axis in (1, 2)
                for end in (False, True)
                for distance_m in (DISTANCES_M if self.adapter.depth else (1.0,))
            )
            if found < reach - 1:
                return found
        raise InvalidValueError(
            f"{self.name} spreads light by {LARGEST_REACH_PX} px or more, or is never 0 around a point of light.",
            field="reach_px",
            fix="Give Adapter(reach_px=...).",
        )

    def _spread_of_edge(self, reach: int, axis: int, lit_end: bool, faint: float, distance_m: float) -> int:
        """How far from a lit half plane the dark half of a picture changes, up to ``reach``."""
        side = max(2 * reach + 1, self.adapter.smallest_px)
        shape = [self.adapter.channels, max(9, self.adapter.smallest_px), max(9, self.adapter.smallest_px)]
        shape[axis] = side + reach
        dark = np.zeros(shape)
        lit = dark.copy()
        half: list[slice] = [slice(None)] * 3
        half[axis] = slice(side - 1, None) if lit_end else slice(None, reach + 1)
        lit[tuple(half)] = 1.0
        depth_m = np.full(shape[1:], distance_m) if self.adapter.depth else None
        change = np.abs(self(lit, depth_m=depth_m) - self(dark, depth_m=depth_m))
        changed = np.nonzero(np.moveaxis(change, axis, 0).reshape(shape[axis], -1).max(axis=1) > faint)[0]
        if lit_end:
            # From the start, where light wraps around to
            inside = changed[changed >= side - 1 - reach]
            return int(side - 1 - inside.min()) if inside.size else 0
        inside = changed[changed <= 2 * reach]
        return max(0, int(inside.max() - reach)) if inside.size else 0

    def point_spread(self, side: int) -> Array:
        """What becomes of a point of light in the middle of a dark picture of odd ``side``: ``[C, side, side]``."""
        dark = np.zeros((self.adapter.channels, side, side))
        lit = dark.copy()
        lit[:, side // 2, side // 2] = 1.0
        distance = self.adapter.focus_distance_m
        depth_m = np.full((side, side), 2.0 * (distance or 1.0)) if self.adapter.depth else None
        return self(lit, depth_m=depth_m) - self(dark, depth_m=depth_m)
