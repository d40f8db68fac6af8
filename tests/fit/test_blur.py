"""What the reader of blur sees and learns, against kernels of plain arithmetic."""

from __future__ import annotations

import importlib
import math
from functools import cache

import numpy as np
import pytest
from scipy.ndimage import convolve1d

from blursynth.core import Draw, Identity
from blursynth.degradations import LinearMotion, RandomWalkMotion
from blursynth.errors import MissingExtraError
from blursynth.fit.blur_reader import ANGLES, TILE_PX, BlurReader, _neighbors, blur_features, readable, tiles_of
from blursynth.fit.components import COMPONENTS, FAMILIES, direction_of
from blursynth.fit.scenes import dead_leaves

COLORS = np.random.default_rng(0).random((64, 3))


@cache
def leaves(seed: int, size_px: int = 384) -> np.ndarray:
    return dead_leaves(np.random.default_rng(seed), size_px, COLORS)


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


def test_tiles_are_the_luma_of_the_middle() -> None:
    codes = np.zeros((3, 300, 270), np.float32)
    codes[1, 22 : 22 + TILE_PX, 7 : 7 + TILE_PX] = 1.0
    tiles = tiles_of(codes)
    assert tiles.shape == (4, TILE_PX, TILE_PX)
    np.testing.assert_allclose(tiles[0], 0.587, rtol=1e-6)
    assert (tiles[1:] == 0).all()
    assert not readable(tiles).any()  # flat
    assert readable(np.random.default_rng(0).random((1, TILE_PX, TILE_PX)).astype(np.float32)).all()


def test_neighbors_are_read_together() -> None:
    clear = np.array([True, False, True, False, False, True])  # two rows of three tiles
    assert [four.tolist() for four in _neighbors(clear, 2, 3)] == [[2, 5]]
    assert [four.tolist() for four in _neighbors(np.ones(6, bool), 2, 3)] == [[0, 1, 3, 4], [1, 2, 4, 5]]
    assert [one.tolist() for one in _neighbors(np.ones(1, bool), 1, 1)] == [[0]]


def test_direction_of_a_path() -> None:
    def direction(step: object) -> float:
        return direction_of(Draw((("shake", step),)))  # type: ignore[arg-type]

    assert direction(LinearMotion(length_px=20.0, angle_deg=200.0)) == pytest.approx(math.radians(20))
    straight = RandomWalkMotion(length_px=20.0, anxiety=0.0, heading_deg=-30.0, seed=1)
    assert direction(straight) == pytest.approx(math.radians(150))
    assert math.isnan(direction(LinearMotion(length_px=2.0)))
    assert math.isnan(direction(Identity()))


def test_components_are_all_sizes_once() -> None:
    for family in FAMILIES[1:]:
        own = [c for c in COMPONENTS if c.family == family]
        assert [a.high_px for a in own[:-1]] == [b.low_px for b in own[1:]]


def test_reader_tells_long_from_short_and_their_direction() -> None:
    """Box means of two lengths in two directions, on pictures that it has not seen."""
    kinds = [j for j, c in enumerate(COMPONENTS) if c.family == "straight"]
    short, long = kinds[2], kinds[5]  # 7 to 11 px, 23 to 32 px
    features, truth, angles, held_out, windows = [], [], [], [], []
    for seed in range(7):
        for component, length_px in ((short, 9), (long, 27)):
            for axis in (1, 2):
                tiles = tiles_of(boxed(leaves(seed, 280), length_px, axis))
                features.append(blur_features(tiles))
                truth.append(np.full(len(tiles), component))
                angles.append(np.full(len(tiles), np.pi / 2 if axis == 1 else 0.0))
                held_out.append(np.full(len(tiles), seed >= 5))
                windows.append(np.full(len(tiles), len(windows)))
    reader = BlurReader(seed=0)
    assert reader.weights < 200_000
    x, y, angle, test, window = map(np.concatenate, (features, truth, angles, held_out, windows))
    each = list(np.arange(test.sum())[:, None])
    reader.train(x, y, angle, test, window, epochs=30)
    posteriors, directions = reader.read(x[test], each)
    assert (posteriors.argmax(axis=1) == y[test]).mean() > 0.9
    np.testing.assert_allclose(posteriors.sum(axis=1), 1)
    apart = np.abs((directions - angle[test] + np.pi / 2) % np.pi - np.pi / 2)
    assert np.median(apart) < math.radians(10)
    again = BlurReader(seed=0)
    again.train(x, y, angle, test, window, epochs=30)
    np.testing.assert_array_equal(again.read(x[test], each)[0], posteriors)


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(MissingExtraError, match="Reading blur needs the package 'torch'"):
        BlurReader(0)
