"""Which files are pictures, which decoder opens them, and how much memory that may take.

A decoder is chosen by what a file holds, from this list alone: Pillow knows forty formats more, some of which run
other programs (PostScript). Camera raw files have the first bytes of TIFF, and a .tga has none that are its own, so
these two are known by their endings.
"""

from __future__ import annotations

import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import BlursynthError, MissingExtraError, PictureError, require
from blursynth.frame import Encoding
from blursynth.io.containers import is_member, open_file, read_file
from blursynth.io.folders import check_readable
from blursynth.io.object_store import Place

__all__ = [
    "CODE_SUFFIXES",
    "LARGEST_DECODED_BYTES",
    "LARGEST_PX",
    "LIGHT_SUFFIXES",
    "PICTURE_SUFFIXES",
    "RAW_SUFFIXES",
    "PictureInfo",
    "check_bytes",
    "check_size",
    "damaged",
    "decoded_by_opencv",
    "decoded_bytes",
    "open_picture",
    "pillow_bytes",
    "quiet",
    "reading",
    "reason_of",
    "stated_gamma",
    "top_code",
]

_BY_CONTENT: dict[str, tuple[str, ...]] = {  # a format of Pillow: its usual endings
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "GIF": (".gif",),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpx"),
    "AVIF": (".avif",),
}
_BY_ENDING = {"TGA": (".tga",)}
_HEIF_SUFFIXES = (".heic", ".heif", ".hif")
LIGHT_SUFFIXES = (".hdr", ".exr")
RAW_SUFFIXES = (
    ".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef",
    ".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srw", ".x3f",
)  # fmt: skip
"""Of the raw files of cameras, which the package rawpy reads as light."""

CODE_SUFFIXES = (
    *(suffix for suffixes in (*_BY_CONTENT.values(), *_BY_ENDING.values()) for suffix in suffixes), *_HEIF_SUFFIXES
)  # fmt: skip
PICTURE_SUFFIXES = (*CODE_SUFFIXES, *LIGHT_SUFFIXES, *RAW_SUFFIXES)
"""The endings of all formats that are read."""

LARGEST_PX = 400_000_000  # beyond this a picture is more likely a decompression bomb than a photograph
LARGEST_DECODED_BYTES = 4 << 30
"""Memory that decoding one picture may take: 240 megapixels of 16 bits per channel, or 400 of 8."""

# Of a pixel, of decoders that hold a whole picture of their own beside that of Pillow: measured, and rounded up.
_BESIDE_BYTES = {"JPEG2000": 12, "WEBP": 12, "AVIF": 12, "HEIF": 12}

_TILE_WIDTH, _TILE_LENGTH = 322, 323  # tags of TIFF

_PILLOW_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}  # of a pixel; else 4


@dataclass(frozen=True)
class PictureInfo:
    """What the header of a picture file says, after its EXIF orientation."""

    height: int
    width: int
    mode: str
    bit_depth: int
    # "" when there is none, or it is sRGB; a PNG's gamma; of files of light their primaries, if not those of sRGB
    icc_profile: str
    license: str
    encoding: Encoding = Encoding.DISPLAY  # LINEAR for .hdr, .exr, raw and floating-point numbers, which hold light
    decoded_bytes: int = 0  # memory that decoding it takes at the most


def damaged(path: Path, error: object) -> PictureError:
    return PictureError(
        f"is damaged or truncated ({str(error).rstrip('.') or type(error).__name__}).",
        fix="Copy it again from the original, or leave it out.",
        place=str(path),
    )


def reason_of(error: Exception) -> str:
    """Why a library failed, without its advice to load pickles."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error)
    if text.startswith("Object arrays"):
        return "it holds Python objects, which are never unpickled"
    return "it is not an array file" if "pickle" in text else text.partition(";")[0].rstrip(".") or "it is truncated"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Report a file as damaged, whatever a library raises for it, since that is not documented."""
    try:
        yield
    except BlursynthError:
        raise
    except Exception as error:
        raise damaged(path, error) from None


def check_size(path: Place, height: int, width: int) -> None:
    """Refuse pictures of more than :data:`LARGEST_PX` pixels."""
    if width * height > LARGEST_PX:
        raise PictureError(
            f"has {width} x {height} px, more than {LARGEST_PX // 1_000_000} megapixels.",
            why="Such a large picture would not fit into memory.",
            fix="Split it into smaller pictures first.",
            place=str(path),
        )


def check_bytes(path: Place, needed: int, most: int = LARGEST_DECODED_BYTES) -> None:
    """Refuse what takes more memory than ``most`` when it is decoded, however small the file."""
    if needed > most:
        raise PictureError(
            f"needs {needed / 1e9:.1f} GB of memory for decoding, more than {most / 1e9:.1f} GB.",
            why="A small file can hold a huge picture, and several are decoded at the same time.",
            fix="Split it into smaller pictures first."
            if most >= LARGEST_DECODED_BYTES
            else "Use fewer workers, or split it into smaller pictures first.",
            place=str(path),
        )


def decoded_bytes(height: int, width: int, *, bytes_per_channel: int, decoder_bytes_per_px: int) -> int:
    """Memory that a picture takes at the most while it is decoded to ``[H, W, 3]``.

    The decoder's own pixels, three channels made of them, and those once more where they are turned upright.
    """
    return height * width * (decoder_bytes_per_px + 2 * 3 * bytes_per_channel)


def pillow_bytes(picture: Any, *, bytes_per_channel: int) -> int:
    """:func:`decoded_bytes` of a picture that Pillow has opened and not yet decoded."""
    width, height = picture.size
    own = _PILLOW_BYTES.get(picture.mode, 4)
    converted = 0 if picture.mode == "RGB" else 4  # Pillow keeps RGB in four bytes
    deep = 2 * len(picture.getbands()) if bytes_per_channel == 2 else own + converted
    deep += _BESIDE_BYTES.get(picture.format, 0)
    whole = decoded_bytes(height, width, bytes_per_channel=bytes_per_channel, decoder_bytes_per_px=deep)
    return whole + _tile_bytes(picture)


def _tile_bytes(picture: Any) -> int:
    """Of one tile of a TIFF file: its decoders make room for a whole one, however small the picture."""
    tags = getattr(picture, "tag_v2", {})
    try:
        return int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0)) * 2 * len(picture.getbands())
    except (TypeError, ValueError):  # tags of other types, which no decoder takes for numbers
        return 0


_QUIET = threading.RLock()


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow without its warnings about odd metadata, and without its own limit of pixels, which ours replaces.

    Python keeps the filters of warnings for all threads together, so only one may change them at a time.
    """
    from PIL import Image

    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def open_picture(path: Path) -> Any:
    """A picture of Pillow, its header read and its pixels not yet decoded.

    Raises
    ------
    PictureError
        It is missing, empty, no regular file, of no known format, damaged, or of more than 400 megapixels.
    MissingExtraError
        A .heic file, and the package pillow-heif is not installed; or an .avif file, and this Pillow cannot read it.
    """
    from PIL import Image, UnidentifiedImageError

    check_readable(path)
    try:
        with open_file(path) as file:
            formats = _formats(path, file.read(64))
        with quiet():
            picture = Image.open(open_file(path) if is_member(path) else path, formats=formats)
        picture.filename = str(path)
    except UnidentifiedImageError:
        raise PictureError(
            "is not a picture that can be read.",
            fix=f"Supported are 8-bit and 16-bit files in the formats {', '.join(s[1:] for s in CODE_SUFFIXES)}, "
            f"linear light in {' and '.join(s[1:] for s in LIGHT_SUFFIXES)}, and camera raw files.",
            place=str(path),
        ) from None
    except PermissionError as error:
        raise PictureError(f"cannot be read ({error.strerror}).", place=str(path)) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise damaged(path, error) from None
    width, height = picture.size
    try:
        check_size(path, height, width)
    except PictureError:
        picture.close()
        raise
    return picture


def _formats(path: Path, head: bytes) -> tuple[str, ...]:
    """Those formats of Pillow that may open a file which begins like this."""
    if head[4:8] == b"ftyp":
        brands = {head[8:12], *(head[at : at + 4] for at in range(16, min(len(head), _box_length(head)), 4))}
        if brands & {b"avif", b"avis"}:
            from PIL import features

            if not features.check("avif"):
                raise MissingExtraError(
                    f"{path.name} is an AVIF file, which this build of Pillow cannot read.",
                    fix="Install a build with AVIF (the wheels on PyPI have it): pip install --upgrade pillow",
                )
            return ("AVIF",)
        if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
            library = require("pillow_heif", extra="heif", purpose=f"reading {path.name}, like all HEIC files,")
            library.register_heif_opener()
            return ("HEIF",)
    if path.suffix.lower() in _BY_ENDING["TGA"]:
        return (*_BY_CONTENT, "TGA")
    return tuple(_BY_CONTENT)


def _box_length(head: bytes) -> int:
    return int.from_bytes(head[:4], "big")


def top_code(picture: Any) -> int | None:
    """The code of white, if it is more than 8 bits; None if not known or not more.

    Pillow reads RGB of 16 bits as 8 without a word; what the file says of itself gives it away.
    """
    form = picture.format
    if form == "PPM":
        tiles = getattr(picture, "tile", None) or []
        arguments = tiles[0][3] if tiles else ()
        tops = [a for a in (arguments if isinstance(arguments, tuple) else ()) if isinstance(a, int) and a > 255]
        # A plain 16-bit PGM has no explicit top among the arguments of its decoder.
        return tops[0] if tops else 65535 if picture.mode.startswith("I") else None
    if form == "JPEG2000":
        bits = _bits_of_jpeg_2000(Path(picture.filename))
        return None if bits <= 8 else 2**bits - 1
    if picture.mode.startswith("I;16"):
        return 65535
    if form == "TIFF" and picture.mode != "I":
        return 65535 if 16 in (picture.tag_v2.get(258) or ()) else None
    if form == "PNG":  # the raw mode, such as RGB;16B; in other formats a 16 may be five bits per channel
        tiles = getattr(picture, "tile", None) or []
        return 65535 if any("16" in str(tile[3]) for tile in tiles if len(tile) > 3) else None
    return None


def _bits_of_jpeg_2000(path: Path) -> int:
    """Of the first channel: the marker SIZ stands right behind the beginning of the code stream."""
    with open_file(path) as file:
        head = file.read(1 << 16)
    found = re.search(rb"\xff\x4f\xff\x51.{36}", head, re.DOTALL)
    at = found.end() if found else len(head)
    return (head[at + 2] & 0x7F) + 1 if at + 2 < len(head) else 8


def decoded_by_opencv(path: Path) -> NDArray[Any] | None:
    """What OpenCV makes of a file as it is: BGR, alpha kept, not turned; None where it cannot."""
    import cv2

    data = np.frombuffer(read_file(path), np.uint8)
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # its complaint would stand beside ours
    try:
        return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)


def stated_gamma(path: Path) -> float | None:
    """The exponent in a PNG's chunk gAMA by which codes become light, where no profile or sRGB chunk overrides it.

    None where nothing is stated, or what sRGB comes to (1/2.2).
    """
    try:
        with open_file(path) as file:
            if file.read(8) != b"\x89PNG\r\n\x1a\n":
                return None
            found = None
            for _ in range(64):  # chunks before the pixels
                head = file.read(8)
                if len(head) < 8:
                    break
                length, kind = struct.unpack(">I4s", head)
                if kind in (b"IDAT", b"IEND", b"sRGB", b"iCCP", b"cICP"):
                    return found if kind == b"IDAT" else None
                if kind == b"gAMA" and length == 4:
                    stated = int.from_bytes(file.read(4), "big") / 100_000
                    found = 1 / stated if stated > 0 and abs(stated * 2.2 - 1) > 0.05 else None
                    length = 0
                file.seek(length + 4, 1)
    except OSError:
        return None
    return None
