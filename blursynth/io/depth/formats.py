"""Files of depth, disparity and labels as arrays of the numbers that they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import Argument, PictureError
from blursynth.io.decoders import (
    check_bytes,
    damaged,
    decoded_by_opencv,
    open_picture,
    pillow_bytes,
    quiet,
    reading,
    reason_of,
)
from blursynth.io.folders import check_readable
from blursynth.io.hdr import exr_channels, exr_info

__all__ = ["DEPTH_SUFFIXES", "LABEL_SUFFIXES", "read_label_numbers", "read_numbers"]

DEPTH_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff", ".pgm", ".pfm", ".exr")
LABEL_SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff", ".pgm")

_DEPTH_CHANNELS = ("Z", "depth.Z", "Depth.Z", "depth", "Depth", "Y", "V")  # as renderers name them, in this order


def read_numbers(path: Path, *, key: str | None = None) -> NDArray[Any]:
    """The numbers of a depth file, ``[H, W]``, as they lie in it.

    Parameters
    ----------
    path
        .npy, .npz, .png, .tif, .pgm (8 or 16 bits, .tif also float), .pfm, .exr.
    key
        Array of an .npz file or channel of an .exr file; needed only where there are several to choose from.

    Raises
    ------
    PictureError
        The file is missing, damaged, of another format, or holds something else than one gray picture of numbers.
    MissingExtraError
        An .exr file, and the package OpenEXR is not installed.
    """
    check_readable(path, "file")
    suffix = path.suffix.lower()
    if key is not None and suffix not in (".npz", ".exr"):
        raise PictureError(
            f"key={key!r} does not apply to this file.",
            why="Only .npz files have named arrays, and .exr files named channels.",
            fix="Leave key out.",
            place=str(path),
        )
    if suffix in (".jpg", ".jpeg"):
        raise PictureError(
            "is a JPEG.",
            why="Compression changes the values, especially where depth jumps.",
            fix="Use the original depth as 16-bit PNG, PFM, EXR or .npy.",
            place=str(path),
        )
    readers: dict[str, Callable[[Path], NDArray[Any]]] = {
        ".npy": _read_npy,
        ".npz": lambda p: _read_npz(p, key),
        ".pfm": _read_pfm,
        ".exr": lambda p: _read_exr(p, key),
    }
    if suffix not in DEPTH_SUFFIXES:
        raise PictureError(
            f"depth cannot be read from the format {suffix!r}.",
            fix=f"Known: {', '.join(DEPTH_SUFFIXES)}.",
            place=str(path),
        )
    numbers = readers.get(suffix, _read_picture)(path)
    if numbers.dtype.kind not in "fiu":
        raise PictureError(f"holds {numbers.dtype}, not numbers.", fix="Save [H, W] real numbers.", place=str(path))
    while numbers.ndim > 2 and 1 in (numbers.shape[0], numbers.shape[-1]):
        numbers = numbers[0] if numbers.shape[0] == 1 else numbers[..., 0]
    if numbers.ndim != 2 or numbers.size == 0:
        raise PictureError(
            f"depth must be one array [H, W], got shape {numbers.shape}.",
            fix="Save one picture's depth per file.",
            place=str(path),
        )
    return numbers


def read_label_numbers(path: Path) -> NDArray[Any]:
    """The integers of a label file, ``[H, W]``: .npy, .npz with one array, or a gray or palette picture.

    Raises
    ------
    PictureError
        The file is missing, damaged, of another format, or holds something else than one picture of integers.
    """
    check_readable(path, "file")
    suffix = path.suffix.lower()
    if suffix not in LABEL_SUFFIXES:
        raise PictureError(
            f"labels cannot be read from the format {suffix!r}.",
            why="Labels need a lossless format." if suffix in (".jpg", ".jpeg") else "",
            fix=f"Known: {', '.join(LABEL_SUFFIXES)}.",
            place=str(path),
        )
    if suffix in (".npy", ".npz"):
        labels = _read_npy(path) if suffix == ".npy" else _read_npz(path, None)
    else:
        labels = _read_picture(path, palette=True)
    if labels.ndim != 2 or labels.size == 0:
        raise PictureError(f"labels must be one array [H, W], got shape {labels.shape}.", place=str(path))
    if labels.dtype.kind not in "iub":
        raise PictureError(
            f"labels must be integers, got {labels.dtype}.",
            fix="0 is the background, 1 .. n the objects.",
            place=str(path),
        )
    return labels


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
            raise ValueError("it does not hold one array of numbers")
    except Exception as error:  # numpy parses the header as Python, which raises what it wants
        raise PictureError(
            f"is not a readable .npy file of numbers ({reason_of(error)}).",
            fix="Save [H, W] with numpy.save.",
            place=str(path),
        ) from None
    return array


def _read_npz(path: Path, key: str | None) -> NDArray[Any]:
    try:
        # Opened here, since numpy leaves a file open that is not an archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            names = list(archive.files)
            if key is None and len(names) == 1:
                key = names[0]
            if key in names:
                members = archive.zip.infolist() if archive.zip is not None else []
                check_bytes(path, sum(member.file_size for member in members if member.filename == f"{key}.npy"))
                return np.asarray(archive[key])
    except PictureError:
        raise
    except Exception as error:  # zip, zlib, headers and numpy each raise their own
        raise PictureError(
            f"is not a readable .npz file of numbers ({reason_of(error)}).",
            fix="Save it with numpy.savez.",
            place=str(path),
        ) from None
    listed = ", ".join(repr(n) for n in names) or "none"
    raise PictureError(
        f"holds the arrays {listed}" + (f", but no {key!r}." if key is not None else "."),
        why="" if key is not None else "It is not clear which of them is the depth.",
        fix=("Name one of them with ", Argument("key"), "."),
        place=str(path),
    )


def _read_picture(path: Path, *, palette: bool = False) -> NDArray[Any]:
    """Codes of one channel; of pictures with a palette the numbers and not the colors, if wanted."""
    with reading(path):
        with quiet(), open_picture(path) as picture:
            mode, form = picture.mode, picture.format
            check_bytes(path, pillow_bytes(picture, bytes_per_channel=2))
            if palette and mode in ("P", "1", "L"):
                picture.load()
                return np.asarray(picture).astype(np.uint8)
        if form == "PNG":
            with quiet(), open_picture(path) as picture:
                picture.verify()  # OpenCV returns what there is of a file that is cut off
    if mode == "P":
        raise PictureError(
            "is a picture with a palette, whose values are colors.",
            fix="Save the depth itself as 16-bit gray PNG, PFM, EXR or .npy.",
            place=str(path),
        )
    codes = decoded_by_opencv(path)
    if codes is None:
        raise damaged(path, "OpenCV cannot read it")
    numbers = np.asarray(codes)
    if numbers.ndim == 3:
        colors = numbers[..., :3]
        if not (colors == colors[..., :1]).all():
            raise PictureError(
                "is a colored picture.",
                why="Colors that represent depth or labels cannot be converted back.",
                fix="Use the file that they were made from.",
                place=str(path),
            )
        numbers = np.ascontiguousarray(colors[..., 0])
    return numbers


def _read_pfm(path: Path) -> NDArray[np.float32]:
    """Portable float map: ``Pf``, width, height, a number whose sign is the byte order, then rows from the bottom up.

    The size of that number is not applied: programs write all sorts of values there, and the files of stereo benchmarks
    mean their values as they are.
    """
    data = path.read_bytes()
    words: list[bytes] = []
    start = 0
    while len(words) < 4 and start < min(len(data), 4096):
        while data[start : start + 1].isspace():
            start += 1
        if data[start : start + 1] == b"#":
            start = data.find(b"\n", start) + 1 or len(data)
            continue
        end = start
        while end < len(data) and not data[end : end + 1].isspace():
            end += 1
        words.append(data[start:end])
        start = end
    start += 1  # exactly one white space stands between the header and the numbers
    if not words or words[0] not in (b"Pf", b"PF"):
        raise PictureError(
            "is not a PFM file (it does not begin with Pf).", fix="Check its extension.", place=str(path)
        )
    if words[0] == b"PF":
        raise PictureError(
            "is a color PFM (it begins with PF).",
            why="Depth has one value per pixel.",
            fix="Save one channel as gray PFM (Pf).",
            place=str(path),
        )
    try:
        width, height, order = int(words[1]), int(words[2]), float(words[3])
        if width < 1 or height < 1 or order == 0 or not np.isfinite(order):
            raise ValueError
    except (ValueError, IndexError):
        raise damaged(path, "its header is not 'Pf width height scale'") from None
    values = np.frombuffer(data, np.uint8, offset=min(start, len(data)))
    if values.size < 4 * width * height:
        raise damaged(path, f"{values.size} bytes of numbers, {width} x {height} px need {4 * width * height}")
    numbers = values[: 4 * width * height].view("<f4" if order < 0 else ">f4").reshape(height, width)
    return np.ascontiguousarray(numbers[::-1], np.float32)


def _read_exr(path: Path, key: str | None) -> NDArray[Any]:
    exr_info(path)
    channels = exr_channels(path)
    listed = ", ".join(repr(n) for n in sorted(channels)) or "none"
    if key is not None:
        if key not in channels:
            raise PictureError(
                f"has the channels {listed}, but no {key!r}.",
                fix=("Name one of them with ", Argument("key"), "."),
                place=str(path),
            )
        return channels[key]
    for name in (*(_DEPTH_CHANNELS if len(channels) > 1 else channels),):
        if name in channels:
            return channels[name]
    colors = [channels[name] for name in ("R", "G", "B") if name in channels]
    if len(colors) == 3 and all(np.array_equal(c, colors[0], equal_nan=True) for c in colors[1:]):
        return colors[0]
    raise PictureError(
        f"has the channels {listed}.",
        why="It is not clear which of them is the depth.",
        fix=("Name one of them with ", Argument("key"), "."),
        place=str(path),
    )
