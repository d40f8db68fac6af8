"""The kernel of a draw is what a point of light becomes in it."""

from __future__ import annotations

import numpy as np
import pytest

import blursynth as bs
from blursynth.degradations.published.deblurgan_blur import DeblurganBlur
from blursynth.io import assets
from blursynth.testing import laws
from blursynth.testing.degradations import adapted

RECORDED = assets.register(np.array([[0.0, 0.1, 0.0], [0.3, 0.1, 0.2], [0.0, 0.2, 0.1]]))
WALK = {"anxiety": 0.005, "centripetal": 0.7, "big_shake": 0.2, "gaussian": 10.0, "heading_deg": 30.0, "seed": 1}
DRAWS: dict[str, tuple[bs.Degradation, ...]] = {
    "no blur": (bs.kinds.Identity(), bs.kinds.Exposure(exposure_s=0.1, metered_s=0.1)),
    "one": (bs.kinds.LinearMotion(length_px=7.0, angle_deg=30.0),),
    "a recorded one": (bs.kinds.MeasuredBlur(kernel=RECORDED),),
    "two": (bs.kinds.GaussianBlur(sigma_px=0.8), bs.kinds.RandomWalkMotion(length_px=12.0, anxiety=0.01, seed=2)),
    "a small one behind a large one": (
        bs.kinds.DiskBlur(diameter_px=9.0), bs.kinds.Identity(), bs.kinds.MeasuredBlur(kernel=RECORDED),
    ),
    "three": (
        bs.kinds.AcceleratedMotion(speed_px=3.0, angle_deg=30.0, acceleration_px=9.0),
        bs.kinds.PolygonBlur(diameter_px=5.0, blades=5), bs.kinds.AiryBlur(f_number=8.0),
    ),
}  # fmt: skip


def draw_of(*steps: bs.Degradation) -> bs.Draw:
    return bs.Draw(tuple((f"step {n}", step) for n, step in enumerate(steps)))


@pytest.mark.parametrize("name", DRAWS)
def test_it_is_what_a_point_of_light_becomes(name: str) -> None:
    """And nothing lies beyond it."""
    kernel = draw_of(*DRAWS[name]).kernel()
    assert kernel is not None
    blur, adapter = adapted(draw_of(*DRAWS[name]), linear=True, kernel=kernel, reach_px=len(kernel) // 2)
    for law in (laws.impulse_response, laws.flux):
        law.check(blur, adapter)


def test_variances_of_blurs_add_up() -> None:
    kernel = draw_of(
        bs.kinds.Decode(), bs.kinds.GaussianBlur(sigma_px=1.5), bs.kinds.GaussianBlur(sigma_px=2.0)
    ).kernel()
    assert kernel is not None
    y = np.arange(len(kernel)) - len(kernel) // 2
    # Each Gaussian is integrated over pixels, which adds 1/12.
    assert (kernel.sum(axis=1) * y**2).sum() == pytest.approx(1.5**2 + 2.0**2 + 2 / 12, rel=1e-4)


def test_it_is_not_there_where_the_blur_varies() -> None:
    assert draw_of(bs.kinds.GaussianBlur(sigma_px=1.0), bs.kinds.Zoom(scale=1.05)).kernel() is None
    assert draw_of(bs.kinds.Zoom(scale=1.05)).kernel() is None


def test_short_exposures_as_published_may_keep_the_light_that_they_have() -> None:
    step = DeblurganBlur(exposure_fraction=0.25, stretch=False, **WALK)  # type: ignore[arg-type]
    bright, dim = draw_of(step).kernel(), draw_of(step).kernel(normalized=False)
    assert bright is not None
    assert dim is not None
    assert dim.sum() == pytest.approx(0.25, rel=0.01)
    assert np.allclose(bright, dim / dim.sum(), rtol=1e-12, atol=0)
    middle = len(bright) // 2
    point = np.zeros((1, 1, 2 * middle + 1, 2 * middle + 1))
    point[..., middle, middle] = 1.0
    assert np.abs(step(bs.Frame(point, "display")).image[0, 0] - bright).max() <= 1e-12


@pytest.mark.parametrize("kind", bs.kinds.ALL, ids=lambda k: k.kind)
def test_a_kind_that_blurs_has_a_point_spread_or_varies(kind: type[bs.Degradation]) -> None:
    """Any other would be missing in kernels."""
    has_one = kind.point_spread is not bs.Degradation.point_spread
    assert has_one + kind.varies == kind.blurs
