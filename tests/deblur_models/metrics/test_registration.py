"""A known homography is undone, and scores are those of RealBlur's script, written here with scikit-image."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from blursynth.errors import InvalidValueError
from deblur_models.metrics import Registered, metric, register

HEIGHT, WIDTH = 132, 176
HOMOGRAPHY = np.array([[1.004, 0.006, 3.3], [-0.005, 0.997, -2.4], [6e-6, -9e-6, 1.0]])  # of pixels (x, y, 1)


def light(x: NDArray[Any], y: NDArray[Any], seed: int, amplitude: float, least_px: float) -> NDArray[Any]:
    """A sum of waves that is known everywhere, also between pixels, ``[3, ...]``."""
    random = np.random.default_rng(seed)
    out = np.zeros((3, *x.shape))
    for channel in out:
        for _ in range(25):
            angle, length = random.uniform(0, 2 * np.pi), random.uniform(least_px, 70)
            channel += amplitude * np.cos(
                2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / length + random.uniform(0, 6)
            )
    return out


def seen(homography: NDArray[Any], x: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    h = homography
    depth = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    return (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / depth, (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / depth


def pair(exposure: float = 0.8) -> tuple[torch.Tensor, torch.Tensor]:
    """A sharp picture, and the same scene through the homography, darker and with an error of .007 or so."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    sharp = 0.5 + light(x, y, 1, 0.03, 9)
    restored = exposure * (0.5 + light(*seen(np.linalg.inv(HOMOGRAPHY), x, y), 1, 0.03, 9) + light(x, y, 2, 0.002, 12))
    assert 0 < min(sharp.min(), restored.min()) < max(sharp.max(), restored.max()) < 1
    return torch.from_numpy(restored)[None].float(), torch.from_numpy(sharp)[None].float()


def test_a_known_homography_is_undone() -> None:
    restored, sharp = pair()
    found = register(restored[0], sharp[0])
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(float)
    away = np.hypot(*(a - b for a, b in zip(seen(found.homography, x, y), seen(HOMOGRAPHY, x, y), strict=True)))
    assert away.max() < 0.3  # px; at its corners the pictures differ by some 4 px, and the error draws at them
    # By hand: error of the scaled picture where it shows something.
    there_x, there_y = seen(found.homography, x, y)
    shown = (there_x > -0.5) & (there_x < WIDTH - 0.5) & (there_y > -0.5) & (there_y < HEIGHT - 0.5)
    assert 0.93 < shown.mean() < 0.99
    assert (found.mask[0].numpy() != shown).mean() < 0.002
    exact, z = sharp[0].double().numpy(), restored[0].double().numpy()
    scale = (exact * z).sum() / (z * z).sum()
    back = seen(np.linalg.inv(HOMOGRAPHY), there_x, there_y)
    there = 0.8 * (0.5 + light(*back, 1, 0.03, 9) + light(there_x, there_y, 2, 0.002, 12))
    expected = -10 * np.log10(((scale * there - exact) ** 2)[:, shown].mean())
    assert 35 < expected < 45
    assert float(metric("registered")(restored, sharp)) == pytest.approx(expected, abs=0.1)
    assert float(metric("psnr")(restored, sharp)) < expected - 10
    assert float(metric("ssim")(restored, sharp)) < float(metric("registered", score="ssim")(restored, sharp)) - 0.1


@pytest.mark.parametrize("clip", [False, True])
def test_scores_are_those_of_the_script(clip: bool) -> None:
    restored, sharp = pair(exposure=0.6)
    sharp = (1.45 * sharp).clamp(max=1.0)  # saturated, so that scaled values exceed 1
    z, x = (np.ascontiguousarray(one[0].movedim(0, -1).numpy()) for one in (restored, sharp))
    scaled = (np.sum(x * z) / np.sum(z * z)) * z
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 100, 0)
    gray = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY) for one in (x, scaled)]
    _, warp = cv2.findTransformECC(
        *gray, np.eye(3, dtype=np.float32), cv2.MOTION_HOMOGRAPHY, criteria, np.ones((HEIGHT, WIDTH), np.uint8), 5
    )
    warped = cv2.warpPerspective(
        scaled, warp, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC + cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    mask = cv2.warpPerspective(
        np.ones_like(scaled), warp, (WIDTH, HEIGHT), flags=cv2.INTER_NEAREST + cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT, borderValue=0,
    )  # fmt: skip
    a, b = x * mask, warped * mask
    assert b.max() > 1.01
    if clip:
        b = b.clip(0, 1)
    psnr = 10 * np.log10(np.sum(mask) / np.sum((a - b) ** 2, dtype=np.float64))
    _, values = structural_similarity(
        a, b, channel_axis=-1, gaussian_weights=True, use_sample_covariance=False, data_range=1.0, full=True
    )
    inner = (slice(5, -5), slice(5, -5))
    ssim = ((values * mask)[inner].sum(axis=(0, 1)) / mask[inner].sum(axis=(0, 1))).mean()
    name = "_registered_clipped" if clip else "_registered"
    for score, expected, tolerance in (("psnr", psnr, 1e-3), ("ssim", ssim, 1e-4)):
        one = metric("registered", score=score, clip=clip)
        assert one.name == score + name
        assert float(one(restored, sharp)) == pytest.approx(expected, abs=tolerance)
    assert float(Registered(clip=True)(restored, sharp)) > float(Registered()(restored, sharp)) + 0.1


def test_pictures_of_a_batch_are_registered_one_by_one() -> None:
    restored, sharp = pair()
    one = Registered()
    both = one(torch.cat([restored, sharp.flip(-1)]), torch.cat([sharp, sharp.flip(-1)]))
    assert float(both[0]) == float(one(restored, sharp))
    assert float(both[1]) > 60  # nothing to undo


def test_pictures_that_have_nothing_in_common() -> None:
    restored, sharp = pair()
    with pytest.raises(InvalidValueError, match="entirely black"):
        Registered()(torch.zeros_like(sharp), sharp)
    with pytest.raises(InvalidValueError, match="No homography aligns"):
        Registered()(1 - restored, sharp)
    with pytest.raises(InvalidValueError, match=r"got shapes \[3, 132, 176\] and \[3, 132, 175\]"):
        register(restored[0], sharp[0, :, :, 1:])
    with pytest.raises(InvalidValueError, match="needs sides of at least 11 px"):
        Registered(score="ssim")(sharp[..., :9, :], sharp[..., :9, :])
