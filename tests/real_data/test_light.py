"""Law: our response curves are those of cameras, our decoding finds the light of a photograph, and extended highlights
are nearer to the true ones."""

from __future__ import annotations

from pathlib import Path

import light
import numpy as np
import pytest

import blursynth as bs

pytestmark = pytest.mark.real_data

CODES = bs.Frame((np.arange(256) / np.float64(255)).reshape(1, 1, 16, 16), "display")


@pytest.fixture(scope="module")
def fitted(real_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Numbers ``[201, 3]`` (exponent, midtone, contrast) and RMS errors of the sigmoid with contrast."""
    x, values = light.curves(real_data)
    found = [light.fit(x, value) for value in values]
    logs = np.array([numbers for numbers, _ in found])
    numbers = np.column_stack([np.exp(logs[:, 0]), 1 / (1 + np.exp(-logs[:, 1])), logs[:, 2]])
    return numbers, np.array([error for _, error in found])


def test_the_family_fits_the_measured_curves(real_data: Path, fitted: tuple[np.ndarray, np.ndarray]) -> None:
    _, errors = fitted
    assert len(errors) == 201
    assert np.median(errors) == pytest.approx(0.0022, abs=1e-4)
    assert np.quantile(errors, 0.9) == pytest.approx(0.0076, abs=2e-4)
    assert errors.max() == pytest.approx(0.0207, abs=3e-4)


def test_the_published_distribution_draws_curves_like_the_measured_ones(
    real_data: Path, fitted: tuple[np.ndarray, np.ndarray]
) -> None:
    from scipy.stats import ks_2samp, spearmanr

    numbers, _ = fitted
    ranks = spearmanr(numbers)[0]
    assert np.abs(ranks[np.triu_indices(3, 1)]).max() < 0.22
    recipe = bs.Recipe(
        [
            bs.Random(
                bs.kinds.SigmoidEncode,
                exponent=bs.LogUniform(0.45, 2.0),
                midtone=bs.TruncatedNormal(0.59, 0.14, 0.05, 0.95),
                contrast=bs.TruncatedNormal(0.06, 0.33, -0.95, 1.0),
            )
        ]
    )
    frame = bs.Frame(np.zeros((1, 1, 1, 1), np.float32), "linear")
    drawn = [recipe.sample(frame, seed=3, index=i)["sigmoid_encode"] for i in range(1000)]
    for i, name in enumerate(("exponent", "midtone", "contrast")):
        # The exponents have two heaps, at .7 (two thirds) and 1.7, hence .15; midtone and contrast are nearer, .07.
        assert ks_2samp(numbers[:, i], [getattr(d, name) for d in drawn]).statistic < 0.2, name
    x, values = light.curves(real_data)
    ours = np.array([light.Sigmoid.from_midtone(d.exponent, d.midtone, d.contrast).value(x) for d in drawn])
    for at in (0.05, 0.18, 0.3, 0.5, 0.8):
        k = int(at * (x.size - 1))
        assert ours[:, k].mean() == pytest.approx(values[:, k].mean(), abs=0.03), at
        assert ours[:, k].std() == pytest.approx(values[:, k].std(), rel=0.25), at


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_measured_curves_give_all_codes_back_where_they_rise(real_data: Path, dtype: type[np.floating]) -> None:
    x, values = light.curves(real_data)
    codes = CODES.with_image(CODES.image.astype(dtype))
    for number, value in enumerate(values):
        curve = bs.assets.register([x, value])
        back = bs.kinds.MeasuredEncode(curve=curve)(bs.kinds.MeasuredDecode(curve=curve)(codes)).image
        assert np.array_equal(back, codes.image), number


def test_decoding_finds_the_light_of_a_photograph(real_data: Path) -> None:
    srgb = light.decoding(real_data, bs.kinds.Decode())
    codes = light.decoding(real_data, bs.kinds.GammaDecode(gamma=1.0))
    assert srgb.correlation > 0.985
    assert srgb.residual < 0.02
    assert codes.correlation < 0.9
    assert codes.residual > 3 * srgb.residual


def test_extended_highlights_are_nearer_to_the_true_light(real_data: Path) -> None:
    """Lamps are brighter than white; an overcast sky is hardly, and there a small offset alone does little harm."""
    for name in ("night", "studio", "workshop"):
        found = light.saturation(real_data, name).psnr_db
        assert found["offset 1"] > found["clipped"] + 1, name
        assert found["offset .25"] > found["clipped"] + 1, name
    found = light.saturation(real_data, "city").psnr_db
    assert found["clipped"] > found["offset 1"]
    assert found["offset .25"] > 40
