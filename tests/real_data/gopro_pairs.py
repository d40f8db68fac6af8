"""Pairs of the GoPro set beside pairs that recipes make of the same sharp pictures and of photographs."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import blursynth as bs

FOLDER = Path("blur/gopro_nah_examples")
PAIRS = {
    "Flower, codes averaged": ("Flower_sharp1.png", "blur_lin__seq_id-4_frame-1_Input.png"),
    "Flower, gamma 2.2": ("Flower_sharp1.png", "blur_gamma__seq_id-4_frame-1_Input.png"),
    "Istanbul": ("Istanbul_sharp1.png", "Istanbul_blur1.png"),
}

# One path for the whole picture, as the recipe `gopro-average` had it before its camera turned, walked and had rows.
ONE_PATH = bs.Recipe.from_dict(
    {
        "summary": "mean of frames along one path",
        "step": [
            {"name": "decode", "kind": "gamma_decode", "gamma": 2.2},
            {
                "name": "frames",
                "kind": "frame_average",
                "frames": {"integer": [7, 13]},
                "gap": {"uniform": [0.5, 1.0]},
                "length_px": {"log_uniform": [2.0, 60.0]},
                "anxiety": {"log_uniform": [0.0005, 0.01]},
                "centripetal": {"uniform": [0.0, 0.7]},
                "big_shake": {"uniform": [0.0, 0.2]},
                "gaussian": {"uniform": [0.0, 10.0]},
                "heading_deg": {"uniform": [0.0, 360.0]},
                "centered_on": "mid",
            },
            {"name": "encode", "kind": "gamma_encode", "gamma": 2.2},
        ],
    }
)

Picture = NDArray[np.float64]
Pair = tuple[Picture, Picture]


def read(path: Path) -> NDArray[np.uint8]:
    """``[C, H, W]``."""
    codes = cv2.imread(str(path))
    assert codes is not None, path
    return np.ascontiguousarray(np.moveaxis(codes[..., ::-1], -1, 0)).astype(np.uint8)


def real_pairs(folder: Path) -> dict[str, Pair]:
    """All pairs of which both pictures are there."""
    return {
        name: tuple(read(folder / FOLDER / file) / 255.0 for file in files)  # type: ignore[misc]
        for name, files in PAIRS.items()
    }


@lru_cache
def own_sharp(folder: Path) -> tuple[NDArray[np.uint8], ...]:
    """The set's own sharp frames: what its blurred pictures show, so that only the blur differs."""
    return tuple(read(folder / FOLDER / name) for name in ("Flower_sharp1.png", "Istanbul_sharp1.png"))


@lru_cache
def photographs(folder: Path) -> tuple[NDArray[np.uint8], ...]:
    """Sharp photographs of other cameras."""
    from skimage import data

    bundled = [np.moveaxis(getattr(data, name)(), -1, 0) for name in ("astronaut", "coffee", "chelsea", "rocket")]
    return (*(read(path) for path in sorted((folder / "photos/kodak24").glob("*.png"))), *bundled)


def made_pairs(recipe: bs.Recipe, sources: tuple[NDArray[np.uint8], ...], count: int, *, seed: int = 1) -> list[Pair]:
    """Pairs of whole pictures, one draw each."""
    pairs = []
    for index in range(count):
        codes = sources[index % len(sources)]
        frame = bs.Frame(codes[None].astype(np.float32) / 255, "display")
        pair = recipe.sample(frame, seed=seed, index=index).pair(frame)
        pairs.append((np.asarray(pair.sharp.image[0], np.float64), np.asarray(pair.blurred.image[0], np.float64)))
    return pairs
