"""The Triton kernels against the oracle: on a GPU if there is one, else in Triton's interpreter on tiny pictures."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from blursynth.backends import for_array, reference
from blursynth.frame import Border
from blursynth.physics.colour import srgb_codes
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.scene import Scene

torch = pytest.importorskip("torch", reason="the kernels take tensors of torch")
pytest.importorskip("triton", reason="the kernels are written in Triton")

SAME_SIZE = [b for b in Border if b != Border.VALID]
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
# The interpreter takes its time: the arithmetic of all borders in float64, and float32 with one of them.
every_case = pytest.mark.parametrize(
    ("border", "dtype"), [*((b, np.float64) for b in SAME_SIZE), (Border.REFLECT, np.float32)]
)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def taps(psf: Any) -> tuple[Any, ...]:
    return tuple(torch.from_numpy(a) for a in (psf.start, psf.dy, psf.dx, psf.weight))


def close(got: Any, expected: np.ndarray, dtype: type) -> None:
    assert got.cpu().numpy().dtype == dtype
    assert got.shape == expected.shape
    assert np.abs(got.cpu().numpy() - expected).max() <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max())


def transposed(x: Any, ax: Any, z: Any, atz: Any) -> None:
    """``<A x, z> = <x, A' z>``, scaled by the norms."""
    bound = 1e-12 if x.dtype == torch.float64 else 1e-5
    x, ax, z, atz = (a.cpu().double() for a in (x, ax, z, atz))
    assert abs(float((ax * z).sum() - (x * atz).sum())) <= bound * float(x.norm() * z.norm())


@every_dtype
@pytest.mark.parametrize("border", list(Border))
@pytest.mark.parametrize("batch", [1, 2])
def test_convolve(border: Border, dtype: type, batch: int, device: str, make_point_spreads: Callable[..., Any]) -> None:
    from blursynth.backends.cuda.convolve import convolve, convolve_adjoint

    rng = np.random.default_rng(1)
    psf = make_point_spreads(rng, batch, size=(2, 3))
    margins = reference.valid_margins_px(psf) if border == Border.VALID else (0, 0, 0, 0)
    # Wider than a tile, and smaller than the reach; two pictures, and two channels.
    shape = (1, 2, 3, 131) if batch == 1 else (2, 1, 5, 5) if border == Border.VALID else (2, 1, 9, 2)
    image = rng.normal(size=shape).astype(dtype)
    there = torch.from_numpy(image).to(device)
    got = convolve(there, *taps(psf), border.value, margins)
    close(got, reference.convolve(image.astype(np.float64), psf, border=border), dtype)
    back = convolve_adjoint(got, *taps(psf), border.value, margins)
    close(back, reference.convolve_adjoint(got.cpu().numpy().astype(np.float64), psf, border=border), dtype)
    transposed(there, got, got, back)


@every_dtype
def test_srgb(dtype: type, device: str) -> None:
    from blursynth.backends.cuda.srgb import srgb_decode, srgb_encode

    rng = np.random.default_rng(2)
    image = rng.uniform(-0.2, 1.5, (3, 2, 5, 7)).astype(dtype)
    image[0, 0, 0, :3] = (0.0, 1.0, 0.5)
    there = torch.from_numpy(image).to(device)
    close(srgb_decode(there), reference.srgb_decode(image.astype(np.float64)), dtype)
    got = srgb_encode(there, [0, 255, 65535])
    close(got[:1], reference.srgb_encode(image[:1].astype(np.float64)), dtype)
    for b, levels in ((1, 255), (2, 65535)):
        assert np.array_equal(np.rint(got[b].cpu().numpy().astype(np.float64) * levels), srgb_codes(image[b], levels))


@every_case
def test_convolve_varying(border: Border, dtype: type, device: str, make_field: Callable[..., Any]) -> None:
    from blursynth.backends.cuda.convolve_varying import convolve_varying, convolve_varying_adjoint

    rng = np.random.default_rng(3)
    for batch, levels in ((1, 3), (2, 1)) if border == Border.CONSTANT else ((1, 2),):
        field = make_field(rng, batch, levels=levels)
        image = rng.normal(size=(batch, 1, 5, 6)).astype(dtype)
        level = rng.uniform(-0.4, 2.4, (batch, 5, 6)).astype(dtype) if levels > 1 else None
        exact = None if level is None else level.astype(np.float64)
        there = torch.from_numpy(image).to(device)
        rest = (
            None if level is None else torch.from_numpy(level).to(device),
            *taps(field.psf),
            (levels, field.rows, field.columns),
            torch.from_numpy(field.first_px),
            field.step_px,
            border.value,
        )
        got = convolve_varying(there, *rest)
        close(got, reference.convolve_varying(image.astype(np.float64), field, exact, border=border), dtype)
        back = convolve_varying_adjoint(there, *rest)
        close(back, reference.convolve_varying_adjoint(image.astype(np.float64), field, exact, border=border), dtype)
        transposed(there, got, there, back)


@every_case
def test_warp_mean(border: Border, dtype: type, device: str, make_warps: Callable[..., Any]) -> None:
    from blursynth.backends.cuda.warp_mean import warp_mean, warp_mean_adjoint

    rng = np.random.default_rng(4)
    for batch, height, moves in ((1, None, True), (2, 4, border == Border.REFLECT)):
        warps = make_warps(rng, batch, height=height, moves=moves)
        image = rng.normal(size=(batch, 3 - batch, 4, 9)).astype(dtype)
        depth = rng.uniform(0.2, 1.5, (batch, 4, 9)).astype(dtype) if moves else None
        exact = None if depth is None else depth.astype(np.float64)
        rest = (
            None if depth is None else torch.from_numpy(depth).to(device),
            *(torch.from_numpy(a) for a in (warps.matrix, warps.shift, warps.first, warps.weight)),
            border.value,
        )
        there = torch.from_numpy(image).to(device)
        got, back = warp_mean(there, *rest), warp_mean_adjoint(there, *rest)
        close(got, reference.warp_mean(image.astype(np.float64), warps, exact, border=border), dtype)
        close(back, reference.warp_mean_adjoint(image.astype(np.float64), warps, exact, border=border), dtype)
        transposed(there, got, there, back)


@pytest.mark.parametrize("border", [Border.REFLECT, Border.CONSTANT])
def test_slope_by_depth(border: Border, device: str, make_warps: Callable[..., Any]) -> None:
    """As the kernel of the CPU, whose derivative is held against differences."""
    from blursynth.backends.cuda.warp_mean import warp_mean_depth

    rng = np.random.default_rng(5)
    warps = make_warps(rng, 2, height=4, times=3)
    image, back = (torch.from_numpy(rng.normal(size=(2, 1, 4, 5))) for _ in range(2))
    depth = torch.from_numpy(rng.uniform(0.2, 1.5, (2, 4, 5)))
    rest = (*(torch.from_numpy(a) for a in (warps.matrix, warps.shift, warps.first, warps.weight)), border.value)
    for_array(image)  # declares the operators
    expected = torch.ops.blursynth.warp_mean_depth(image, back, depth, *rest)
    got = warp_mean_depth(image.to(device), back.to(device), depth.to(device), *rest)
    close(got, expected.numpy(), np.float64)


@every_case
def test_composite(border: Border, dtype: type, device: str, make_scene: Callable[..., Any]) -> None:
    from blursynth.backends.cuda.composite import composite, composite_adjoint

    rng = np.random.default_rng(6)
    full = border == Border.REFLECT and dtype == np.float64
    scene = make_scene(rng, (1, 5, 6), parts=2 if full else 1, size=(2, 2))
    image = rng.normal(size=(1, 3 if full else 1, 5, 6)).astype(dtype)
    rest = (
        *(torch.from_numpy(a) for a in (scene.order, scene.kernel, scene.hidden)),
        *taps(scene.psf),
        torch.from_numpy(scene.part_weight),
        border.value,
    )
    there = torch.from_numpy(image).to(device)
    got, back = composite(there, *rest), composite_adjoint(there, *rest)
    close(got, reference.composite(image.astype(np.float64), scene, border=border), dtype)
    close(back, reference.composite_adjoint(image.astype(np.float64), scene, border=border), dtype)
    transposed(there, got, there, back)


def test_composite_of_several_tiles(device: str) -> None:
    """Tiles in focus look no farther than the blur near by reaches; what is blurred still reaches into them."""
    from blursynth.backends.cuda.composite import composite

    rng = np.random.default_rng(7)
    order = np.zeros((1, 4, 67), np.int32)
    order[:, 1:3, 29:31] = 1  # in the first of three tiles, and reaching into the second
    hidden = reference.hidden_surface(order, gap=1, reach_px=6)
    wide = np.zeros((5, 5))
    wide[[0, 2, 4, 2, 2], [2, 0, 2, 4, 2]] = 0.2
    psf = PointSpreads.from_dense([np.ones((1, 1)), wide])
    scene = Scene(order, order.copy(), hidden, psf)
    image = rng.random((1, 1, 4, 67))
    rest = (
        *(torch.from_numpy(a) for a in (scene.order, scene.kernel, scene.hidden)),
        *taps(scene.psf),
        torch.from_numpy(scene.part_weight),
        "reflect",
    )
    there = torch.from_numpy(image).to(device)
    close(composite(there, *rest), reference.composite(image, scene, border=Border.REFLECT), np.float64)


ON_DEVICE = {
    "convolve": ("convolve", "_convolve_cuda"),
    "convolve_adjoint": ("convolve", "_adjoint_cuda"),
    "convolve_varying": ("convolve_varying", "_varying_cuda"),
    "convolve_varying_adjoint": ("convolve_varying", "_adjoint_cuda"),
    "warp_mean": ("warp_mean", "_mean_cuda"),
    "warp_mean_adjoint": ("warp_mean", "_adjoint_cuda"),
    "warp_mean_depth": ("warp_mean", "_depth_cuda"),
    "composite": ("composite", "_composite_cuda"),
    "composite_adjoint": ("composite", "_adjoint_cuda"),
    "srgb_decode": ("srgb", "_decode_cuda"),
    "srgb_encode": ("srgb", "_encode_cuda"),
}


def test_operators_hand_their_arguments_to_the_kernels(
    make_point_spreads: Any, make_field: Any, make_warps: Any, make_scene: Any
) -> None:
    """What torch calls for tensors on a CUDA device takes the operator's own arguments, and gives the same picture."""
    rng = np.random.default_rng(8)
    ops: Any = for_array(torch.zeros(1))
    psf, field, warps, scene = (
        make_point_spreads(rng, 1, size=(2, 2)),
        make_field(rng, 1, levels=2, rows=1, columns=1),
        make_warps(rng, 1, times=2),
        make_scene(rng, (1, 4, 5), parts=1, size=(1, 2)),
    )
    image = torch.from_numpy(rng.random((1, 1, 4, 5))).requires_grad_()
    level = torch.from_numpy(rng.random((1, 4, 5))).requires_grad_()
    seen: dict[str, Any] = {}

    class Recorder(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = function(*args, **(kwargs or {}))
            if function.namespace == "blursynth":
                seen.setdefault(str(function).split(".")[1], (args, result))
            return result

    with Recorder():
        for picture in (
            ops.convolve(image, psf, border="reflect"),
            ops.convolve_varying(image, field, level, border="replicate"),
            ops.warp_mean(image, warps, level, border="reflect"),
            ops.composite(image, scene, border="constant"),
            ops.srgb_decode(image),
            ops.srgb_encode(image, levels=[255]),
        ):
            picture.sum().backward()
    with torch.no_grad():
        for name, (module, adapter) in ON_DEVICE.items():
            args, expected = seen[name]
            run = getattr(importlib.import_module(f"blursynth.backends.torch_ops.{module}"), adapter)
            close(run(*args), expected.numpy(), np.float64)
            if name in ("warp_mean_adjoint", "composite_adjoint"):
                torch.use_deterministic_algorithms(True)
                try:
                    assert torch.equal(run(*args), expected)
                finally:
                    torch.use_deterministic_algorithms(False)
