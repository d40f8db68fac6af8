"""Small pictures, a recipe that uses every stage, and data sets made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import blursynth as bs
from blursynth import dataset


def picture(seed: int, height: int, width: int) -> np.ndarray:
    """Smooth structure with an edge and some grain, [3, H, W] in 0..1."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    base = 0.5 + 0.3 * np.sin(rows / (5 + seed)) * np.cos(columns / 7) + 0.15 * (columns > width // 2)
    return np.clip(base + 0.05 * rng.standard_normal((3, height, width)), 0, 1)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for seed, (height, width) in enumerate([(96, 120), (130, 100), (110, 110)]):
        bs.write_picture(folder / ("deep" if seed == 2 else "") / f"photo{seed}.png", picture(seed, height, width))
    return folder


@pytest.fixture(scope="session")
def recipe() -> bs.Recipe:
    return bs.Recipe(
        [
            ("decode", bs.kinds.Decode()),
            ("lens", bs.Random(bs.kinds.GaussianBlur, sigma_px=bs.Uniform(0.3, 2.0))),
            ("sensor", bs.Random(bs.kinds.Sensor, full_well_e=bs.LogUniform(500.0, 5000.0), read_noise_e=2.0)),
            ("develop", bs.kinds.Develop()),
            ("encode", bs.kinds.Encode()),
            ("jpeg", bs.Random(bs.kinds.Jpeg, quality=bs.Integer(60, 95))),
        ],
        name="small",
    )


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path, recipe: bs.Recipe) -> Path:
    """A finished data set, with every optional array; tests must not change it."""
    out = tmp_path_factory.mktemp("sets") / "made"
    dataset.generate(
        dataset.DatasetRequest(
            sources=pictures,
            recipe=recipe,
            count=11,
            size_px=32,
            seed=5,
            shard_length=4,
            store=("kernel", "params"),
            kernel_size_px=33,
        ),
        out,
        workers=1,
    )
    return out
