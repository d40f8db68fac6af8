"""JPEG of tensors: libjpeg's values on the CPU, its steps on devices, kornia's codec for derivatives."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import skimage.data

import blursynth as bs
from blursynth.errors import InvalidValueError, MissingExtraError
from blursynth.testing import pictures

torch = pytest.importorskip("torch", reason="operators on tensors need torch")
pytest.importorskip("kornia", reason="the codec is kornia's")


def photographs() -> np.ndarray:
    cat, person = skimage.data.chelsea()[:288, 100:388], skimage.data.astronaut()[:288, 100:388]
    return np.ascontiguousarray(np.stack([np.moveaxis(p, -1, 0) for p in (cat, person)]) / np.float32(255))


def smooth(image: Any, quality: list[int], corners: list[tuple[int, int]]) -> Any:
    from blursynth.backends.torch.jpeg import jpeg

    return jpeg(image, quality, corners)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_derivative_leaves_the_values_alone(dtype: type, channels: int) -> None:
    frame = replace(pictures("display", channels=channels, dtype=dtype), origin_px=np.array([[3, 5], [40, 0]]))
    steps = [bs.kinds.Jpeg(quality=60), bs.kinds.Jpeg(quality=90, grid_row_px=3)]
    expected = bs.kinds.Jpeg.apply(steps, frame).image
    image = torch.from_numpy(frame.image)
    assert np.array_equal(bs.kinds.Jpeg.apply(steps, frame.with_image(image)).image.numpy(), expected)
    image.requires_grad_()
    out = bs.kinds.Jpeg.apply(steps, frame.with_image(image)).image
    assert np.array_equal(out.detach().numpy(), expected)
    (slope,) = torch.autograd.grad(out.square().sum(), image)
    assert slope.dtype == image.dtype
    assert torch.isfinite(slope).all()
    assert (slope != 0).any()
    with torch.no_grad():
        assert not bs.kinds.Jpeg.apply(steps, frame.with_image(image)).image.requires_grad


def test_a_picture_learns_what_comes_back_from_jpeg() -> None:
    """Following the derivative brings the decoded picture nearer to the one that is wanted."""
    wanted = torch.from_numpy(photographs()[:1, :, 100:132, 100:132])
    image = (wanted * 0.5 + 0.25).requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.04)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (bs.kinds.Jpeg(quality=50)(bs.Frame(image, "display")).image - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(("quality", "mean", "most"), [(50, 1.4, 40), (75, 1.25, 32), (95, 0.95, 16), (100, 0.6, 10)])
def test_difference_from_libjpeg(quality: int, mean: float, most: float) -> None:
    """The codec of derivatives, in codes; it differs, but about as much at most as the docstring says."""
    image = photographs()
    expected = 255 * bs.kinds.Jpeg(quality=quality)(bs.Frame(image, "display")).image
    got = 255 * smooth(torch.from_numpy(image), [quality] * 2, [(0, 0)] * 2).numpy()
    assert np.abs(got - np.rint(got)).max() < 1e-4  # codes
    difference = np.abs(got - expected)
    assert 0.1 * mean < difference.mean() < mean
    assert difference.max() < most
    harm = [np.abs(values - 255 * image).mean() for values in (got, expected)]
    assert 0.88 < harm[0] / harm[1] < 1.12


def test_a_batch_on_grids_of_their_own_equals_its_pictures() -> None:
    image = torch.from_numpy(photographs()[:, :, :45, :61]).repeat(2, 1, 1, 1)
    qualities, corners = [30, 60, 90, 60], [(0, 0), (5, 3), (0, 0), (16 + 5, 3)]
    whole = smooth(image, qualities, corners)
    for b in range(4):
        assert torch.equal(whole[b], smooth(image[b : b + 1], qualities[b : b + 1], corners[b : b + 1])[0])
    assert not torch.equal(whole[0], smooth(image[:1], [30], [(1, 0)])[0])


@pytest.mark.parametrize(("top", "left"), [(16, 32), (21, 45), (50, 63)])
def test_a_window_with_margin_equals_the_whole_of_a_derivative(top: int, left: int) -> None:
    image = torch.from_numpy(photographs()[:1])
    reach = bs.kinds.Jpeg(quality=50).reach_px(bs.Frame(image, "display"))
    assert reach is not None
    whole = smooth(image, [50], [(0, 0)])[..., top : top + 40, left : left + 44]
    part = (
        image[..., top - reach : top + 40 + reach, left - reach : left + 44 + reach]
        if min(top, left) >= reach
        else None
    )
    if part is None:
        part = image[..., : top + 40 + reach, : left + 44 + reach]
        inside = smooth(part, [50], [(0, 0)])[..., top : top + 40, left : left + 44]
    else:
        inside = smooth(part, [50], [(top - reach, left - reach)])[..., reach:-reach, reach:-reach]
    # Sums of float32 in another order may round another way: a code at most, and rarely.
    assert float((inside - whole).abs().max()) <= 1.01 / 255
    assert float((inside != whole).float().mean()) < 1e-3


def test_gray_has_no_chroma() -> None:
    gray = torch.from_numpy(photographs()[:, :1])
    expected = 255 * bs.kinds.Jpeg(quality=75)(bs.Frame(gray.numpy(), "display")).image
    got = 255 * smooth(gray, [75] * 2, [(0, 0)] * 2).numpy()
    assert got.shape == expected.shape
    assert np.abs(got - expected).mean() < 1.0


def test_other_subsamplings_have_no_derivative() -> None:
    image = torch.full((1, 3, 8, 8), 0.5, requires_grad=True)
    with pytest.raises(InvalidValueError, match="derivative only for subsampling '420'"):
        bs.kinds.Jpeg(quality=50, subsampling="444")(bs.Frame(image, "display"))
    gray = torch.full((1, 1, 8, 8), 0.5, requires_grad=True)
    assert bs.kinds.Jpeg(quality=50, subsampling="444")(bs.Frame(gray, "display")).image.requires_grad


def test_without_kornia_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    image = torch.full((1, 3, 8, 8), 0.5)
    bs.kinds.Jpeg(quality=50)(bs.Frame(image, "display"))  # libjpeg needs none
    with pytest.raises(MissingExtraError, match="extra 'torch'"):
        bs.kinds.Jpeg(quality=50)(bs.Frame(image.requires_grad_(), "display"))


def on_device(codes: np.ndarray, steps: list[bs.kinds.Jpeg], origin_px: np.ndarray) -> np.ndarray:
    """Codes of devices, computed where there may be none."""
    frame = bs.Frame(torch.from_numpy(codes / np.float32(255)), "display", origin_px=origin_px)
    return np.rint(255 * bs.kinds.Jpeg._on_device(steps, frame).numpy()).astype(int)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_steps_of_libjpeg(channels: int) -> None:
    """Nearly always its codes; a batch of all subsamplings, on grids of their own, equals its pictures to the bit."""
    codes = np.rint(255 * photographs()[:, :channels, 60:135, 70:171]).astype(np.uint8).repeat(3, axis=0)
    origin = np.array([[0, 0], [3, 5], [8, 13], [31, 16], [1, 1], [7, 30]])
    steps = [
        bs.kinds.Jpeg(quality=quality, subsampling=subsampling, grid_row_px=quality % 16)
        for quality, subsampling in zip((20, 60, 80, 90, 95, 100), ("420", "422", "444") * 2, strict=True)
    ]
    expected = bs.kinds.Jpeg.apply(steps, bs.Frame(codes / np.float32(255), "display", origin_px=origin))
    got = on_device(codes, steps, origin)
    difference = np.abs(got - np.rint(255 * expected.image))
    assert difference.mean() < 0.12
    assert (difference <= 1).mean() > 0.98
    assert (difference == 0).mean() > 0.88
    for b in range(6):
        assert np.array_equal(got[b], on_device(codes[b : b + 1], steps[b : b + 1], origin[b : b + 1])[0])


@pytest.mark.parametrize("subsampling", ["420", "422", "444"])
def test_a_window_with_margin_equals_the_whole_on_a_device(subsampling: str) -> None:
    codes = np.rint(255 * photographs()[:1]).astype(np.uint8)
    step = bs.kinds.Jpeg(quality=50, subsampling=subsampling)
    reach = 16 if subsampling != "444" else 7
    whole = on_device(codes, [step], np.array([[5, 3]]))
    for top, left in ((21, 45), (50, 63)):
        part = codes[..., top - reach : top + 40 + reach, left - reach : left + 44 + reach]
        inside = on_device(part, [step], np.array([[5 + top - reach, 3 + left - reach]]))
        assert np.array_equal(inside[..., reach:-reach, reach:-reach], whole[..., top : top + 40, left : left + 44])


def test_what_is_not_finite_is_seen() -> None:
    image = torch.full((1, 3, 16, 16), 0.5)
    image[0, 1, 3, 4] = torch.inf
    made = bs.kinds.Jpeg._on_device([bs.kinds.Jpeg(quality=50)], bs.Frame.unchecked(image, "display"))
    assert torch.isnan(made).nonzero().tolist() == [[0, 1, 3, 4]]
