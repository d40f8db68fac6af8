"""Correct blurs that others wrote keep every law that applies: the kit accuses nobody falsely.

Blurs that are known to be wrong, or random, break them, so that a law that is kept says something.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

from blursynth.testing import Adapter, laws
from blursynth.testing.laws import Profile

Picture = NDArray[Any]

KERNEL = (
    np.array([[0, 0, 0, 0, 0], [0, 0, 0, 4, 2], [0, 0, 3, 0, 0], [0, 4, 0, 0, 0], [0, 3, 0, 0, 0]]) / 16
)  # no mirror image of itself, its centroid off the middle
FLIPPED = np.ascontiguousarray(KERNEL[::-1, ::-1])
FAST = Profile(examples=8, seconds=2.0)
MIRRORED: dict[str, Callable[[Picture], Picture]] = {
    "left-right": lambda k: k[:, ::-1],
    "up-down": lambda k: k[::-1],
    "transposed": lambda k: k.T,
}
NUMPYS_NAMES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap", "constant": "constant"}


def by_scipy(kernel: Picture, border: str, axes: tuple[int, int]) -> Callable[[Picture], Picture]:
    modes = {"reflect": "mirror", "symmetric": "reflect", "replicate": "nearest", "circular": "wrap"}
    whole = np.expand_dims(kernel, tuple({0, 1, 2, 3}.difference(axes)) if axes == (2, 3) else (2,))

    def blur(image: Picture) -> Picture:
        out: Picture = ndimage.convolve(image, whole, mode=modes.get(border, border))
        return out

    return blur


def by_opencv(kernel: Picture, border: str) -> Callable[[Picture], Picture]:
    modes = {
        "reflect": cv2.BORDER_REFLECT_101,
        "symmetric": cv2.BORDER_REFLECT,
        "replicate": cv2.BORDER_REPLICATE,
        "constant": cv2.BORDER_CONSTANT,
    }
    flipped = np.ascontiguousarray(kernel[::-1, ::-1])
    return lambda image: cv2.filter2D(image, -1, flipped, borderType=modes[border])


def by_fourier(kernel: Picture, border: str) -> Callable[[Picture], Picture]:
    """``[N, C, H, W]``, continued before the transform, in the picture's type."""

    def blur(image: Picture) -> Picture:
        top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
        mode: Any = NUMPYS_NAMES[border]
        grown = np.pad(image, ((0, 0), (0, 0), (top, top), (left, left)), mode=mode)
        weights = kernel.astype(image.dtype)[None, None]
        return fftconvolve(grown, weights, mode="valid", axes=(2, 3)).astype(image.dtype)

    return blur


def by_torch(kernel: Picture, border: str) -> Callable[[torch.Tensor], torch.Tensor]:
    top, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    flipped = torch.from_numpy(np.ascontiguousarray(kernel[::-1, ::-1]))

    def blur(image: torch.Tensor) -> torch.Tensor:
        grown = torch.nn.functional.pad(image, (left, left, top, top), mode=border)
        weights = flipped.to(image)[None, None].expand(image.shape[1], 1, *flipped.shape)
        return torch.nn.functional.conv2d(grown, weights, groups=image.shape[1])

    return blur


def transposed(forward: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
    """The adjoint by torch's derivative."""

    def back(image: torch.Tensor) -> torch.Tensor:
        at = torch.zeros_like(image, requires_grad=True)
        (gradient,) = torch.autograd.grad(forward(at), at, image)
        return gradient

    return back


def cases() -> list[Any]:
    found = []
    for dtype, other in (("float32", "float64"), ("float64", "float32")):
        for border, layout, axes in (("symmetric", "HWC", (0, 1)), ("constant", "NCHW", (2, 3))):
            name = f"scipy-{border}-{layout}-{dtype}"
            make = lambda kernel, border=border, axes=axes: by_scipy(kernel, border, axes)  # noqa: E731
            found.append(pytest.param(make, {"layout": layout}, border, dtype, other, id=name))
        for border in ("reflect", "replicate"):
            make = lambda kernel, border=border: by_opencv(kernel, border)  # noqa: E731
            found.append(pytest.param(make, {"layout": "HWC"}, border, dtype, other, id=f"opencv-{border}-HWC-{dtype}"))
            make = lambda kernel, border=border: by_fourier(kernel, border)  # noqa: E731
            # The rounding of a transform reaches everywhere, so the reach is said. Numpy's pad reflects any size.
            extra: dict[str, Any] = {"layout": "NCHW", "reach_px": 2}
            found.append(pytest.param(make, extra, border, dtype, other, id=f"fourier-{border}-NCHW-{dtype}"))
        for border in ("reflect", "circular"):
            make = lambda kernel, border=border: by_torch(kernel, border)  # noqa: E731
            extra = {"layout": "NCHW", "array": "torch", "derivative": True, "smallest_px": 3}
            found.append(pytest.param(make, extra, border, dtype, other, id=f"torch-{border}-NCHW-{dtype}"))
    return found


@pytest.mark.parametrize(("make", "extra", "border", "dtype", "other"), cases())
def test_a_correct_blur_keeps_every_law(
    make: Callable[[Picture], Callable[..., Any]], extra: dict[str, Any], border: str, dtype: str, other: str
) -> None:
    blur = make(KERNEL)
    adapter = Adapter(
        dtype=dtype,
        border=border,
        kernel=KERNEL,
        centered=False,
        other_dtypes=(other,),
        mirrored=lambda mirror: make(np.ascontiguousarray(MIRRORED[mirror](KERNEL))),
        adjoint=transposed(blur) if extra.get("array") == "torch" else None,
        **extra,
    )
    results = list(laws.examine(blur, adapter, profile=FAST, power=False))
    assert [str(r) for r in results if r.status not in ("kept", "not applicable")] == []
    kept = {r.law.name for r in results if r.status == "kept"}
    assert {"linearity", "impulse_response", "flux", "constants", "border", "mirrors", "dtypes", "translation"} <= kept


def held(blur: Callable[..., Any], law: str, **claims: Any) -> str:
    return laws.find(law).examine(blur, Adapter(**claims), profile=FAST, power=False).status


def test_a_correlation_is_no_convolution() -> None:
    assert held(by_opencv(KERNEL, "reflect"), "impulse_response", kernel=KERNEL) == "kept"
    assert held(by_opencv(FLIPPED, "reflect"), "impulse_response", kernel=KERNEL) == "violated"


@pytest.mark.parametrize("gain", [1.005, 1.05, 0.9])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_a_blur_that_gains_light_and_clips_is_not_said_to_move_it(dtype: str, gain: float) -> None:
    white = 255 if dtype == "uint8" else 1

    def bright(image: Picture) -> Picture:
        out = np.minimum(gain * ndimage.uniform_filter(image.astype(np.float64), 3, axes=(0, 1)), white)
        return (np.rint(out) if dtype == "uint8" else out).astype(dtype)

    assert held(bright, "centroid", dtype=dtype) == "kept"
    assert held(lambda image: bright(np.roll(image, 1, axis=(0, 1))), "centroid", dtype=dtype) == "violated"


def test_a_random_blur_is_not_deterministic() -> None:
    rng = np.random.default_rng(0)
    result = laws.determinism.examine(
        lambda image: image + rng.integers(0, 2) * np.float32(0.1), Adapter(), profile=FAST, power=False
    )
    assert result.status == "violated"
    assert result.measurement is not None
    assert result.measurement.deviation == pytest.approx(0.1, abs=1e-6)


def test_a_law_is_not_kept_without_an_example() -> None:
    """However long it takes to measure how far the blur reaches."""
    result = laws.flux.examine(
        by_opencv(KERNEL, "reflect"), Adapter(), profile=Profile(examples=5, seconds=0.0), power=False
    )
    assert result.examples >= 1
