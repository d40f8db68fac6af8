"""Estimators of noise and sharpening, against noise and edges of plain arithmetic and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import chi2

from blursynth.errors import InvalidValueError
from blursynth.fit.edges import PLACES_PX, edge_profiles, fit_edges, step_response
from blursynth.fit.noise import LAGS, LEVELS, NoiseStatistics, measure_noise, noise_blocks
from blursynth.fit.sensor import PRIOR, NoiseDraws, read_noise_parameters

LUMA = np.array([0.299, 0.587, 0.114])
MIDDLES = (LEVELS[:-1] + LEVELS[1:]) / 2


def flats(noise: np.ndarray) -> np.ndarray:
    """Bands of the middle intensities with noise ``[3, 9 * 96, 480]`` on top, in codes 0..1."""
    bands = np.repeat(MIDDLES, 96)[None, :, None]
    return (bands + noise) / 255.0


def quantile_of_variances(share: float) -> float:
    """Of the variances of blocks of 64 values of variance 1, less a plane: a chi-square law of 61 degrees."""
    return float(np.sqrt(chi2.ppf(share, 61) / 61))


@pytest.mark.parametrize("flat_share", [1.0, 0.2])
def test_noise_of_known_variance(flat_share: float) -> None:
    rng = np.random.default_rng(1)
    deviation = np.sqrt(0.03 * MIDDLES + 2.0)  # of each channel, as photons and electronics make it
    pictures = [flats(rng.standard_normal((3, 864, 480)) * np.repeat(deviation, 96)[:, None]) for _ in range(2)]
    found = measure_noise([noise_blocks(one) for one in pictures], flat_share=flat_share)
    low = quantile_of_variances(0.05 * flat_share)
    np.testing.assert_allclose(found.luma_codes, low * deviation * np.sqrt((LUMA**2).sum()), rtol=0.05)
    blue, red = np.array([0, 0, 1]) - LUMA, np.array([1, 0, 0]) - LUMA
    chroma = deviation * np.sqrt(((blue**2).sum() + (red**2).sum()) / 2)
    assert (found.chroma_codes < chroma).all()
    assert (found.chroma_codes > 0.95 * low * chroma).all()  # the mean of two variances has a narrower law
    np.testing.assert_array_equal(found.blocks[:-1], 2 * 12 * 60)  # of the brightest, some are clipped


def test_texture_is_no_noise() -> None:
    """Four fifths of the pictures are rough, one fifth is flat: the noise is that of the flat ones."""
    rng = np.random.default_rng(2)
    pictures = []
    for number in range(5):
        noise = 2.0 * rng.standard_normal((3, 864, 480))
        if number:
            noise += rng.uniform(3, 8, (1, 108, 60)).repeat(8, 1).repeat(8, 2) * rng.standard_normal((1, 864, 480))
        pictures.append(noise_blocks(flats(noise)))
    found = measure_noise(pictures)
    np.testing.assert_allclose(found.luma_codes, quantile_of_variances(0.05) * 2 * np.sqrt((LUMA**2).sum()), rtol=0.06)


def test_correlation_of_smoothed_noise() -> None:
    """White noise behind a Gaussian of sigma s has the correlation exp(-r^2 / (4 s^2)), less the block's plane.

    The sums of products are those of all pairs in a block; the quietest blocks are a little rougher than the others.
    """
    rng = np.random.default_rng(3)
    smooth = np.stack([gaussian_filter(rng.standard_normal((864, 480)), 0.8) for _ in range(3)])
    blocks = noise_blocks(flats(6 * smooth / smooth.std()))
    y, x = (v.ravel() for v in np.mgrid[:8, :8])
    covariance = np.exp(-((y[:, None] - y) ** 2 + (x[:, None] - x) ** 2) / (4 * 0.8**2))
    plane = np.stack([np.ones(64), x, y], axis=1)
    left = np.eye(64) - plane @ np.linalg.pinv(plane)
    covariance = left @ covariance @ left
    at = np.arange(64).reshape(8, 8)
    for index, (dy, dx) in enumerate(LAGS):
        pairs = at[: 8 - dy, : 8 - dx].ravel(), at[dy:, dx:].ravel()
        wanted = covariance[pairs].mean() / (np.trace(covariance) / 61)
        assert blocks.correlation[:, 0, index].mean() == pytest.approx(wanted, abs=0.03)


def test_nothing_to_measure() -> None:
    with pytest.raises(InvalidValueError, match="too small or too clipped"):
        measure_noise([noise_blocks(np.ones((3, 128, 128)))])
    with pytest.raises(InvalidValueError, match="needs 500 blocks of 8 px"):
        measure_noise([noise_blocks(np.full((3, 128, 40), 0.5))])


def disc(blur_px: float, sharpen: tuple[float, float] | None) -> np.ndarray:
    y, x = np.mgrid[:420, :400]
    cover = np.clip(110.0 - np.hypot(x - 200.3, y - 209.6) + 0.5, 0, 1)
    picture = 0.25 + 0.4 * gaussian_filter(cover, blur_px)
    if sharpen is not None:
        picture += sharpen[1] * (picture - gaussian_filter(picture, sharpen[0]))
    noise = 0.003 * np.random.default_rng(4).standard_normal(picture.shape)
    return np.stack([np.rint(255 * (picture + noise)) / 255] * 3)


@pytest.mark.parametrize("blur_px", [0.8, 1.3, 2.2])
def test_blur_of_an_edge_without_halo(blur_px: float) -> None:
    found = fit_edges(edge_profiles(disc(blur_px, None)))
    assert found is not None
    assert found.sharpen_amount == 0
    assert found.blur_px == pytest.approx(blur_px, rel=0.12)


@pytest.mark.parametrize(("sigma", "amount"), [(1.5, 1.0), (2.0, 0.6), (2.5, 1.4)])
def test_unsharp_mask(sigma: float, amount: float) -> None:
    found = fit_edges(edge_profiles(disc(0.8, (sigma, amount))))
    assert found is not None
    assert found.sharpen_amount == pytest.approx(amount, rel=0.25)
    assert found.sharpen_sigma_px == pytest.approx(sigma, rel=0.25)
    halo = step_response(found.blur_px, found.sharpen_sigma_px, found.sharpen_amount).max()
    assert halo == pytest.approx(step_response(0.8, sigma, amount).max(), abs=0.03)


def test_step_response_is_a_step_behind_both() -> None:
    fine = np.arange(-2000, 2001) / 100.0
    step = gaussian_filter((fine > 0).astype(float), 90, mode="nearest")
    wanted = step + 0.7 * (step - gaussian_filter(step, 150, mode="nearest"))
    np.testing.assert_allclose(step_response(0.9, 1.5, 0.7), np.interp(PLACES_PX, fine, wanted), atol=3e-3)


def test_parameters_of_simulated_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """With statistics that are linear in the parameters, the regression finds the parameters."""
    rng = np.random.default_rng(5)
    low, high = np.log(np.array(list(PRIOR.values()))).T
    parameters = low + (high - low) * rng.random((800, 5))
    mixing = rng.standard_normal((5, 28))

    truth = low + (high - low) * np.array([0.3, 0.6, 0.5, 0.4, 0.7])
    seen = truth @ mixing
    seen[3] = np.nan  # an intensity without flat places
    measured = NoiseStatistics(*np.zeros((4, 9)), np.zeros(9, np.int64))
    with monkeypatch.context() as patch:
        patch.setattr(NoiseStatistics, "to_vector", lambda self: seen)
        found = np.log(read_noise_parameters(NoiseDraws(parameters, parameters @ mixing), measured))
    np.testing.assert_allclose(found[1], truth, atol=0.12 * (high - low).max())
    assert (found[0] <= found[1]).all()
    assert (found[1] <= found[2]).all()
