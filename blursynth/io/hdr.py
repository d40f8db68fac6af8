"""Files that hold light and not the codes of a display: Radiance .hdr, OpenEXR, TIFF of floats, raw files of cameras.

Their numbers are proportional to the light; where white lies is arbitrary (a meter or an exposure decides), and values
above 1 are usual. They are taken as they are: the header's EXPOSURE of Radiance files and other scales are not applied.
Raw files are developed to light by LibRaw: black level subtracted, 1 at the white level, the white balance that the
camera chose, demosaicked, in the primaries of sRGB; no curve, no brightening, no denoising, and clipped at white.
"""

from __future__ import annotations

import logging
import os
import re
import struct
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import PictureError, require
from blursynth.frame import Encoding
from blursynth.io.containers import is_member, open_file, read_file
from blursynth.io.decoders import (
    RAW_SUFFIXES,
    PictureInfo,
    check_bytes,
    check_size,
    damaged,
    decoded_by_opencv,
    decoded_bytes,
    reading,
)

__all__ = ["checked_light", "exr_channels", "exr_info", "light_info", "read_light", "transparent"]

_LOG = logging.getLogger(__name__)

LARGEST_NEGATIVE_SHARE = 0.01
"""Negative numbers up to this share of the light pass for colors outside the gamut, or for the ringing of a filter."""

_EXR_MAGIC = b"\x76\x2f\x31\x01"
_TIFF_MAGICS = (b"II*\0", b"MM\0*")
_REC_709 = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06, 0.3127, 0.329)
_IMAGE_WIDTH, _IMAGE_LENGTH, _BITS, _SAMPLES, _SAMPLE_FORMAT = 256, 257, 258, 277, 339  # tags of TIFF
_COPYRIGHT = 33432
_FLOATS = 3  # as a sample format


def _info(
    height: int,
    width: int,
    mode: str,
    colors: str = "",
    *,
    channels: int = 3,
    bytes_per_channel: int = 4,
    license: str = "",
    other_bytes: int = 0,
) -> PictureInfo:
    """The header of a file of light, which is decoded with ``other_bytes`` beside the picture.

    ``colors`` is a note on primaries or a gamma that are not applied; empty for linear Rec. 709 or if nothing is
    stated.
    """
    own = channels * bytes_per_channel
    needed = decoded_bytes(height, width, bytes_per_channel=4, decoder_bytes_per_px=own) + other_bytes
    return PictureInfo(height, width, mode, 32, colors, license, Encoding.LINEAR, needed)


def transparent(path: Path) -> PictureError:
    return PictureError(
        "has transparent pixels.",
        why="Transparent pixels have no light that could be blurred.",
        fix="Blend it with a background first.",
        place=str(path),
    )


def light_info(path: Path) -> PictureInfo | None:
    """The header of a file of light; None for files of any other kind, and for those that cannot be opened.

    Raises
    ------
    PictureError
        The header is damaged, or describes something that is not read.
    MissingExtraError
        An OpenEXR or raw file, and the package that reads it is not installed.
    """
    if path.suffix.lower() in RAW_SUFFIXES and (path.is_file() or is_member(path)):
        return _raw_info(path)
    try:
        with open_file(path) as file:
            head = file.read(4)
    except OSError:
        return None
    if head[:2] == b"#?":
        return _radiance_info(path)
    if head == _EXR_MAGIC:
        return exr_info(path)
    return _tiff_info(path) if head in _TIFF_MAGICS else None


def read_light(path: Path, info: PictureInfo) -> NDArray[np.float32]:
    """The light of a file, ``[H, W, 3]``, finite and >= 0; gray becomes three equal channels.

    Negative numbers that are few and small (colors outside the gamut, ringing) become 0, which is logged.

    Raises
    ------
    PictureError
        The file is damaged, holds NaN or infinite values, more than a little negative light, or transparent pixels.
    """
    colors = {"OpenEXR": _read_exr, "raw": _read_raw}.get(info.mode, _read_by_opencv)(path)
    if colors.shape[:2] != (info.height, info.width):
        raise damaged(path, "its header and its pixels disagree in size")
    return checked_light(np.repeat(colors, 3, axis=2) if colors.shape[2] == 1 else colors, str(path))


def checked_light(light: NDArray[Any], place: str) -> NDArray[np.float32]:
    """Light of any shape, finite and >= 0, as of :func:`read_light`; ``place`` is where it was read."""
    unknown = int(np.count_nonzero(~np.isfinite(light)))
    if unknown:
        raise PictureError(
            f"holds {unknown} values that are NaN or infinite, of {light.size}.",
            why="Blur would spread each of them to other pixels.",
            fix="Replace them first, for example by the largest finite value (renderers write them for the sun).",
            place=place,
        )
    light = np.ascontiguousarray(light, np.float32)
    if light.min() < 0:
        below, above = float(-light[light < 0].sum(dtype=np.float64)), float(light[light > 0].sum(dtype=np.float64))
        if below > LARGEST_NEGATIVE_SHARE * above:
            raise PictureError(
                f"holds negative values, {below / max(above, 1e-30):.0%} of its light.",
                why="Light is not negative, so these may be logarithms, differences or directions.",
                fix="Convert them to light, or leave the file out.",
                place=place,
            )
        _LOG.info(
            "%s: %d of %d values are negative, down to %.3g, and were set to 0",
            place, np.count_nonzero(light < 0), light.size, light.min(),
        )  # fmt: skip
        np.maximum(light, 0, out=light)
    return light


def _radiance_info(path: Path) -> PictureInfo:
    with open_file(path) as file:
        head = file.read(65536)
    # The size stands behind the first empty line, and a line that looks like one before it is none: the decoder would
    # make room for another picture than the one that was checked.
    text, _, rest = head.partition(b"\n\n")
    lines = [line.decode("latin-1").strip() for line in text.split(b"\n")]
    found = re.fullmatch(rb"([+-][XY]) (\d{1,9}) ([+-][XY]) (\d{1,9})\s*", rest.partition(b"\n")[0])
    if found is None:
        raise damaged(path, "its header has no size")
    if re.search(rb"-Y\s*[+-]?\d+\s*\+X", text):  # the decoder cuts long lines, and may see an empty one before it
        raise damaged(path, "its header has two sizes")
    if (found[1], found[3]) != (b"-Y", b"+X"):
        raise PictureError(
            f"its rows do not run from the top left ({found[0].decode().strip()}).",
            fix="Save it again in the usual order (-Y height +X width).",
            place=str(path),
        )
    values = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    if "xyze" in values.get("FORMAT", "").lower():
        raise PictureError(
            "holds CIE XYZ instead of RGB.", fix="Convert it to an RGB file (32-bit_rle_rgbe).", place=str(path)
        )
    notes = []
    gamma = values.get("GAMMA", "1").strip()
    if gamma not in ("1", "1.0"):
        notes.append(f"gamma {gamma}")
    primaries = values.get("PRIMARIES", "").split()
    if any(p.strip("0.") for p in primaries):
        notes.append(f"primaries {' '.join(primaries)}")
    return _info(int(found[2]), int(found[4]), "Radiance", ", ".join(notes))


def _open_exr(path: Path, **options: Any) -> Any:
    # OpenCV is built without OpenEXR in its wheels from version 5 on.
    library = require("OpenEXR", extra="depth", purpose=f"reading {path.name}, like all OpenEXR files,")
    if is_member(path):
        raise PictureError(
            "is an OpenEXR file in a container, which the package OpenEXR cannot open.",
            fix="Extract it to a file of its own.",
            place=str(path),
        )
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise PictureError(
            "its name is not UTF-8, so the package OpenEXR cannot open it.", fix="Rename the file.", place=str(path)
        ) from None
    if _exr_is_cut_off(path):
        raise damaged(path, "it ends too early")
    return library.File(str(path), **options)


def _check_exr_parts(path: Path, file: Any) -> int:
    """Bytes of all parts, which the library decodes wanted or not; refused where they are more than may be."""
    total = 0
    for part in file.parts:
        (left, top), (right, bottom) = (np.asarray(corner).tolist() for corner in part.header["dataWindow"])
        height, width = bottom - top + 1, right - left + 1
        if height < 1 or width < 1:
            raise damaged(path, "its window is empty")
        check_size(path, height, width)
        total += 4 * len(part.header["channels"]) * height * width
    check_bytes(path, total)
    return total


_EXR_FLAGS = {"tiled": 0x200, "long names": 0x400, "deep": 0x800, "several parts": 0x1000}
_EXR_LARGEST_TABLE = 1 << 20  # chunks; a file that says more is left to the library


def _exr_is_cut_off(path: Path) -> bool:
    """Whether an OpenEXR file ends before its last chunk does.

    The library would report it, too, but prints its own lines to the error stream of the process, and that cannot be
    redirected for one thread alone. A header is a list of attributes (name, type, length, content); then come the
    offsets of all chunks, and right behind them the first chunk. Only plain files of one part are looked at, and only
    their end: anything else, and what is odd, is left to the library.
    """
    size = path.stat().st_size
    with open_file(path) as file:
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


def exr_info(path: Path) -> PictureInfo:
    """The header of an OpenEXR file, all of whose parts may be decoded."""
    with reading(path), _open_exr(path, header_only=True) as file:
        total = _check_exr_parts(path, file)
        header = file.header()
        (left, top), (right, bottom) = (np.asarray(corner).tolist() for corner in header["dataWindow"])
        primaries = tuple(float(v) for v in np.ravel(header.get("chromaticities", _REC_709)))
        channels = len(header.get("channels", "RGB"))
    usual = len(primaries) == 8 and np.allclose(primaries, _REC_709, atol=2e-3)
    note = "" if usual else f"chromaticities {' '.join(f'{p:g}' for p in primaries)}"
    height, width, channels = bottom - top + 1, right - left + 1, max(channels, 1)
    others = max(0, total - 4 * channels * height * width)  # other parts
    return _info(height, width, "OpenEXR", note, channels=channels, other_bytes=others)


def exr_channels(path: Path) -> dict[str, NDArray[Any]]:
    """The channels of an OpenEXR file by their names; :func:`exr_info` says whether there is memory for them."""
    with reading(path), _open_exr(path, separate_channels=True) as file:
        return {name: np.array(channel.pixels) for name, channel in file.channels().items()}


def _read_exr(path: Path) -> NDArray[Any]:
    channels = exr_channels(path)
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
        f"has the channels {listed}, but neither R, G and B nor only Y.",
        why="Depth, normals and luminance with chroma are not RGB light.",
        fix="Save it with the channels R, G and B.",
        place=str(path),
    )


def _tiff_tags(path: Path) -> Any:
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    with open_file(path) as file:
        tags = ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        return tags


def _tiff_info(path: Path) -> PictureInfo | None:
    """Only of files of floating-point numbers; integers are codes."""
    try:
        tags = _tiff_tags(path)
        kinds = tags.get(_SAMPLE_FORMAT) or (1,)
        if _FLOATS not in (kinds if isinstance(kinds, tuple) else (kinds,)):
            return None
        bits = tags.get(_BITS) or (32,)
        return _info(
                int(tags[_IMAGE_LENGTH]), int(tags[_IMAGE_WIDTH]), "TIFF", channels=int(tags.get(_SAMPLES, 1)),
                bytes_per_channel=max(bits if isinstance(bits, tuple) else (bits,)) // 8,
            )  # fmt: skip
    except Exception:  # a broken TIFF is reported when it is read as a picture
        return None


def _open_raw(path: Path) -> Any:
    """A raw file, its header read and its pixels not yet unpacked."""
    library = require("rawpy", extra="raw", purpose=f"reading {path.name}, like all camera raw files,")
    data = read_file(path)
    raw = library.RawPy()
    # Its bytes and not its name, which need not be UTF-8.
    raw.open_buffer(BytesIO(data))
    return raw


def _raw_info(path: Path) -> PictureInfo:
    with reading(path), _open_raw(path) as raw:
        sizes = raw.sizes
        turned = sizes.flip in (5, 6)
        height, width = (sizes.iwidth, sizes.iheight) if turned else (sizes.iheight, sizes.iwidth)
    # LibRaw unpacks the sensor's numbers, demosaics to four of 16 bits and hands three of them over.
    return _info(height, width, "raw", channels=2 + 4 + 3, bytes_per_channel=2, license=_raw_license(path))


def _raw_license(path: Path) -> str:
    """The copyright of those raw files that are built as TIFF: nearly all."""
    try:
        return str(_tiff_tags(path).get(_COPYRIGHT, "")).strip("\0 ")
    except Exception:  # broken tags do not make the pixels unusable
        return ""


def _read_raw(path: Path) -> NDArray[Any]:
    library = require("rawpy", extra="raw", purpose=f"reading {path.name}, like all camera raw files,")
    with reading(path), _open_raw(path) as raw:
        raw.unpack()
        codes = raw.postprocess(
            gamma=(1, 1), no_auto_bright=True, output_bps=16, use_camera_wb=True,
            output_color=library.ColorSpace.sRGB, highlight_mode=library.HighlightMode.Clip,
            adjust_maximum_thr=0.0,  # the white level of the camera, and not what the picture reaches
        )  # fmt: skip
    return np.asarray(codes, np.float32) / np.float32(65535)


def _read_by_opencv(path: Path) -> NDArray[Any]:
    picture = decoded_by_opencv(path)
    if picture is None or picture.dtype.kind != "f" or picture.ndim not in (2, 3):
        raise damaged(path, "its pixels cannot be read")
    colors = np.asarray(picture)
    if colors.ndim == 2:
        return colors[..., None]
    if colors.shape[2] == 4 and colors[..., 3].min() < 1:
        raise transparent(path)
    return colors[..., 2::-1] if colors.shape[2] >= 3 else colors[..., :1]
