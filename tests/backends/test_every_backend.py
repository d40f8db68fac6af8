"""Every operation on every backend beside the oracle: arrays, tensors of the CPU, and what runs on CUDA devices.

The oracle is plain float64; the arithmetic of the other three is their own, but that tensors of the CPU are worked on
by the kernels of arrays, so these two agree to the bit. Without a GPU the Triton kernels run in Triton's interpreter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields, is_dataclass, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from cases import CASES, Array, Case

from blursynth.backends import cpu, for_array, oracle
from blursynth.backends.protocol import OPERATIONS
from blursynth.physics.point_spread import PointSpreads
from blursynth.physics.surface_edges import SurfaceEdges

TORCH, TRITON = (find_spec(name) is not None for name in ("torch", "triton"))
if TORCH:
    import torch
    from on_device import OnDevice, on_device


DTYPES = (np.float64, np.float32)


def combinations(backends: tuple[str, ...], operations: tuple[str, ...] = OPERATIONS) -> list[Any]:
    """Backend, operation, case and type; of Triton's interpreter float32 with the first case only."""
    out = []
    for name in operations:
        for backend in backends:
            if (backend != "cpu" and not TORCH) or (backend == "device" and not TRITON):
                continue
            for case in CASES.get(name, []):
                for dtype in DTYPES:
                    slow = backend == "device" and not torch.cuda.is_available()
                    if dtype == np.float32 and (case.picture is None or (slow and case is not CASES[name][0])):
                        continue
                    if backend == "device" and case.picture is None:
                        continue
                    label = f"{name}, {case.label}, {backend}, {dtype.__name__}"
                    out.append(pytest.param(backend, name, case, dtype, id=label))
    return out


def on(backend: str, name: str, case: Case, picture: Any, dtype: type) -> Any:
    """The operation's result; ``picture`` is of the backend's own kind or None."""
    planes: dict[str, Any] = {n: plane.astype(dtype) for n, plane in case.planes.items()}
    module, mode = {"oracle": oracle, "cpu": cpu}.get(backend), nullcontext()
    if module is None:
        module = for_array(torch.zeros(1))
        planes = {n: torch.from_numpy(plane).to(getattr(picture, "device", "cpu")) for n, plane in planes.items()}
        if backend == "device" and not picture.is_cuda:
            mode = OnDevice()
    with mode:
        first = () if picture is None else (picture,)
        return getattr(module, name)(*first, **case.given, **planes)


def as_picture(backend: str, case: Case, dtype: type) -> Any:
    if case.picture is None:
        return None
    picture = case.picture.astype(dtype)
    if backend in ("oracle", "cpu"):
        return picture
    return torch.from_numpy(picture).to("cuda" if backend == "device" and torch.cuda.is_available() else "cpu")


def numbers(result: Any) -> Iterator[Array]:
    """All arrays of a result."""
    if isinstance(result, PointSpreads):
        for b in range(len(result)):
            yield from (result[b].dy, result[b].dx, result[b].weight)
    elif isinstance(result, SurfaceEdges):
        yield from (result.front, result.share, result.pure, result.hidden, result.missing)
        for values in (result.means.of, result.means.weight):  # as planes, which have pictures
            plane = np.full((result.front.size, 4), -1, values.dtype)
            plane[result.means.at] = values
            yield plane.reshape(*result.front.shape, 4)
    elif is_dataclass(result):
        yield from (getattr(result, f.name) for f in fields(result))
    else:
        yield result if isinstance(result, np.ndarray) else result.detach().cpu().numpy()


def test_every_operation_has_cases() -> None:
    """A new method of ``Backend`` is tried on every backend, or this fails."""
    assert set(CASES) == set(OPERATIONS)
    assert all(CASES.values())


@pytest.mark.parametrize(("backend", "name", "case", "dtype"), combinations(("cpu", "torch", "device")))
def test_equals_the_oracle(backend: str, name: str, case: Case, dtype: type, request: pytest.FixtureRequest) -> None:
    if backend == "device":
        if name not in on_device():
            pytest.skip("not made on devices")
        request.getfixturevalue("exact_fma")
    picture = as_picture(backend, case, dtype)
    result = on(backend, name, case, picture, dtype)
    if picture is not None:
        assert np.array_equal(next(numbers(picture)), case.picture.astype(dtype)), "the picture was changed"  # type: ignore[union-attr]
        assert not case.keeps_dtype or result.dtype == picture.dtype
    got = list(numbers(result))
    if backend == "torch":
        arrays = numbers(on("cpu", name, case, as_picture("cpu", case, dtype), dtype))
        assert all(np.array_equal(a, b) for a, b in zip(got, arrays, strict=True))
    if dtype not in case.error:
        return
    expected = list(numbers(on("oracle", name, case, as_picture("oracle", case, dtype), dtype)))
    light = 0.0 if case.picture is None else float(np.abs(case.picture).max())
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        limit = case.error[dtype] * max(light, float(np.abs(b).max(initial=1.0)))
        assert np.abs(a.astype(np.float64) - b).max(initial=0.0) <= limit


TRANSPOSED = tuple(name for name in OPERATIONS if f"{name}_adjoint" in OPERATIONS)


@pytest.mark.parametrize(("backend", "name", "case", "dtype"), combinations(("oracle", "cpu"), TRANSPOSED))
def test_the_adjoint_is_the_transpose(backend: str, name: str, case: Case, dtype: type) -> None:
    """``<A x, y> = <x, A' y>``, scaled by the norms; of tensors, since both equal the oracle's."""
    x = as_picture(backend, case, dtype)
    ax = on(backend, name, case, x, dtype)
    y = ax * 2 + 0.25
    back = on(backend, f"{name}_adjoint", replace(case, given={**case.given, **case.of_adjoint}), y, dtype)
    one, two, three, four = (next(numbers(a)).astype(np.float64) for a in (ax, y, x, back))
    bound = 1e-12 if dtype == np.float64 else 1e-5
    assert abs((one * two).sum() - (three * four).sum()) <= bound * np.linalg.norm(two) * np.linalg.norm(three)


@pytest.mark.parametrize(
    ("backend", "name", "case", "dtype"),
    [
        c
        for c in combinations(("cpu",))
        if c.values[2].picture is not None and c.values[1] != "to_codes" and c.values[2].given.get("border") != "valid"
    ],
)
def test_a_batch_is_its_pictures_one_by_one(backend: str, name: str, case: Case, dtype: type) -> None:
    """To the bit. ``VALID`` cuts off what the widest point spread of a batch lacks, so pictures alone are larger."""
    together = list(numbers(on(backend, name, case, as_picture(backend, case, dtype), dtype)))
    assert case.picture is not None
    for b in range(len(case.picture)):
        own = case.of_picture(b)
        alone = list(numbers(on(backend, name, own, as_picture(backend, own, dtype), dtype)))
        assert all(np.array_equal(one[0], all_[b]) for one, all_ in zip(alone, together, strict=True))


# One case each: some kernels are compiled anew for every layout, those of surface_edges for half a minute.
STORED = [name for name in OPERATIONS if CASES[name][0].picture is not None and name != "surface_edges"]


@pytest.mark.parametrize("name", STORED)
def test_pictures_may_lie_anyhow_in_memory(name: str) -> None:
    case, dtype = CASES[name][0], np.float32
    picture = as_picture("cpu", case, dtype)
    expected = list(numbers(on("cpu", name, case, picture, dtype)))
    turned = np.asfortranarray(picture)
    interleaved = np.moveaxis(np.ascontiguousarray(np.moveaxis(picture, 1, -1)), -1, 1)
    room = np.zeros([n + 3 for n in picture.shape], dtype)
    inside = room[tuple(slice(1, n + 1) for n in picture.shape)]
    inside[:] = picture
    locked = picture.copy()
    locked.flags.writeable = False
    for other in (turned, interleaved, inside, picture[::-1].copy()[::-1], locked):
        got = numbers(on("cpu", name, case, other, dtype))
        assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


SMOOTH = [pytest.param(name, case, id=f"{name}, {case.label}") for name in CASES for case in CASES[name] if case.smooth]


@pytest.mark.skipif(not TORCH, reason="derivatives need torch")
@pytest.mark.parametrize(("name", "case"), SMOOTH)
def test_derivative_by_the_picture(name: str, case: Case) -> None:
    """That of differences; and of linear operations the second one too."""
    picture = as_picture("torch", case, np.float64).requires_grad_()
    scale = float(np.abs(case.picture).max())  # type: ignore[arg-type]

    def work(x: Any) -> Any:
        return on("torch", name, case, x, np.float64)

    assert torch.autograd.gradcheck(work, (picture,), fast_mode=True, eps=1e-6 * scale, atol=1e-5)
    if name in TRANSPOSED or name.endswith("_adjoint"):
        assert torch.autograd.gradgradcheck(work, (picture,), fast_mode=True)
