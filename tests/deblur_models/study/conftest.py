"""Pictures for studies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import blursynth as bs
from deblur_models.study import of_folders

sys.path.insert(0, str(Path(__file__).parent))  # for rater_files.py


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``sharp``, ``blurred`` and ``ours``: six pictures of 120x160 px that differ in one place each, left of the center.

    The names are hostile to pages; ``blurred`` is far from sharp, and ``ours`` near.
    """
    folder = tmp_path_factory.mktemp("pictures")
    for index in range(6):
        rng = np.random.Generator(np.random.Philox(index))
        sharp = rng.uniform(0.2, 0.8, (3, 120, 160))
        for method, error in (("sharp", 0.0), ("blurred", 0.2), ("ours", 0.05)):
            picture = sharp.copy()
            picture[:, 50:90, 10 + index : 50 + index] += error
            bs.write_picture(folder / method / f"<img src=x>&{index}.png", picture)
    return folder


@pytest.fixture(scope="session")
def versions(folders: Path) -> Any:
    return of_folders({"blurred": folders / "blurred", "ours": folders / "ours"}, folders / "sharp")
