"""What the reader of blur sees and learns, against kernels of plain arithmetic."""

from __future__ import annotations

import importlib
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import convolve, convolve1d

from blursynth.degradations import LinearMotion, RandomWalkMotion
from blursynth.errors import MissingExtraError
from blursynth.fit.blur_reader import ANGLES, TILE_PX, WINDOW_PX, BlurReader, Windows, blur_features, windows_of
from blursynth.fit.components import COMPONENTS, FAMILIES, Component
from blursynth.fit.scenes import dead_leaves
from blursynth.fit.simulation import sharp_window
from blursynth.frame import Frame

COLORS = np.random.default_rng(0).random((64, 3))


@cache
def leaves(seed: int, size_px: int = 384) -> np.ndarray:
    return dead_leaves(np.random.default_rng(seed), size_px, COLORS)


def tiles_of(picture: np.ndarray) -> np.ndarray:
    """Four tiles of luma, next to one another."""
    luma = np.tensordot(np.array([0.299, 0.587, 0.114]), picture, 1)
    return np.stack([luma[r : r + TILE_PX, c : c + TILE_PX] for r in (0, TILE_PX) for c in (0, TILE_PX)])


def boxed(picture: np.ndarray, length_px: int, axis: int) -> np.ndarray:
    """A straight motion at constant speed: the mean of ``length_px`` neighbors."""
    return convolve1d(picture, np.full(length_px, 1 / length_px), axis=axis, mode="reflect")


@pytest.mark.parametrize("length_px", [9, 17, 31])
@pytest.mark.parametrize(("axis", "angle"), [(2, 0), (1, ANGLES // 2)])
def test_cepstrum_dips_at_the_length_of_a_motion(length_px: int, axis: int, angle: int) -> None:
    sharp = blur_features(tiles_of(leaves(1))).mean(axis=0)[:, :60]
    found = blur_features(tiles_of(boxed(leaves(1), length_px, axis))).mean(axis=0)[:, :60]
    change = found - sharp
    lag = int(change[angle, 4:].argmin()) + 5  # the first lags hold the loss of detail
    assert abs(lag - length_px) <= 1
    assert change[angle, length_px - 1] < change[(angle + ANGLES // 2) % ANGLES, length_px - 1]


def test_features_turn_with_the_picture() -> None:
    """A quarter turn shifts the directions by half of them, and a mirror reverses them."""
    tile = tiles_of(boxed(leaves(2), 13, 2))[:1]
    found = blur_features(tile)
    turned = blur_features(np.rot90(tile, axes=(1, 2)).copy())
    mirrored = blur_features(tile[:, :, ::-1].copy())
    scale = found.std()
    np.testing.assert_allclose(turned, np.roll(found, ANGLES // 2, axis=1), atol=0.02 * scale)
    np.testing.assert_allclose(mirrored, np.roll(found[:, ::-1], 1, axis=1), atol=0.02 * scale)


def test_windows_lie_in_the_middle_and_skip_flat_tiles() -> None:
    rng = np.random.default_rng(0)
    codes = np.full((3, 270, 400), 0.5, np.float32)
    codes[:, :, 136:] += 0.1 * rng.standard_normal((3, 270, 264), np.float32)
    features, readable = windows_of(codes)
    # Tiles begin at the rows 7, 71, 135 and the columns 8, 72, ... 264: those from 8 to 136 are flat.
    assert features.shape == (2, 9, ANGLES, 60)
    np.testing.assert_array_equal(readable.reshape(2, 3, 3)[:, 0], [[False, True, True], [True, True, True]])
    luma = np.tensordot(np.array([0.299, 0.587, 0.114]), codes, 1)
    inner = blur_features(luma[None, 71 : 71 + TILE_PX, 200 : 200 + TILE_PX].astype(np.float32))[0]
    np.testing.assert_allclose(features[1].reshape(3, 3, ANGLES, 60)[1, 1], inner, atol=0.01)
    assert len(windows_of(codes[:, :, :150])[0]) == 0  # flat
    assert windows_of(codes[:, :200, 200:])[1].sum() == 4  # two by two tiles


def test_components_are_all_sizes_once() -> None:
    for family in FAMILIES[1:]:
        own = [c for c in COMPONENTS if c.family == family]
        assert [a.high_px for a in own[:-1]] == [b.low_px for b in own[1:]]


def test_crooked_paths_are_crooked() -> None:
    """Straight paths reach as far as they are long and not sideways; walks a third of it, and half of that sideways."""
    extents = {}
    for kind, step in (("straight", LinearMotion), ("walk", RandomWalkMotion)):
        option = Component(kind, 40.0, 40.0).option()
        rng = np.random.default_rng(3)
        found = []
        for seed in range(60):
            values = {"length_px": 40.0}
            for name in ("anxiety", "gaussian", "centripetal", "big_shake"):
                if name in option:
                    (law, (low, high)) = next(iter(option[name].items()))
                    values[name] = np.exp(rng.uniform(*np.log([low, high]))) if "log" in law else rng.uniform(low, high)
            path = step(**values, **({"seed": seed} if kind == "walk" else {})).path()
            at = np.linspace(0, len(path) - 1, 1000)
            path = np.stack([np.interp(at, np.arange(len(path)), along) for along in path.T])
            found.append(np.sqrt(12 * np.linalg.eigvalsh(np.cov(path))[::-1].clip(0)))
        extents[kind] = np.median(found, axis=0)
    np.testing.assert_allclose(extents["straight"], [40, 0], atol=0.1)
    along, across = extents["walk"]
    assert 0.25 < along / 40 < 0.5
    assert across / along > 0.3


def test_reader_tells_long_from_short_and_lines_from_discs() -> None:
    """Box means of two lengths and a disc, on pictures that it has not seen."""
    kinds = [j for j, c in enumerate(COMPONENTS) if c.family == "straight"]
    disc = next(j for j, c in enumerate(COMPONENTS) if c.family == "defocus" and c.low_px <= 9 <= c.high_px)
    y, x = np.mgrid[-4:5, -4:5]
    kernel = (np.hypot(x, y) <= 4.5) / (np.hypot(x, y) <= 4.5).sum()
    features, readable, truth, test = [], [], [], []
    for seed in range(10):
        sharp = leaves(seed, WINDOW_PX)
        made = [(kinds[2], boxed(sharp, 9, axis)) for axis in (1, 2)]
        made += [(kinds[5], boxed(sharp, 27, axis)) for axis in (1, 2)]
        made += [(disc, np.stack([convolve(plane, kernel, mode="reflect") for plane in sharp]))] * 2
        for component, picture in made:
            found = windows_of(picture)
            features.append(found[0])
            readable.append(found[1])
            truth += [component] * len(found[0])  # nearly empty leaves have no windows
            test += [seed >= 7] * len(found[0])
    windows: Windows = (np.concatenate(features), np.concatenate(readable))
    y, held_out = np.array(truth), np.array(test)
    reader = BlurReader(seed=0)
    assert reader.weights < 200_000
    reader.train(windows, y, held_out, epochs=60)
    seen = (windows[0][held_out], windows[1][held_out])
    posteriors = reader.read(seen)
    assert (posteriors.argmax(axis=1) == y[held_out]).mean() > 0.9
    np.testing.assert_allclose(posteriors.sum(axis=1), 1)
    again = BlurReader(seed=0)
    again.train(windows, y, held_out, epochs=60)
    np.testing.assert_array_equal(again.read(seen), posteriors)


def test_rougher_scenes_have_flatter_spectra() -> None:
    """The power of white noise then rises as f^2r: a least-squares line through log power over log frequency."""
    scene = Frame(
        (0.5 + 0.01 * np.random.default_rng(0).standard_normal((1, 3, 300, 300))).astype(np.float32), "display"
    )
    window = sharp_window(scene, np.random.default_rng(1), 256, roughness=(0.4, 0.4))
    plain = sharp_window(scene, np.random.default_rng(1), 256)
    ratio = np.abs(np.fft.rfft2(window.image[0, 0] - 0.5)) / np.abs(np.fft.rfft2(plain.image[0, 0] - 0.5))
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.rfftfreq(256))
    above = frequency > 0.03
    slope = np.polyfit(np.log(frequency[above]), np.log(ratio[above]), 1)[0]
    assert slope == pytest.approx(0.4, abs=0.01)
    np.testing.assert_allclose(ratio[(frequency > 0) & (frequency < 0.02)], 1, rtol=0.01)


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingExtraError, match="Reading blur needs the package 'torch'"):
        BlurReader(0)
