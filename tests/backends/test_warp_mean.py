"""The mean of warps on the CPU against the reference: every form of motion, border, size and type."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from blursynth.backends import cpu, oracle
from blursynth.errors import InvalidValueError
from blursynth.frame import Border
from blursynth.physics.warps import Warps

BORDERS = ("reflect", "replicate", "circular", "constant")
FORMS = ("affine", "projective", "parallax", "depth")


def motion(
    rng: np.random.Generator,
    form: str,
    size: tuple[int, int],
    *,
    pictures: int = 2,
    strength: float = 1.0,
    rolling: bool = False,
) -> Warps:
    """Random warps about the middle of a picture."""
    height, width = size
    times = 5
    center = np.array([[1, 0, -(width - 1) / 2], [0, 1, -(height - 1) / 2], [0, 0, 1]])
    matrix, shift = np.empty((pictures, times, 3, 3)), np.zeros((pictures, times, 3))
    for b in range(pictures):
        for t in range(times):
            a = 0.03 * strength * rng.normal()
            x, y = 2 * strength * rng.normal(size=2)
            turn = np.array([[np.cos(a), -np.sin(a), x], [np.sin(a), np.cos(a), y], [0, 0, 1.0]])
            if form in ("projective", "depth"):
                turn[2] = (*(1e-4 * strength * rng.normal(size=2)), 1.1)
            if form in ("parallax", "depth"):
                shift[b, t] = rng.normal(size=3) * (3 * strength, 3 * strength, 0.003 * strength * (form == "depth"))
            matrix[b, t] = np.linalg.inv(center) @ turn @ center
            if form in ("affine", "parallax"):
                matrix[b, t, 2] = (0, 0, 1)
    if rolling:
        first = rng.integers(0, 3, (pictures, height))
        weight = rng.random((pictures, height, 3))
        weight[..., 0] *= rng.random((pictures, height)) > 0.5  # weights of 0 are skipped
    else:
        first, weight = np.zeros((pictures, 1), int), rng.random((pictures, 1, times))
    return Warps(matrix, shift, first, weight / weight.sum(axis=-1, keepdims=True))


def inverse_depths(
    rng: np.random.Generator, form: str, size: tuple[int, int], edges: bool
) -> NDArray[np.float64] | None:
    if form in ("affine", "projective"):
        return None
    smooth = 0.5 + 0.3 * np.linspace(0, 1, size[1]) + np.zeros((2, *size))
    return np.where(rng.random(smooth.shape) > 0.7, 1.5, smooth) if edges else smooth


def compare(
    image: NDArray[np.floating], warps: Warps, depth: NDArray[np.floating] | None, border: Border | str
) -> None:
    border = Border(border)
    double = image.dtype == np.float64
    expected = oracle.warp_mean(image, warps, depth, border=border)
    got = cpu.warp_mean(image, warps, depth, border=border)
    assert got.dtype == image.dtype
    assert np.abs(got - expected).max() <= (1e-12 if double else 2e-5) * np.abs(image).max()
    expected = oracle.warp_mean_adjoint(image, warps, depth, border=border)
    got = cpu.warp_mean_adjoint(image, warps, depth, border=border)
    assert got.dtype == image.dtype
    assert np.abs(got - expected).max() <= (1e-12 if double else 2e-5) * max(1.0, float(np.abs(expected).max()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("border", BORDERS)
def test_as_the_reference(form: str, border: str, dtype: type) -> None:
    rng = np.random.default_rng(0)
    for size, channels in (((20, 21), 3), ((3, 2), 1), ((1, 1), 2)):
        for rolling in (False, True):
            image = rng.normal(size=(2, channels, *size)).astype(dtype)
            depth = inverse_depths(rng, form, size, edges=rolling)
            warps = motion(rng, form, size, rolling=rolling)
            compare(image, warps, None if depth is None else depth.astype(dtype), border)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("strength", [0.05, 1.0, 8.0])
def test_larger_pictures_than_a_tile(form: str, strength: float, dtype: type) -> None:
    rng = np.random.default_rng(1)
    size = (101, 401)
    image = rng.normal(size=(1, 4, *size)).astype(dtype)
    depth = inverse_depths(rng, form, size, edges=strength == 1.0)
    warps = motion(rng, form, size, pictures=1, strength=strength)
    compare(image, warps, None if depth is None else depth[:1].astype(dtype), "reflect")


def test_motion_far_beyond_the_picture() -> None:
    """More than a patch may hold: pixel by pixel."""
    rng = np.random.default_rng(2)
    image = rng.normal(size=(1, 3, 12, 15))
    far = np.tile(np.eye(3), (1, 2, 1, 1))
    far[0, 0, :2, 2], far[0, 1, :2, 2] = (-4000.3, 5000.1), (3000.7, -4500.6)
    warps = Warps(far, np.zeros((1, 2, 3)), np.zeros((1, 1), int), np.array([[[0.4, 0.6]]]))
    for border in BORDERS:
        compare(image, warps, None, border)


def test_the_bytes_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(3)
    image = rng.random((1, 3, 200, 790), dtype=np.float32)
    warps = motion(rng, "projective", (200, 790), pictures=1)
    for operation in (cpu.warp_mean, cpu.warp_mean_adjoint):
        one = operation(image, warps, border=Border.REFLECT, threads=1)
        for threads in (2, 3, 5):
            assert np.array_equal(operation(image, warps, border=Border.REFLECT, threads=threads), one)


def test_bad_input_is_refused() -> None:
    image = np.zeros((1, 1, 4, 5))
    still = (np.zeros((1, 1), int), np.ones((1, 1, 1)))
    behind = Warps(np.diag([1.0, 1, -1])[None, None], np.zeros((1, 1, 3)), *still)
    sideways = Warps(np.eye(3)[None, None], np.ones((1, 1, 3)), *still)
    cases = [
        (image, behind, None, Border.REFLECT, "behind the camera"),
        (image, sideways, None, Border.REFLECT, "needs depth"),
        (image, sideways, np.ones((1, 4, 4)), Border.REFLECT, "inverse_depth must have the shape"),
        (image, sideways, np.ones((1, 4, 5)), Border.VALID, "no meaning"),
        (image[0], sideways, None, Border.REFLECT, "B, C, H, W"),
    ]
    for operation in (cpu.warp_mean, cpu.warp_mean_adjoint):
        for picture, warps, depth, border, message in cases:
            with pytest.raises(InvalidValueError, match=message):
                operation(picture, warps, depth, border=border)


def test_only_pixels_that_exist_must_look_ahead() -> None:
    """Corners of the box in position and depth that no pixel has may lie behind the camera."""
    warps = Warps(
        np.array([[1.0, 0, 0], [0, 1, 0], [0.3, 0, 1]])[None, None],
        np.array([0.0, 0, -1.2])[None, None],
        np.zeros((1, 1), int),
        np.ones((1, 1, 1)),
    )
    depth = np.linspace(0.1, 1.0, 6) * np.ones((1, 4, 1))
    image = np.random.default_rng(5).normal(size=(1, 2, 4, 6))
    compare(image, warps, depth, "reflect")
