"""What files say, against the encoder that wrote them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from blursynth.io.photo_file import jpeg_quality, read_photo_file

CODES = (np.random.default_rng(3).random((40, 56, 3)) * 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [1, 24, 25, 49, 50, 51, 75, 90, 96, 100])
@pytest.mark.parametrize(("sampling", "name"), [(0, "444"), (1, "422"), (2, "420")])
def test_quality_and_subsampling_of_pillow(tmp_path: Path, quality: int, sampling: int, name: str) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(CODES).save(path, quality=quality, subsampling=sampling)
    found = read_photo_file(path)
    assert (found.quality, found.standard_tables, found.subsampling) == (quality, True, name)
    assert (found.height, found.width, found.bit_depth) == (40, 56, 8)


def test_other_tables_have_the_nearest_quality(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(CODES).save(path, quality=90)
    with Image.open(path) as picture:
        tables = [list(table) for table in picture.quantization.values()]
    tables[0][5] += 1
    Image.fromarray(CODES).save(path, qtables=tables)
    found = read_photo_file(path)
    assert found.quality == 90
    assert not found.standard_tables
    assert jpeg_quality(np.full((8, 8), 1)) == (100, True)


def test_exif(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0110] = "Model X\0"
    inside = exif.get_ifd(0x8769)
    inside.update({0x829A: IFDRational(1, 50), 0x829D: 1.8, 0x8827: 400, 0x920A: 4.25})
    Image.fromarray(CODES).save(path, exif=exif)
    found = read_photo_file(path)
    assert found.model == "Model X"
    assert found.exposure_s == pytest.approx(0.02)
    assert (found.f_number, found.iso, found.focal_length_mm) == (pytest.approx(1.8), 400, pytest.approx(4.25))


def test_broken_exif_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(CODES).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    found = read_photo_file(path)
    assert found.iso is None
    assert found.quality == 75  # Pillow's default


def test_png_states_bits_alone(tmp_path: Path) -> None:
    Image.fromarray(CODES[..., 0].astype(np.uint16) * 257).save(tmp_path / "a.png")
    found = read_photo_file(tmp_path / "a.png")
    assert (found.quality, found.subsampling, found.bit_depth, found.is_jpeg) == (None, "", 16, False)
