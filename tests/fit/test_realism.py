"""The two-sample test: chance for one kind of pictures, certainty for two, and what it looked at."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

import blursynth as bs
from blursynth.dataset import DatasetRequest, generate
from blursynth.errors import DatasetError, InvalidValueError
from blursynth.fit.realism import pictures_of_dataset, two_sample_test
from blursynth.fit.statistics import GROUPS, mean_spectrum, tile_statistics


def pictures(seed: int, count: int = 12) -> list[np.ndarray]:
    """Smooth random fields with a little noise."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        field = gaussian_filter(rng.standard_normal((3, 192, 192)), (0, 1.5, 1.5))
        field = 0.5 + 0.15 * field / field.std() + 0.01 * rng.standard_normal(field.shape)
        found.append(field.clip(0, 1).astype(np.float32))
    return found


def compressed(picture: np.ndarray, quality: int) -> np.ndarray:
    data = io.BytesIO()
    Image.fromarray(np.rint(255 * np.moveaxis(picture, 0, -1)).astype(np.uint8)).save(data, "JPEG", quality=quality)
    return np.moveaxis(np.asarray(Image.open(data)), -1, 0).astype(np.float32) / 255


def test_the_same_kind_cannot_be_told_apart() -> None:
    found = two_sample_test(pictures(1), pictures(2))
    assert found.low <= 0.5 <= found.high
    assert found.high - found.low < 0.25
    assert (found.real, found.synthetic) == (12, 12)


def test_strong_compression_is_told_by_its_blocks() -> None:
    made = [compressed(picture, 15) for picture in pictures(2)]
    found = two_sample_test(pictures(1), made)
    assert found.low > 0.9
    assert found.by_picture == 1.0
    blocks = GROUPS["8 px blocks"]
    plain, coded = (np.concatenate(list(map(tile_statistics, p)))[:, blocks].mean() for p in (pictures(1), made))
    assert coded > plain + 0.2  # steps at blocks are larger than others
    assert {name for name, _ in found.looked_at} == set(GROUPS)
    assert two_sample_test(pictures(1), made) == found


def test_spectrum_of_white_noise_and_of_a_wave() -> None:
    """White noise of s codes has the power s^2 in every band; a wave has it all in its own."""
    rng = np.random.default_rng(0)
    gray = np.repeat(0.5 + 8 / 255 * rng.standard_normal((1, 512, 512)), 3, axis=0)
    frequencies, log_power = mean_spectrum(gray)
    np.testing.assert_allclose(log_power[1:], np.log(64), atol=0.1)
    wave = np.repeat(0.5 + 0.2 * np.sin(2 * np.pi * 0.27 * np.arange(512))[None, None, :], 512, axis=1)
    assert frequencies[mean_spectrum(np.repeat(wave, 3, axis=0))[1].argmax()] == pytest.approx(0.275)


def test_columns_are_those_of_the_groups() -> None:
    assert tile_statistics(pictures(1, 1)[0]).shape == (9, max(s.stop for s in GROUPS.values()))
    assert sorted(j for s in GROUPS.values() for j in range(s.start, s.stop)) == list(range(34))


def test_direction_of_gradients_shows_motion() -> None:
    picture = pictures(3, 1)[0]
    moved = gaussian_filter(picture, (0, 0, 6))
    columns = GROUPS["direction of gradients"]
    assert tile_statistics(moved)[:, columns.start].min() > tile_statistics(picture)[:, columns.start].max()


def test_too_few_pictures() -> None:
    with pytest.raises(InvalidValueError, match="at least 4 synthetic pictures, got 3"):
        two_sample_test(pictures(1), pictures(2, 3))


def test_pictures_of_a_data_set_begin_on_their_grid(tmp_path: Path) -> None:
    source = np.rint(255 * np.moveaxis(pictures(4, 1)[0], 0, -1)).astype(np.uint8)
    Image.fromarray(source).save(tmp_path / "a.png")
    request = DatasetRequest(
        sources=tmp_path / "a.png", recipe=bs.Recipe([bs.kinds.Identity()]), count=6, size_px=100, seed=1
    )
    generate(request, tmp_path / "set", workers=1)
    found = pictures_of_dataset(tmp_path / "set", most=4)
    opened = bs.open_dataset(tmp_path / "set")
    assert len(found) == 4
    for index, picture in zip((0, 1, 3, 5), found, strict=True):
        window = opened[index].window
        top, left = -(-window.top // 8) * 8, -(-window.left // 8) * 8
        wanted = source[top : window.top + 100, left : window.left + 100]
        np.testing.assert_array_equal(np.rint(255 * np.moveaxis(picture, 0, -1)), wanted)
    generate(request.replace(size_px=64), tmp_path / "small", workers=1)
    with pytest.raises(DatasetError, match="its pictures are 64 x 64 px"):
        pictures_of_dataset(tmp_path / "small")
