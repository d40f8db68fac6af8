"""What a photograph's file says of the camera: JPEG tables, chroma subsampling, EXIF, bits and size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.io.decoders import open_picture, quiet
from blursynth.io.folders import expanded
from blursynth.io.pictures import read_header
from blursynth.physics.jpeg import LUMA_TABLE, quantization_table

__all__ = ["PhotoFile", "jpeg_quality", "read_photo_file"]

_SUBSAMPLINGS = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}  # columns and rows of luma per sample of chroma

_MODEL, _EXIF_FOLDER = 0x0110, 0x8769
_NUMBERS = {"exposure_s": 0x829A, "f_number": 0x829D, "iso": 0x8827, "focal_length_mm": 0x920A}


@dataclass(frozen=True)
class PhotoFile:
    """Facts of one file; None, or an empty string, where it does not state them.

    Parameters
    ----------
    height, width
        Size in px, upright.
    bit_depth
        Bits of a code: white is ``2 ** bit_depth - 1``.
    quality
        libjpeg's quality (1 to 100) whose table of luma is nearest to that of the file; see :func:`jpeg_quality`.
    standard_tables
        Whether that table is exactly libjpeg's.
    subsampling
        "444", "422" or "420"; "" for other formats and other samplings.
    model
        Name of the camera.
    exposure_s, f_number, iso, focal_length_mm
        Of EXIF.
    """

    height: int
    width: int
    bit_depth: int
    quality: int | None = None
    standard_tables: bool = False
    subsampling: str = ""
    model: str = ""
    exposure_s: float | None = None
    f_number: float | None = None
    iso: float | None = None
    focal_length_mm: float | None = None

    @property
    def is_jpeg(self) -> bool:
        return self.quality is not None


def jpeg_quality(table: NDArray[np.integer]) -> tuple[int, bool]:
    """libjpeg's quality whose table of luma is nearest to ``table`` ``[8, 8]``, and whether the two are equal.

    Nearest means the smallest mean difference of logarithms, since encoders scale their tables.

    >>> jpeg_quality(quantization_table(LUMA_TABLE, 90))
    (90, True)
    """
    qualities = np.arange(1, 101)
    known = np.stack([quantization_table(LUMA_TABLE, int(quality)) for quality in qualities])
    apart = np.abs(np.log(known) - np.log(np.clip(table, 1, 65535))).mean(axis=(1, 2))
    best = int(np.argmin(apart[::-1]))  # of equal tables the highest quality
    return int(qualities[::-1][best]), bool(apart[::-1][best] == 0)


def read_photo_file(path: str | Path) -> PhotoFile:
    """Read the facts that a photograph's file states, without its pixels; broken metadata counts as missing.

    Raises
    ------
    PictureError, MissingExtraError
        As :func:`~blursynth.io.pictures.read_header`.
    """
    path = expanded(path)
    header = read_header(path)
    facts: dict[str, Any] = {"height": header.height, "width": header.width, "bit_depth": header.bit_depth}
    if header.encoding != "display":
        return PhotoFile(**facts)
    with open_picture(path) as picture:
        if picture.format in ("JPEG", "MPO"):
            facts |= _jpeg(picture)
        facts |= _camera(picture)
    return PhotoFile(**facts)


def _jpeg(picture: Any) -> dict[str, Any]:
    tables = getattr(picture, "quantization", None) or {}
    numbers = list(tables.get(0, ()))
    if len(numbers) != 64:
        return {}
    quality, exact = jpeg_quality(np.asarray(numbers, np.int64).reshape(8, 8))
    layers = getattr(picture, "layer", [])  # component, columns, rows, table
    sampling = ""
    if len(layers) == 3 and layers[1][1:3] == layers[2][1:3] == (1, 1):
        sampling = _SUBSAMPLINGS.get(tuple(layers[0][1:3]), "")
    return {"quality": quality, "standard_tables": exact, "subsampling": sampling}


def _camera(picture: Any) -> dict[str, Any]:
    from PIL import Image

    try:
        with quiet():
            tags = Image.Image.getexif(picture)
            inside = {**tags, **tags.get_ifd(_EXIF_FOLDER)}
    except Exception:  # Pillow raises whatever a broken tag leads to
        return {}
    found: dict[str, Any] = {"model": str(inside.get(_MODEL, "")).strip("\0 ")[:80]}
    for name, tag in _NUMBERS.items():
        value = inside.get(tag)
        try:
            number = float(value[0] if isinstance(value, tuple | list) else value)  # type: ignore[arg-type]
        except (TypeError, ValueError, ZeroDivisionError, IndexError):
            continue
        if math.isfinite(number) and number > 0:
            found[name] = number
    return found
