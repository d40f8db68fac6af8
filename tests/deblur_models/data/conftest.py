"""Photographs with fine structure, small ones and a large one, and depth for some of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import blursynth as bs

SIZES = ((64, 80), (120, 110), (400, 420))  # the smallest is hardly larger than a sample with its margin


def picture(seed: int, height: int, width: int) -> np.ndarray:
    rng = np.random.Generator(np.random.Philox(seed))
    rows, columns = np.mgrid[:height, :width]
    base = 0.5 + 0.3 * np.sin(rows / (5 + seed)) * np.cos(columns / 7) + 0.15 * (columns > width // 2)
    return np.clip(base + 0.05 * rng.standard_normal((3, height, width)), 0, 1)


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed, size in enumerate(SIZES):
        bs.write_picture(folder / f"photo{seed}.png", picture(seed, *size))
    return folder


@pytest.fixture(scope="session")
def depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("depth")
    for seed, (height, width) in enumerate(SIZES):
        columns = np.mgrid[:height, :width][1]
        np.save(folder / f"photo{seed}.npy", (1 + 5 * np.abs(np.sin(columns / 40))).astype(np.float32))
    return folder
