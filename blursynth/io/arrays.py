"""Arrays of numbers from files: measured kernels, recorded paths, response curves."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blursynth.errors import MissingExtraError, PictureError, require
from blursynth.io.decoders import CODE_SUFFIXES, LARGEST_DECODED_BYTES, check_bytes, reason_of
from blursynth.io.folders import check_readable, expanded
from blursynth.io.pictures import read_pixels

__all__ = ["read_arrays"]


def read_arrays(path: str | Path) -> list[NDArray[np.float64]]:
    """Read measured kernels or recorded paths from a file: .npy, .npz, .csv, .txt, gray pictures, and MATLAB .mat.

    MATLAB stores arrays in column-major order; they are transposed so that rows are rows. A cell array gives several
    arrays.

    Raises
    ------
    PictureError
        The file cannot be read or does not hold real numbers.
    """
    path = expanded(path)
    check_readable(path, "file")
    try:
        arrays = _read_arrays(path)
        for array in arrays:
            if np.asarray(array).dtype.kind not in "fiub":
                raise ValueError("it holds values other than real numbers")
    except (PictureError, MissingExtraError):
        raise
    except Exception as error:  # zip, zlib, scipy, HDF5 and numpy each raise their own on damaged files
        fix = ""
        if path.suffix.lower() in (".csv", ".txt"):
            between = "commas" if path.suffix.lower() == ".csv" else "spaces"
            fix = f"Each line must hold numbers separated by {between}; a heading begins with #."
        raise PictureError(
            f"cannot be read as an array of numbers ({reason_of(error)}).", fix=fix, place=str(path)
        ) from None
    if not arrays or any(np.asarray(array).size == 0 for array in arrays):
        raise PictureError("does not hold an array of numbers.", place=str(path))
    return [np.asarray(array, np.float64) for array in arrays]


def _read_arrays(path: Path) -> list[NDArray[Any]]:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return [np.load(path, allow_pickle=False)]
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            members = archive.zip.infolist() if archive.zip is not None else []
            check_bytes(path, sum(member.file_size for member in members))
            return [archive[name] for name in archive.files]
    if suffix in (".csv", ".txt"):
        if not path.read_text("utf-8-sig", errors="replace").strip():
            return []
        if curves := _read_response_curves(path):
            return curves
        return [np.loadtxt(path, delimiter="," if suffix == ".csv" else None, ndmin=2, encoding="utf-8-sig")]
    if suffix == ".mat":
        return _read_matlab(path)
    if suffix in CODE_SUFFIXES:
        return [read_pixels(path).astype(np.float64).mean(axis=-1)]
    raise PictureError(
        f"unknown format {suffix!r}.", fix="Known: .npy, .npz, .csv, .txt, .mat and pictures.", place=str(path)
    )


_ROW = re.compile(r"\s*([IB])\s*=(.*)")


def _read_response_curves(path: Path) -> list[NDArray[Any]]:
    """Curves ``[2, N]``, light and value, of the text files of the DoRF data base; none if it is no such file.

    Each curve is a name, a line ``I =`` with the row of the light in it or below, and one ``B =`` with the values.
    """
    rows: list[tuple[str, list[float]]] = []
    goes_on = False
    for line in path.read_text("utf-8-sig", errors="replace").splitlines():
        found = _ROW.fullmatch(line)
        if found is not None:
            rows.append((found[1], []))
        elif not goes_on:
            continue
        try:
            rows[-1][1].extend(float(word) for word in (found[2] if found else line).replace(",", " ").split())
            goes_on = True
        except ValueError:  # the name of the next curve
            goes_on = False
    if not rows:
        return []
    if [name for name, _ in rows] != ["I", "B"] * (len(rows) // 2):
        raise ValueError("rows I = and B = must alternate")
    numbers = [np.array(values) for _, values in rows]
    curves = []
    for number, (light, value) in enumerate(zip(numbers[::2], numbers[1::2], strict=True), 1):
        if light.size != value.size:
            raise ValueError(f"curve {number} has {light.size} light values but {value.size} code values")
        curves.append(np.stack([light, value]))
    return curves


def _read_matlab(path: Path) -> list[NDArray[Any]]:
    from scipy.io import loadmat

    check_bytes(path, _matlab_bytes(path))
    try:
        variables = loadmat(path)
    except NotImplementedError:  # MATLAB 7.3 files are HDF5
        return _read_matlab_hdf5(path)
    found = []
    for name, value in variables.items():
        if not name.startswith("__"):
            cells = value.ravel() if value.dtype == object else [value]
            found += [np.asarray(c) for c in cells]
    return found


_MATLAB_COMPRESSED = 15  # as the type of a variable in MATLAB's files of versions 5 to 7


def _matlab_bytes(path: Path) -> int:
    """Bytes of the variables of a MATLAB file when they are decompressed, up to a little more than may be read.

    A variable is its type and its length, then its content; what is no such file counts as it is.
    """
    total = path.stat().st_size
    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(128)[126:])
        while order is not None and len(head := file.read(8)) == 8:
            kind, length = struct.unpack(f"{order}II", head)
            if kind != _MATLAB_COMPRESSED:
                file.seek(length, 1)
                continue
            left = min(length, total)
            stream, packed = zlib.decompressobj(), b""
            while (left or packed) and not stream.eof and total <= LARGEST_DECODED_BYTES:
                if not packed:
                    packed = file.read(min(left, 1 << 20))
                    left = left - len(packed) if packed else 0
                total += len(stream.decompress(packed, 1 << 24))
                packed = stream.unconsumed_tail
            file.seek(left, 1)
    return total


def _read_matlab_hdf5(path: Path) -> list[NDArray[Any]]:
    h5py = require("h5py", extra="matlab", purpose="reading MATLAB 7.3 files")
    found: list[NDArray[Any]] = []
    total = 0

    def array(data: Any) -> NDArray[np.float64]:
        nonlocal total
        if not isinstance(data, h5py.Dataset):
            raise ValueError("it holds a structure")
        if data.external or data.is_virtual:
            raise ValueError("its numbers are in another file")
        total += data.size * max(8, data.dtype.itemsize)
        check_bytes(path, total)
        return np.asarray(data, np.float64).T

    with h5py.File(path) as file:
        for name in file:
            if name.startswith("#"):
                continue
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                raise ValueError(f"{name!r} is a link to another place")
            data = file[name]
            if isinstance(data, h5py.Dataset) and h5py.check_ref_dtype(data.dtype):
                check_bytes(path, data.size * data.dtype.itemsize)
                found += [array(file[reference]) for reference in np.asarray(data).ravel()]
            else:
                found.append(array(data))
    return found
