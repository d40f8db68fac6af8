"""Laws of the program: sizes, memory, batches, types, devices, derivatives."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from blursynth.testing.adapter import ACCURACY, Adapter, Array, Blur
from blursynth.testing.laws.cases import scenes, seen_at
from blursynth.testing.laws.law import Fault, Measurement, after, law
from blursynth.testing.laws.needs import all_of, claim, exact
from blursynth.testing.strategies import depth_maps, images, sizes, st

__all__ = [
    "batches",
    "derivatives",
    "determinism",
    "devices",
    "dtypes",
    "input_unchanged",
    "memory_layout",
    "shapes",
]


def _wrapped(blur: Blur, wrap: Callable[..., Any]) -> Blur:
    """The function with a fault: ``wrap(function, given, **extra)``."""
    function = blur.function
    return dataclasses.replace(blur, function=lambda given, **extra: wrap(function, given, **extra))


@law(
    statement="The result is as large as the picture, and finite, for every size: one pixel, one row, odd, higher "
    "than wide.",
    looks_like="Crashes and shifted crops on small or odd pictures.",
    tolerance="none",
    reference="an operator on pictures",
    cases=lambda blur: scenes(blur, largest_px=40),
    fault=Fault(
        "rows that are missing",
        "px",
        lambda blur, size: blur.changed(
            lambda inner, image, **rest: inner(image, **rest)[..., : max(0, image.shape[-2] - math.floor(size)), :]
        ),
    ),
)
def shapes(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """Height and width, and NaN or infinity anywhere."""
    out = blur(x, **seen_at(depth_m))
    missing = float(np.abs(np.subtract(out.shape[-2:], x.shape[-2:])).sum())
    return Measurement(missing if np.isfinite(out).all() else np.inf, 0.0, "px", out, x)


@law(
    statement="The same picture and the same seed give the same bits.",
    looks_like="Data sets that cannot be made again: a global generator, threads that add in any order.",
    tolerance="none",
    reference="reproducibility",
    cases=lambda blur: scenes(blur),
    fault=Fault(
        "noise of its own",
        "of white",
        lambda blur, size: blur.changed(
            lambda inner, image, **rest: (
                (out := inner(image, **rest)) + size * np.random.default_rng().random(out.shape)
            )
        ),
    ),
)
def determinism(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """Two calls."""
    return Measurement.between(blur(x, **seen_at(depth_m)), blur(x, **seen_at(depth_m)), 0.0)


def _picture(value: Any) -> Any:
    """What the law of memory can change: an array, as numpy sees it."""
    return value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()


def _spoil(function: Callable[..., Any], given: Any, size: float, **extra: Any) -> Any:
    out = function(given, **extra)
    if isinstance(given, np.ndarray) and given.dtype.kind == "u":
        given -= np.asarray(math.floor(size), given.dtype)
    else:
        given -= size
    return out


@law(
    statement="The picture that is given is not changed.",
    looks_like="Sharp pictures that are blurred too, data sets in which each picture is worse than the one before.",
    tolerance="none",
    reference="functions without side effects",
    cases=lambda blur: scenes(blur),
    fault=Fault(
        "a change of the input",
        "of its values",
        lambda blur, size: _wrapped(blur, lambda f, given, **extra: _spoil(f, given, size, **extra)),
    ),
)
def input_unchanged(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """The array before and after the call."""
    given = blur.given(x[None])
    before = np.array(_picture(given))
    blur.function(given, **blur.extra(None if depth_m is None else depth_m[None], 1))
    after = np.asarray(_picture(given))
    return Measurement(float(np.abs(after.astype(np.float64) - before).max(initial=0.0)), 0.0, "in the input")


@law(
    statement="Views with gaps between their values are blurred as their copies are.",
    looks_like="Garbage for transposed, cropped or flipped arrays.",
    tolerance="2 errors of a call",
    reference="numpy's strides",
    cases=lambda blur: scenes(blur),
    fault=Fault(
        "a picture that is read without its strides",
        "of the value",
        lambda blur, size: _wrapped(
            blur,
            lambda f, given, **extra: (
                f(given, **extra) if given.flags.c_contiguous else (f(given, **extra) * (1 - size)).astype(given.dtype)
            ),
        ),
    ),
    needs=lambda adapter: "the pictures are tensors" if adapter.array != "numpy" else None,
)
def memory_layout(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """Every second pixel of an array twice as large."""
    given = blur.given(x[None])
    sparse = np.zeros(tuple(2 * n for n in given.shape), given.dtype)
    view = sparse[tuple(slice(None, None, 2) for _ in given.shape)]
    view[...] = given
    extra = blur.extra(None if depth_m is None else depth_m[None], 1)
    got = blur.taken(blur.function(view, **extra))[0]
    return Measurement.between(got, blur.taken(blur.function(given, **extra))[0], 2 * blur.accuracy)


@st.composite
def _batch(draw: st.DrawFn, blur: Blur) -> dict[str, Any]:
    size = draw(sizes(blur.adapter.smallest_px, max(8, blur.adapter.smallest_px)))
    count = draw(st.integers(2, 4))
    case = {f"x{n}": draw(images(channels=blur.adapter.channels, size_px=size)) for n in range(count)}
    if blur.adapter.depth is not None:
        case |= {f"depth{n}_m": draw(depth_maps(size_px=size)) for n in range(count)}
    return case


@law(
    statement="A batch is blurred as its pictures are one by one.",
    looks_like="Results that depend on the batch size: statistics over the batch, one kernel or one depth map for all.",
    tolerance="2 errors of a call",
    reference="pictures of a batch are independent",
    cases=_batch,
    fault=Fault(
        "light of the batch's mean",
        "of the value",
        lambda blur, size: _wrapped(
            blur,
            lambda f, given, **extra: (
                (out := f(given, **extra)) + (size * (out.mean(0) - out)).astype(out.dtype)
                if isinstance(out := f(given, **extra), np.ndarray)
                else out + size * (out.mean(0) - out)
            ),
        ),
    ),
    needs=all_of(exact, lambda adapter: None if "N" in adapter.layout else f"{adapter.layout} has no batches"),
)
def batches(blur: Blur, **parts: Array) -> Measurement:
    """Two to four pictures of one size."""
    images = np.stack([value for name, value in parts.items() if name.startswith("x")])
    depths = [value for name, value in parts.items() if name.startswith("depth")]
    depth_m = np.stack(depths) if depths else None
    together = blur.batch(images, depth_m=depth_m)
    alone = np.stack(
        [
            blur.batch(images[n : n + 1], depth_m=None if depth_m is None else depth_m[n : n + 1])[0]
            for n in range(len(images))
        ]
    )
    got, expected = (values.reshape(-1, *values.shape[2:]) for values in (together, alone))
    return Measurement.between(got, expected, 2 * blur.accuracy)


@law(
    statement="The same picture in another type gives the same result, rounded once.",
    looks_like="8-bit results that are too dark by up to a code (truncation) or off by more (rounding after each "
    "of two passes).",
    tolerance="1 error of a call in each type; half a code for integers",
    reference="rounding to nearest",
    cases=lambda blur: scenes(blur, levels=255, others={"dtype": st.sampled_from(tuple(blur.adapter.other_dtypes))}),
    fault=Fault(
        "a second rounding that goes down",
        "codes of 255",
        lambda blur, size: _wrapped(
            blur, lambda f, given, **extra: _darker(f, given, blur.adapter.dtype, size, **extra)
        ),
    ),
    needs=all_of(exact, claim("other_dtypes")),
)
def dtypes(blur: Blur, x: Array, dtype: str, depth_m: Array | None = None) -> Measurement:
    """A picture of 8-bit codes in both types."""
    depths = None if depth_m is None else depth_m[None]
    got = blur.batch(x[None], depth_m=depths, dtype=dtype)[0]
    expected = blur.batch(x[None], depth_m=depths)[0]
    error = 0.5 / float(np.iinfo(dtype).max) if dtype.startswith("u") else ACCURACY[dtype]
    return Measurement.between(got, expected, error + blur.accuracy)


def _darker(function: Callable[..., Any], given: Any, own: str, size: float, **extra: Any) -> Any:
    """Darker by some codes in all types but the adapter's own; integers by whole ones, in every type."""
    out = function(given, **extra)
    dtype = str(out.dtype).removeprefix("torch.")
    if dtype.startswith("u"):
        return out - np.minimum(out, out.dtype.type(round(size)))
    return out if dtype == own else out - size / 255


def _no_device(adapter: Adapter) -> str | None:
    if adapter.array != "torch":
        return "the pictures are arrays of numpy"
    import torch

    return None if torch.cuda.is_available() else "no CUDA device is at hand"


@law(
    statement="A CUDA device gives what the CPU gives.",
    looks_like="Results that change with the machine.",
    tolerance="2 errors of a call",
    reference="one operator",
    cases=lambda blur: scenes(blur),
    fault=Fault("a gain", "of the value", after(lambda out, size: (1 + size) * out)),
    needs=all_of(exact, _no_device),
)
def devices(blur: Blur, x: Array, depth_m: Array | None = None) -> Measurement:
    """The same picture on both."""
    there = Blur(blur.function, blur.adapter.replace(device="cuda" if blur.adapter.device == "cpu" else "cpu"))
    return Measurement.between(blur(x, **seen_at(depth_m)), there(x, **seen_at(depth_m)), 2 * blur.accuracy)


def _other_gradient(function: Callable[..., Any], given: Any, size: float, **extra: Any) -> Any:
    """The same values, with another derivative."""
    out = function(given, **extra)
    return out + size * (given.detach() - given) if out.shape == given.shape else out * (1 + size) - size * out.detach()


@law(
    statement="The derivative that torch computes is that of the values: <w, A(x + v) - A(x - v)> / 2 = <dA' w, v>.",
    looks_like="Training through the blur that does not converge, or reconstructs with seams: a backward pass with "
    "another border or an unflipped kernel.",
    tolerance="1 error of a call in every pixel, weighted by w; exact for linear blurs",
    reference="central differences; torch.autograd.gradcheck",
    cases=lambda blur: scenes(blur, ("x", "v", "w"), kinds=("ramp", "noise")),
    fault=Fault(
        "another derivative",
        "of the identity",
        lambda blur, size: _wrapped(blur, lambda f, given, **extra: _other_gradient(f, given, size, **extra)),
    ),
    needs=all_of(exact, claim("derivative")),
)
def derivatives(blur: Blur, x: Array, v: Array, w: Array, depth_m: Array | None = None) -> Measurement:
    """Along one direction v, seen by one weight w."""
    extra = blur.extra(None if depth_m is None else depth_m[None], 1)
    at = blur.given(x[None]).requires_grad_()
    direction, weight = blur.given(v[None]), blur.given(w[None])
    (blur.function(at, **extra) * weight).sum().backward()
    by_torch = float((at.grad * direction).sum())
    step = 0.25
    ahead, behind = (blur.function(at.detach() + s * direction, **extra) for s in (step, -step))
    by_values = float(((ahead - behind) * weight).sum()) / (2 * step)
    white = blur.adapter.white_of(blur.adapter.dtype)
    allowed = blur.accuracy * white**2 * (float(w.sum()) / step + float(v.sum())) + 1e-12
    return Measurement(abs(by_torch - by_values), allowed, "of the inner product")
