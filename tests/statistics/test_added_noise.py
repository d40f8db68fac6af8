"""Noise that is added without a sensor: its moments, what channels share, and its keys. Fixed seeds, 5 sigma."""

from __future__ import annotations

import numpy as np
import pytest

import blursynth as bs

SIGMAS = 5.0
SIZE = (600, 600)
N = 3 * SIZE[0] * SIZE[1]  # 1,080,000


def flat(*levels: float) -> bs.Frame:
    image = np.empty((1, len(levels), *SIZE), np.float64)
    image[0] = np.array(levels)[:, None, None]
    return bs.Frame(image, "linear")


@pytest.mark.parametrize("correlation", [0.0, 0.27, 1.0])
def test_gaussian_noise(correlation: float) -> None:
    frame = flat(0.2, 0.5, 0.9)
    noise = (bs.kinds.GaussianNoise(sigma=0.08, correlation=correlation, seed=3)(frame).image - frame.image)[0]
    each = N / 3
    for c in range(3):
        assert abs(noise[c].mean()) <= SIGMAS * 0.08 / np.sqrt(each)
        assert abs(noise[c].var() / 0.08**2 - 1) <= SIGMAS * np.sqrt(2 / each)
        for there in (noise[c, 1:] * noise[c, :-1], noise[c, :, 1:] * noise[c, :, :-1]):
            assert abs(there.mean()) / 0.08**2 <= SIGMAS / np.sqrt(there.size)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        found = np.corrcoef(noise[one].ravel(), noise[other].ravel())[0, 1]
        assert abs(found - correlation) <= SIGMAS * (1 - correlation**2) / np.sqrt(each) + 1e-12
    if correlation == 1:
        assert np.abs(noise[0] - noise[1]).max() <= 1e-15


def test_gaussian_noise_of_a_batch_is_that_of_its_pictures() -> None:
    """Gray noise alone needs one channel, beside colored noise more: its numbers are the same."""
    gray, colored = (bs.kinds.GaussianNoise(sigma=0.1, correlation=c, seed=9) for c in (1.0, 0.4))
    frame = bs.Frame.stack([flat(0.5, 0.5, 0.5).crop(0, 0, 20, 30)] * 2)
    draws = [bs.Draw((("noise", step),)) for step in (gray, colored)]
    together = bs.apply(draws, frame).image
    assert np.array_equal(together[:1], gray(frame[0]).image)
    assert np.array_equal(together[1:], colored(frame[1]).image)


@pytest.mark.parametrize("gray", [False, True])
def test_poisson_noise(gray: bool) -> None:
    """``E y = x`` and ``var y = scale^2 x / peak``, of the luma where it is gray."""
    levels = (0.1, 0.4, 0.8)
    peak, scale = 256.0, 1.7
    frame = flat(*levels)
    noise = (bs.kinds.PoissonNoise(peak=peak, scale=scale, gray=gray, seed=4)(frame).image - frame.image)[0]
    luma = float(np.dot((0.299, 0.587, 0.114), levels))
    each = N / 3
    for c, level in enumerate(levels):
        mean = (luma if gray else level) * peak
        variance = scale**2 * mean / peak**2
        assert abs(noise[c].mean()) <= SIGMAS * np.sqrt(variance / each)
        assert abs(noise[c].var() / variance - 1) <= SIGMAS * np.sqrt((2 + 1 / mean) / each)
    correlation = np.corrcoef(noise.reshape(3, -1))[0, 1]
    assert abs(correlation - gray) <= SIGMAS / np.sqrt(each)


def test_poisson_noise_of_darkness_and_of_negative_light() -> None:
    frame = flat(0.0, -0.3, 0.0)
    for gray in (False, True):
        assert np.array_equal(bs.kinds.PoissonNoise(peak=50.0, gray=gray, seed=4)(frame).image, frame.image)


def test_keyed_by_absolute_pixel() -> None:
    frame = bs.Frame(np.random.default_rng(0).random((1, 3, 30, 40)), "linear")
    for step in (
        bs.kinds.GaussianNoise(sigma=0.1, correlation=0.5, seed=7),
        bs.kinds.PoissonNoise(peak=100.0, seed=7),
        bs.kinds.PoissonNoise(peak=100.0, gray=True, seed=7),
    ):
        whole = step(frame).crop(9, 12, 10, 11).image
        assert np.array_equal(step(frame.crop(9, 12, 10, 11)).image, whole)
        assert not np.array_equal(step.replace(seed=8)(frame).image, step(frame).image)
        assert step.target() == bs.kinds.Identity()


def test_gray_pictures_and_pictures_of_four_channels() -> None:
    for channels in (1, 4):
        frame = flat(*[0.5] * channels).crop(0, 0, 50, 60)
        noise = bs.kinds.PoissonNoise(peak=100.0, gray=True, seed=1)(frame).image - frame.image
        assert np.abs(noise - noise[:, :1]).max() <= 1e-15
        assert noise.std() == pytest.approx(np.sqrt(0.5 / 100), rel=0.1)
