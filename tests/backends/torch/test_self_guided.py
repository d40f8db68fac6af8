"""The guided filter on tensors: the kernel's bytes on the CPU, window means elsewhere, an exact derivative."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from blursynth.backends import cpu, for_array
from blursynth.errors import InvalidValueError

torch = pytest.importorskip("torch", reason="operators on tensors need torch")

STRENGTH, RADIUS = np.array([0.1, 0.0, 0.3]), np.array([1, 2, 3])


def picture(dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, (3, 2, 9, 11)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_bytes_of_arrays(dtype: type) -> None:
    tensor = torch.from_numpy(picture(dtype))
    found = for_array(tensor).self_guided(tensor, STRENGTH, RADIUS)
    assert np.array_equal(found.numpy(), cpu.self_guided(picture(dtype), STRENGTH, RADIUS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_runs_on_other_devices_is_the_same_filter(dtype: type) -> None:
    module = importlib.import_module("blursynth.backends.torch.self_guided")
    found = module._self_guided_cuda(
        torch.from_numpy(picture(dtype)), torch.from_numpy(STRENGTH), torch.from_numpy(RADIUS)
    )
    expected = cpu.self_guided(picture(), STRENGTH, RADIUS)
    assert np.abs(found.numpy() - expected).max() <= (1e-12 if dtype == np.float64 else 2e-6)
    assert not found[1].any()


def test_derivative_and_schema() -> None:
    image = torch.from_numpy(picture()[..., :5, :6].copy()).requires_grad_()
    operator = for_array(image).self_guided
    assert torch.autograd.gradcheck(lambda x: operator(x, STRENGTH, RADIUS), image)
    torch.library.opcheck(
        torch.ops.blursynth.self_guided.default, (image, torch.from_numpy(STRENGTH), torch.from_numpy(RADIUS))
    )


def test_numbers_that_do_not_fit_are_refused() -> None:
    tensor = torch.from_numpy(picture())
    for strength, radius in ((STRENGTH[:2], RADIUS), (-STRENGTH, RADIUS), (STRENGTH, RADIUS - 1)):
        with pytest.raises(InvalidValueError, match="strength and radius_px must be"):
            for_array(tensor).self_guided(tensor, strength, radius)
