"""Files that hold light itself and not the codes of a display: Radiance .hdr, OpenEXR, TIFF of floating-point numbers.

Their numbers are proportional to the light; where white lies is arbitrary (a meter or an exposure decides), and values
above 1 are usual. They are taken as they are: the header's EXPOSURE of Radiance files and other scales are not applied.
"""

from __future__ import annotations

import logging
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import MissingExtraError, PictureError, require

__all__ = ["LIGHT_SUFFIXES", "LightInfo", "damaged", "exr_is_cut_off", "light_info", "read_light", "transparent"]

_LOG = logging.getLogger(__name__)

LIGHT_SUFFIXES = (".hdr", ".exr")

LARGEST_NEGATIVE_SHARE = 0.01
"""Negative numbers up to this share of the light pass for colours outside the gamut, or for the ringing of a filter."""

_EXR_MAGIC = b"\x76\x2f\x31\x01"
_TIFF_MAGICS = (b"II*\0", b"MM\0*")
_REC_709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
_IMAGE_WIDTH, _IMAGE_LENGTH, _BITS, _SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 277, 339  # tags of TIFF
_FLOATS = 3  # as a sample format


@dataclass(frozen=True)
class LightInfo:
    """What the header of a file of light says."""

    height: int
    width: int
    mode: str
    colours: str  # a note on primaries or a gamma that are not applied; "" for linear Rec. 709 or nothing said


def damaged(path: Path, error: object) -> PictureError:
    return PictureError(
        f"{path}: is damaged or cut off ({str(error).rstrip('.') or type(error).__name__}).",
        fix="Copy it again from where it came from, or leave it out.",
    )


def transparent(path: Path) -> PictureError:
    return PictureError(
        f"{path}: has transparent pixels.",
        why="There is no light where a picture is transparent, so nothing can be blurred there.",
        fix="Lay it over a background first.",
    )


def light_info(path: Path) -> LightInfo | None:
    """The header of a file of light; None for files of any other kind, and for those that cannot be opened.

    Raises
    ------
    PictureError
        The header is damaged, or describes something that is not read.
    MissingExtraError
        An OpenEXR file, and the package OpenEXR is not installed.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError:
        return None
    if head[:2] == b"#?":
        return _radiance_info(path)
    if head == _EXR_MAGIC:
        return _exr_info(path)
    return _tiff_info(path) if head in _TIFF_MAGICS else None


def read_light(path: Path, info: LightInfo) -> NDArray[np.float32]:
    """The light of a file, ``[H, W, 3]``, finite and >= 0; grey becomes three equal channels.

    Negative numbers that are few and small (colours outside the gamut, ringing) become 0, which is logged.

    Raises
    ------
    PictureError
        The file is damaged, holds NaN or infinite values, more than a little negative light, or transparent pixels.
    """
    colours = _read_exr(path) if info.mode == "OpenEXR" else _read_by_opencv(path)
    if colours.shape[:2] != (info.height, info.width):
        raise damaged(path, "its header and its pixels disagree in size")
    light = np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours
    unknown = int(np.count_nonzero(~np.isfinite(light)))
    if unknown:
        raise PictureError(
            f"{path}: holds {unknown} values that are NaN or infinite, of {light.size}.",
            why="One of them would spread over everything that is blurred.",
            fix="Replace them first, for example by the largest finite value (renderers write them for the sun).",
        )
    light = np.ascontiguousarray(light, np.float32)
    if light.min() < 0:
        below, above = float(-light[light < 0].sum(dtype=np.float64)), float(light[light > 0].sum(dtype=np.float64))
        if below > LARGEST_NEGATIVE_SHARE * above:
            raise PictureError(
                f"{path}: holds negative numbers, {below / max(above, 1e-30):.0%} of its light.",
                why="Light is not negative, so these are other numbers: logarithms, differences, directions.",
                fix="Convert them to light, or leave the file out.",
            )
        _LOG.info(
            "%s: %d of %d numbers are negative, down to %.3g, and were set to 0",
            path, np.count_nonzero(light < 0), light.size, light.min(),
        )  # fmt: skip
        np.maximum(light, 0, out=light)
    return light


def _radiance_info(path: Path) -> LightInfo:
    with path.open("rb") as file:
        head = file.read(65536)
    lines, found = [], None
    for line in head.split(b"\n"):
        found = re.fullmatch(rb"([+-][XY]) (\d+) ([+-][XY]) (\d+)\s*", line)
        if found is not None:
            break
        lines.append(line.decode("latin-1").strip())
    if found is None:
        raise damaged(path, "its header has no size")
    if (found[1], found[3]) != (b"-Y", b"+X"):
        raise PictureError(
            f"{path}: its rows do not run from the top left ({found[0].decode().strip()}).",
            fix="Save it again in the usual order (-Y height +X width).",
        )
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    if "xyze" in values.get("FORMAT", "").lower():
        raise PictureError(
            f"{path}: holds CIE XYZ and not red, green and blue.", fix="Convert it to an RGB file (32-bit_rle_rgbe)."
        )
    notes = []
    gamma = values.get("GAMMA", "1").strip()
    if gamma not in ("1", "1.0"):
        notes.append(f"gamma {gamma}")
    primaries = values.get("PRIMARIES", "").split()
    if any(p.strip("0.") for p in primaries):
        notes.append(f"primaries {' '.join(primaries)}")
    return LightInfo(int(found[2]), int(found[4]), "Radiance", ", ".join(notes))


def _open_exr(path: Path, **options: Any) -> Any:
    # OpenCV is built without OpenEXR in its wheels from version 5 on.
    library = require("OpenEXR", extra="depth", purpose=f"reading {path.name}, as all OpenEXR files,")
    if exr_is_cut_off(path):
        raise damaged(path, "it ends too early")
    return library.File(str(path), **options)


_EXR_FLAGS = {"tiled": 0x200, "long names": 0x400, "deep": 0x800, "several parts": 0x1000}
_EXR_LARGEST_TABLE = 1 << 20  # chunks; a file that says more is left to the library


def exr_is_cut_off(path: Path) -> bool:
    """Whether an OpenEXR file ends before its last chunk does.

    The library would tell it, too, but prints lines of its own to the error stream of the process, and that cannot be
    redirected for one thread alone. A header is a list of attributes (name, type, length, content); then come the
    offsets of all chunks, and right behind them the first chunk. Only plain files of one part are looked at, and only
    their end: anything else, and what is odd, is left to the library.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        (version,) = struct.unpack("<I", head[4:].ljust(4, b"\0"))
        if head[:4] != _EXR_MAGIC or version & (_EXR_FLAGS["deep"] | _EXR_FLAGS["several parts"]):
            return False
        while name := _exr_text(file):
            _exr_text(file)  # the type
            length = file.read(4)
            if len(length) < 4:
                return True
            file.seek(struct.unpack("<I", length)[0], os.SEEK_CUR)
        if name is None:
            return True
        first, offsets = size, list[int]()
        while file.tell() < first and len(offsets) < _EXR_LARGEST_TABLE:
            entry = file.read(8)
            if len(entry) < 8:
                return True
            offsets.append(struct.unpack("<Q", entry)[0])
            if not offsets[-1]:  # its writer did not finish; the library may put the table together
                return False
            first = min(first, offsets[-1])
        if not offsets or file.tell() != first:
            return False
        last = max(offsets)
        # Before the data of a chunk stand its place (y, or four numbers of a tile) and its length.
        place = 16 if version & _EXR_FLAGS["tiled"] else 4
        file.seek(last + place)
        length = file.read(4)
        return len(length) < 4 or last + place + 4 + struct.unpack("<I", length)[0] > size


def _exr_text(file: BinaryIO) -> bytes | None:
    """A text of up to 255 bytes that ends with a zero byte; None where the file ends first."""
    text = b""
    while len(text) < 256 and (byte := file.read(1)):
        if byte == b"\0":
            return text
        text += byte
    return None if len(text) < 256 else b""  # too long for any text: left to the library, which finds no chunks


def _exr_info(path: Path) -> LightInfo:
    try:
        with _open_exr(path, header_only=True) as file:
            header = file.header()
            (left, top), (right, bottom) = (np.asarray(corner).tolist() for corner in header["dataWindow"])
            primaries = tuple(float(v) for v in np.ravel(header.get("chromaticities", _REC_709)))
    except (MissingExtraError, PictureError):
        raise
    except Exception as error:  # what the library raises is not documented
        raise damaged(path, error) from None
    usual = len(primaries) == 8 and np.allclose(primaries, _REC_709, atol=2e-3)
    note = "" if usual else f"chromaticities {' '.join(f'{p:g}' for p in primaries)}"
    return LightInfo(bottom - top + 1, right - left + 1, "OpenEXR", note)


def _read_exr(path: Path) -> NDArray[Any]:
    try:
        with _open_exr(path, separate_channels=True) as file:
            channels = {name: np.array(channel.pixels) for name, channel in file.channels().items()}
    except (MissingExtraError, PictureError):
        raise
    except Exception as error:  # what the library raises is not documented
        raise damaged(path, error) from None
    layers = {name.rpartition(".")[0] for name in channels}
    for layer in sorted(layers):  # the unnamed one comes first
        prefix = f"{layer}." if layer else ""
        planes = [channels[prefix + c] for c in "RGB" if prefix + c in channels]
        if not planes and prefix + "Y" in channels and prefix + "RY" not in channels:
            planes = [channels[prefix + "Y"]]
        if len(planes) in (1, 3) and len({p.shape for p in planes}) == 1:
            if prefix + "A" in channels and channels[prefix + "A"].min() < 1:
                raise transparent(path)
            return np.stack(planes, axis=-1)
    listed = ", ".join(repr(n) for n in sorted(channels)) or "none"
    raise PictureError(
        f"{path}: has the channels {listed}, and neither R, G and B nor Y alone.",
        why="Depth, normals and luminance with chroma are no colours of light.",
        fix="Save it with the channels R, G and B.",
    )


def _tiff_info(path: Path) -> LightInfo | None:
    """Only of files of floating-point numbers; whole numbers are codes."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        with path.open("rb") as file:
            tags = ImageFileDirectory_v2(file.read(8))
            file.seek(tags.next)
            tags.load(file)
            kinds = tags.get(_SAMPLE_FORMAT) or (1,)
            if _FLOATS not in (kinds if isinstance(kinds, tuple) else (kinds,)):
                return None
            return LightInfo(int(tags[_IMAGE_LENGTH]), int(tags[_IMAGE_WIDTH]), "TIFF", "")
    except Exception:  # a broken TIFF is told by who reads it as a picture
        return None


def _read_by_opencv(path: Path) -> NDArray[Any]:
    import cv2

    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # its complaint would stand beside ours
    try:
        picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        picture = None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if picture is None or picture.dtype.kind != "f" or picture.ndim not in (2, 3):
        raise damaged(path, "its pixels cannot be read")
    colours = np.asarray(picture)
    if colours.ndim == 2:
        return colours[..., None]
    if colours.shape[2] == 4 and colours[..., 3].min() < 1:
        raise transparent(path)
    return colours[..., 2::-1] if colours.shape[2] >= 3 else colours[..., :1]
