"""Bytes of untrusted clients as pictures: what is checked before they are decoded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from blursynth.errors import BlursynthError, MissingExtraError
from blursynth.io.containers import in_memory
from blursynth.io.decoders import open_picture, reading
from blursynth.io.pictures import read_header
from deblur_models.data.picture_file import PictureFile, read_picture
from deblur_models.serve.limits import Limits, Refusal

__all__ = ["MEDIA_TYPES", "UploadInfo", "decode", "inspect", "output_suffix"]

_LOG = logging.getLogger(__name__)

MEDIA_TYPES = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".tif": "image/tiff", ".tiff": "image/tiff",
    ".webp": "image/webp", ".bmp": "image/bmp", ".ppm": "image/x-portable-pixmap", ".pgm": "image/x-portable-graymap",
}  # fmt: skip
# Pillow's names of the formats that are written; MPO is a JPEG file with a second picture. Others become PNG.
_SAME = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif", "WEBP": ".webp", "BMP": ".bmp", "PPM": ".ppm"}
_OF_16_BITS = (".png", ".tif", ".tiff", ".ppm", ".pgm")
_MOST_SCANS = 500  # of a progressive JPEG file, as in libjpeg-turbo's fuzzers; encoders write about ten
_RESTORED_BYTES = 60  # of a pixel: five times three channels of float32, as a restorer and an encoder hold at the most


@dataclass(frozen=True)
class UploadInfo:
    """What the header of an upload says: the ending of its format, its size, and the memory that serving it takes."""

    suffix: str
    height: int
    width: int
    needed_bytes: int


def inspect(data: bytes, limits: Limits) -> UploadInfo:
    """Read the header of an upload and check it against the limits; pixels are not decoded.

    Raises
    ------
    Refusal
        It is no picture that can be read, or too large.
    """
    with in_memory(data) as path, _refusals(path):
        info = read_header(path)
        with open_picture(path) as picture:
            suffix = _SAME.get(picture.format, ".png")
    if info.height * info.width > limits.picture_px:
        raise Refusal(
            413,
            "too_large",
            f"The picture has {info.width} x {info.height} px, more than the {limits.picture_px / 1e6:g} megapixels "
            "that this server takes.",
        )
    if suffix == ".jpg" and data.count(b"\xff\xda") > _MOST_SCANS:
        # Each of its scans is a pass over the whole picture: a small file could take hours.
        raise Refusal(422, "not_a_picture", f"The JPEG file has more than {_MOST_SCANS} scans.")
    needed = info.decoded_bytes + _RESTORED_BYTES * info.height * info.width
    return UploadInfo(suffix, info.height, info.width, needed)


def decode(data: bytes) -> PictureFile:
    """The picture of an upload that :func:`inspect` found usable.

    Raises
    ------
    Refusal
        It is damaged, truncated, or holds light instead of codes.
    """
    with in_memory(data) as path, _refusals(path):
        return replace(read_picture(path), path=Path("upload"))


def output_suffix(file: PictureFile, info: UploadInfo, wanted: str | None) -> str:
    """The ending of the format to write: the upload's own, PNG if that cannot be written, or the one asked for.

    Raises
    ------
    Refusal
        The format that was asked for cannot hold 16 bits or transparency.
    """
    suffix = info.suffix if wanted is None else f".{wanted}"
    deep, transparent = file.codes.dtype == np.uint16, file.alpha is not None
    lacks = "16 bits per channel" if deep and suffix not in _OF_16_BITS else ""
    if transparent and suffix not in (".png", ".tif", ".tiff", ".webp"):
        lacks = "transparency"
    if lacks and wanted is not None:
        text = f"The picture has {lacks}, which format={wanted} cannot hold; png and tif can."
        raise Refusal(422, "bad_request", text)
    if lacks:
        return ".png"
    return ".pgm" if suffix == ".ppm" and file.gray else suffix


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Whatever readers raise as a refusal, without the path, which is none of the client's."""
    try:
        with reading(path):
            yield
    except MissingExtraError as error:
        _LOG.info("%s", error)
        raise Refusal(415, "not_a_picture", "This server cannot read pictures of this format.") from None
    except BlursynthError as error:
        # Without the advice, which is for files on a disk.
        text = f"{error.what} {error.why}".strip().removeprefix(f"{path}: ").replace(str(path), "upload")
        raise Refusal(422, "not_a_picture", f"The upload {text}") from None
