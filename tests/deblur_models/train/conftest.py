"""Runs of seconds: pairs of 24 px on the disk, a network of a few hundred weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import blursynth as bs

NETWORK = {
    "kind": "nafnet", "size": "tiny", "width": 4, "encoder_blocks": [1], "middle_blocks": 1, "decoder_blocks": [1],
}  # fmt: skip


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def _sharp(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    blocks = rng.uniform(0, 1, (-(-height // 4), -(-width // 4), 3))
    return np.repeat(np.repeat(blocks, 4, 0), 4, 1)[:height, :width]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pairs: blocks of color, and their mean over 3x3 px."""
    folder, rng = tmp_path_factory.mktemp("pairs"), np.random.Generator(np.random.Philox(1))
    for number in range(5):
        sharp = _sharp(rng, 28, 24 + 4 * number)
        for half, picture in (("sharp", sharp), ("blur", cv2.blur(sharp, (3, 3)))):
            bs.write_picture(folder / half / f"{number}.png", np.moveaxis(picture, -1, 0))
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.Generator(np.random.Philox(2))
    for number in range(2):
        bs.write_picture(folder / f"{number}.png", np.moveaxis(_sharp(rng, 128, 140), -1, 0))
    return folder


@pytest.fixture
def tables(pairs: Path) -> Callable[..., dict[str, Any]]:
    """The tables of a configuration of six steps; arguments replace whole tables, or fields of [run]."""

    def make(run: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        return {
            "seed": 3,
            "network": NETWORK,
            "loss": [{"kind": "charbonnier"}],
            "data": {"pairs": {"pairs": str(pairs)}},
            "stage": [{"steps": 6, "patch_px": 16, "batch": 4}],
            "optimizer": {"learning_rate": 3e-3, "clip_norm": 1.0},
            "schedule": {"kind": "cosine", "warmup_steps": 2},
            "run": {"device": "cpu", "threads": 1, "checkpoint_every": 3, "log_every": 2, "ema_decay": 0.9}
            | (run or {}),
            **changes,
        }

    return make
