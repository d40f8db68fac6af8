"""What runs on CUDA devices keeps the laws of the kit: a few kinds on tiny pictures, in Triton's interpreter."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

import blursynth as bs
from blursynth.core import Degradation
from blursynth.testing import Adapter, laws
from blursynth.testing.degradations import adapted
from blursynth.testing.laws import Profile

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("torch") is None or find_spec("triton") is None, reason="needs torch and triton"),
]

STEPS: tuple[Degradation, ...] = (
    bs.kinds.GaussianBlur(sigma_px=0.5, aspect=0.5, angle_deg=30.0),
    bs.kinds.LinearMotion(length_px=3.0, angle_deg=30.0, border="circular"),
    bs.kinds.Rescale(factor=0.5),
)
HELD = (laws.linearity, laws.constants, laws.border)
TINY = Profile(examples=6, seconds=5.0)


def on_device(step: Degradation) -> tuple[Callable[..., Any], Adapter]:
    import torch
    from on_device import OnDevice

    device = "cuda" if torch.cuda.is_available() else "cpu"
    blur, adapter = adapted(step, array="torch", dtype="float32", device=device, largest=1.0, reach_px=4)

    def there(image: Any, **rest: Any) -> Any:
        if image.is_cuda:
            return blur(image, **rest)
        with OnDevice():
            return blur(image, **rest)

    return there, adapter


@pytest.mark.usefixtures("exact_fma")
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.kind)
def test_laws(step: Degradation) -> None:
    results = list(laws.examine(*on_device(step), laws=HELD, profile=TINY, power=False))
    broken = [str(result) for result in results if result.status in ("violated", "failed")]
    assert not broken, "\n\n".join(broken)
    assert sum(result.status == "kept" for result in results) >= 2
