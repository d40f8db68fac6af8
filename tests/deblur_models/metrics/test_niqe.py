"""NIQE: its parts against formulas, its behavior on photographs that it was not fitted to."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.ndimage import gaussian_filter
from scipy.special import gamma

from blursynth.errors import InvalidValueError, PictureError
from deblur_models.metrics import fit_niqe, metric
from deblur_models.metrics.niqe import NiqeParameters, _halved, niqe_features, read_niqe_parameters
from deblur_models.metrics.niqe_parameters import BUNDLED, HELD_OUT, bundled_photograph, fit_bundled, main


@pytest.fixture(scope="module")
def bundled() -> NiqeParameters:
    return fit_bundled()


def test_the_shipped_parameters_are_those_of_the_bundled_photographs(bundled: NiqeParameters) -> None:
    shipped = read_niqe_parameters()
    assert np.allclose(shipped.mean, bundled.mean, rtol=1e-5, atol=1e-9)
    assert np.allclose(shipped.covariance, bundled.covariance, rtol=1e-4, atol=1e-6)
    assert "not comparable to published NIQE" in shipped.source
    assert metric("niqe").name == "niqe_bundled"
    assert "not comparable" in metric("niqe").protocol
    assert not set(BUNDLED) & set(HELD_OUT)


@pytest.mark.parametrize("name", HELD_OUT)
def test_blur_and_noise_raise_it(name: str) -> None:
    picture = bundled_photograph(name)
    niqe, random = metric("niqe"), torch.Generator().manual_seed(0)
    noise = torch.randn(picture.shape, generator=random, dtype=picture.dtype)
    blurred = [picture] + [torch.from_numpy(gaussian_filter(picture.numpy(), (0, s, s))) for s in (1.0, 2.0, 4.0)]
    noisy = [picture + sigma * noise for sigma in (0.0, 0.05, 0.1, 0.2)]
    for row in (blurred, noisy):
        values = niqe(torch.stack(row))
        assert (values.diff() > 0).all(), values


def slow_shapes(block: np.ndarray) -> list[float]:
    """The 18 features of one block, a table of gammas searched for the least squared difference, number by number."""

    def fit(values: np.ndarray) -> tuple[float, float, float]:
        shapes = np.arange(0.2, 10.0005, 0.001)
        table = gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))
        left, right = np.sqrt((values[values < 0] ** 2).mean()), np.sqrt((values[values > 0] ** 2).mean())
        skew = left / right
        ratio = np.abs(values).mean() ** 2 / (values**2).mean()
        wanted = ratio * (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
        shape = shapes[np.argmin((table - wanted) ** 2)]
        scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
        return shape, left * scale, right * scale

    shape, left, right = fit(block)
    out = [shape, (left + right) / 2]
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        neighbor = np.array(
            [
                [block[(y - dy) % len(block), (x - dx) % len(block)] for x in range(len(block))]
                for y in range(len(block))
            ]
        )
        shape, left, right = fit(block * neighbor)
        out += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return out


def test_features_are_their_formulas() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (96, 192)).astype(float)
    gray = np.round(gaussian_filter(gray, 1.5))
    features, contrast = niqe_features(gray)
    assert features.shape == (2, 36)
    y, x = np.mgrid[-3:4, -3:4]
    window = np.exp(-(y**2 + x**2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    for scale, picture in ((1, gray), (2, _halved(gray))):
        padded = np.pad(picture, 3, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7))
        mean = (windows * window).sum((-1, -2))
        deviation = np.sqrt(np.abs((windows**2 * window).sum((-1, -2)) - mean**2))
        normal, side = (picture - mean) / (deviation + 1), 96 // scale
        for block in range(2):
            columns = slice(block * side, (block + 1) * side)
            expected = slow_shapes(normal[:, columns])
            assert np.allclose(features[block, 18 * (scale - 1) : 18 * scale], expected, atol=1e-9)
            if scale == 1:
                assert contrast[block] == pytest.approx(deviation[:, columns].mean())


def test_half_the_size_is_matlabs() -> None:
    """``imresize(x, 0.5)``: the cubic kernel at (u - x / 2) stretched by two, mirrored with its edge."""

    def cubic(t: np.ndarray) -> np.ndarray:
        t = np.abs(t)
        near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
        return np.where(t <= 1, near, np.where(t <= 2, far, 0.0))

    line = np.random.default_rng(1).random(16)
    mirrored = np.concatenate([line[::-1], line, line[::-1]])
    expected = []
    for k in range(8):
        center = (k + 1) / 0.5 + 0.5 * (1 - 1 / 0.5)  # MATLAB's places count from 1
        places = np.arange(-15, 33)
        weights = 0.5 * cubic(0.5 * (center - places))
        expected.append((mirrored * weights).sum() / weights.sum())
    assert np.allclose(_halved(np.repeat(line[None], 8, axis=0))[0], expected, atol=1e-12)


def test_a_picture_is_no_distance_from_its_own_statistics(tmp_path) -> None:
    picture = bundled_photograph("motorcycle").repeat(1, 2, 2)
    (tmp_path / "own.json").write_text(fit_niqe([picture], source="itself", sharpness=0.0).to_json())
    assert metric("niqe", parameters=str(tmp_path / "own.json"))(picture[None]).item() < 1e-3
    assert metric("niqe")(picture[None]).item() > 1


def test_parameters_are_read_from_every_format(tmp_path, bundled: NiqeParameters) -> None:
    picture = bundled_photograph("chelsea")[None]
    savemat(tmp_path / "p.mat", {"mu_prisparam": bundled.mean[None], "cov_prisparam": bundled.covariance})
    np.savez(tmp_path / "p.npz", mu_pris_param=bundled.mean[None], cov_pris_param=bundled.covariance)
    (tmp_path / "p.json").write_text(bundled.to_json())
    for name in ("p.mat", "p.npz", "p.json"):
        m = metric("niqe", parameters=str(tmp_path / name))
        m.check_ready()
        assert m.name == "niqe"
        assert name in m.protocol
        assert m(picture).item() == pytest.approx(metric("niqe")(picture).item(), rel=1e-4)


def test_niqe_refuses(tmp_path) -> None:
    with pytest.raises(PictureError, match=r"file .*\.mat with NIQE parameters does not exist"):
        metric("niqe", parameters=str(tmp_path / "none.mat")).check_ready()
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(InvalidValueError, match=r"no array 'mu_prisparam'; it has \['weights'\]"):
        metric("niqe", parameters=str(tmp_path / "other.npz")).check_ready()
    np.savez(tmp_path / "small.npz", mu_prisparam=np.zeros(35), cov_prisparam=np.eye(35))
    with pytest.raises(InvalidValueError, match=r"\[35\]"):
        metric("niqe", parameters=str(tmp_path / "small.npz")).check_ready()
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(InvalidValueError, match="not a file with NIQE parameters"):
        metric("niqe", parameters=str(tmp_path / "bad.json")).check_ready()
    (tmp_path / "bad.txt").write_text("")
    with pytest.raises(InvalidValueError, match=r"\.mat, \.npz or \.json"):
        metric("niqe", parameters=str(tmp_path / "bad.txt")).check_ready()
    random = torch.rand(1, 3, 100, 191, generator=torch.Generator().manual_seed(0))
    with pytest.raises(InvalidValueError, match="two blocks"):
        metric("niqe")(random)
    with pytest.raises(InvalidValueError, match="96 x 96 px, got an image of 95"):
        metric("niqe")(random[..., :95, :])
    with pytest.raises(InvalidValueError, match="not flat"):
        metric("niqe")(torch.full((1, 3, 200, 200), 0.5))
    with pytest.raises(InvalidValueError, match="at least 37 are needed"):
        fit_niqe([random[0]], source="noise")
    with pytest.raises(InvalidValueError, match="sharpness must be"):
        fit_niqe([random[0]], source="noise", sharpness=1.0)


def test_fitting_from_the_command_line(tmp_path, caplog, bundled: NiqeParameters) -> None:
    with caplog.at_level(logging.INFO):
        main([str(tmp_path / "p.json")])
    assert (tmp_path / "p.json").read_text() == bundled.to_json()
    assert "p.json" in caplog.text
    random = np.random.default_rng(0).integers(0, 256, (96 * 7, 96 * 7, 3)).astype(np.uint8)
    from PIL import Image

    Image.fromarray(random).save(tmp_path / "noise.png")
    main([str(tmp_path / "q.json"), str(tmp_path / "noise.png"), "--source", "noise"])
    assert read_niqe_parameters(str(tmp_path / "q.json")).source == "noise"
