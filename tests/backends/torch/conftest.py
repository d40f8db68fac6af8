"""Tests of the operators on tensors. They need torch; those of the Triton kernels need triton as well.

Without a GPU the Triton kernels run in Triton's interpreter, on tensors of the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.point_spread_field import PointSpreadField
from blursynth.physics.scene import Scene
from blursynth.physics.warps import Warps

collect_ignore = ["compile_kernels.py"]  # a program, not a test; it needs triton

if find_spec("torch") is not None:
    import torch

    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read where kernels are declared


@pytest.fixture(scope="session")
def device() -> str:
    """Where the Triton kernels run: on a GPU if there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def exact_fma(monkeypatch: pytest.MonkeyPatch) -> None:
    """``tl.fma`` rounds once, as on a GPU: Triton's interpreter rounds the product too."""
    if torch.cuda.is_available():
        return
    from triton.runtime import interpreter

    def fma(self: object, x: Any, y: Any, z: Any) -> Any:
        # Products of two float32 are exact here, and so nearly always is the sum.
        wide = (a.data.astype(np.longdouble) for a in (x, y, z))
        product, factor, term = wide
        return interpreter.TensorHandle((product * factor + term).astype(z.data.dtype), z.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_fma", fma)


def point_spreads(rng: np.random.Generator, count: int, *, size: tuple[int, int] = (3, 3)) -> PointSpreads:
    """Kernels of sum 1 with some taps left out and their origins not quite in the middle."""
    kernels, centers = [], []
    for _ in range(count):
        kernel = rng.random(size) * (rng.random(size) < 0.7)
        kernel[rng.integers(size[0]), rng.integers(size[1])] = 1
        kernels.append(kernel / kernel.sum())
        centers.append((int(rng.integers(0, size[0])), int(rng.integers(0, size[1]))))
    return PointSpreads.from_dense(kernels, centers)


@pytest.fixture(scope="session")
def make_point_spreads() -> Callable[..., PointSpreads]:
    return point_spreads


@pytest.fixture(scope="session")
def make_field() -> Callable[..., PointSpreadField]:
    """A field of some levels, rows and columns of nodes, for all pictures or for each."""

    def make(
        rng: np.random.Generator, batch: int, *, levels: int = 3, rows: int = 2, columns: int = 2
    ) -> PointSpreadField:
        psf = point_spreads(rng, batch * levels * rows * columns)
        return PointSpreadField(psf, levels, rows, columns, rng.uniform(-1, 3, (batch, 2)), (3.5, 2.7))

    return make


@pytest.fixture(scope="session")
def make_warps() -> Callable[..., Warps]:
    """Small rotations, zoom and translations; a rolling shutter when ``height`` is given."""

    def make(
        rng: np.random.Generator, batch: int, *, times: int = 4, height: int | None = None, moves: bool = True
    ) -> Warps:
        matrix = np.eye(3) + rng.normal(size=(batch, times, 3, 3)) * np.array(
            [[0.02, 0.02, 0.8], [0.02, 0.02, 0.8], [1e-3, 1e-3, 0.01]]
        )
        shift = rng.normal(size=(batch, times, 3)) * np.array([1.0, 1.0, 0.01]) * moves
        seen = times if height is None else 2
        first = np.zeros((batch, height or 1), np.int64)
        if height is not None:
            first[:] = np.linspace(0, times - seen, height).round()
        weight = rng.random((batch, height or 1, seen)) + 0.1
        return Warps(matrix, shift, first, weight / weight.sum(axis=-1, keepdims=True))

    return make


@pytest.fixture(scope="session")
def make_scene() -> Callable[..., Scene]:
    """A few slices in random places with their own kernels, and what they hide.

    ``mixed`` scenes have mixtures, of any two colors in places that need not make sense, and any surface is
    missing in some places, more often that in front; ``sloped`` ones slopes, some of which are beyond the limits.
    """

    def make(
        rng: np.random.Generator,
        shape: tuple[int, int, int],
        *,
        kernels: int = 3,
        parts: int = 2,
        size: tuple[int, int] = (3, 3),
        slices: int = 3,
        mixed: bool = False,
        sloped: bool = False,
        connected: bool = False,
    ) -> Scene:
        order = np.repeat(np.repeat(rng.integers(-1, slices - 1, shape), 2, axis=1), 3, axis=2)
        order = np.ascontiguousarray(order[:, : shape[1], : shape[2]].astype(np.int32))
        kernel = ((order + 1) % kernels).astype(np.int32)
        pixels = shape[1] * shape[2]
        some = rng.integers(0, pixels, shape, dtype=np.int32)
        farther = np.take_along_axis(order.reshape(-1, pixels), some.reshape(-1, pixels), axis=1).reshape(shape) < order
        hidden = np.where(farther, some, -1).astype(np.int32)
        weight = rng.random(parts) + 0.2
        more: dict[str, Any] = {"connected": connected}
        if mixed:
            there = rng.random(shape) < 0.4
            share = np.where(there, np.clip(rng.uniform(-0.3, 1.3, shape), 0, 1), 1.0)
            front, pure, behind = (rng.integers(0, pixels, shape, dtype=np.int32) for _ in range(3))
            hidden = np.where(there, behind, hidden)
            more["front"] = np.where(there, front, -1).astype(np.int32)
            more["share"], more["pure"] = share, np.where(there & (share > 0), pure, -1).astype(np.int32)
            missing = np.where(rng.random(shape) < 0.3, rng.integers(0, pixels, shape, dtype=np.int32), -1)
            in_front = there & (rng.random(shape) < 0.6)
            more["missing"] = np.where(in_front, front, missing).astype(np.int32)
        if sloped:
            more["slope"] = rng.normal(scale=0.5, size=(shape[0], 2, *shape[1:]))
            more["slope"][:, :, 0, :2] = ((2.0, -3.0), (3.0, -2.0))
            more["part_center"] = rng.uniform(-1, 1, (parts, 2))
        psf = point_spreads(rng, kernels * parts, size=size)
        return Scene(order, kernel, hidden, psf, weight / weight.sum(), **more)

    return make
