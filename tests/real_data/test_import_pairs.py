"""The GoPro set's own pictures in its tree, imported: the PSNR of all windows is that of the whole pair."""

from __future__ import annotations

import shutil
from pathlib import Path

import gopro_pairs
import numpy as np
import pytest

import blursynth as bs


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "half", "pair", "psnr_db"),
    [("gopro", "blur", "Flower, codes averaged", 25.107), ("gopro-gamma", "blur_gamma", "Flower, gamma 2.2", 24.592)],
)
def test_windows_have_the_psnr_of_their_pair(
    real_data: Path, tmp_path: Path, name: str, half: str, pair: str, psnr_db: float
) -> None:
    for folder, file in zip(("sharp", half), gopro_pairs.PAIRS[pair], strict=True):
        place = tmp_path / "GOPRO_Large/train/GOPR0000_00_00" / folder / "000001.png"
        place.parent.mkdir(parents=True)
        shutil.copy(real_data / gopro_pairs.FOLDER / file, place)
    bs.import_pairs(name, tmp_path / "GOPRO_Large", tmp_path / "pairs", size_px=80, workers=1)
    pairs = bs.open_dataset(tmp_path / "pairs")
    assert len(pairs) == 16 * 9  # of 1280 x 720 px, without overlap
    batch = pairs.batch(range(len(pairs)))
    error = np.mean((batch.sharp / 255.0 - batch.blurred / 255.0) ** 2)
    assert -10 * np.log10(error) == pytest.approx(psnr_db, abs=5e-4)
    assert bs.verify(tmp_path / "pairs", deep=True, replay=5).ok
